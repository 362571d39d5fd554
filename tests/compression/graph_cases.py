"""Models that are no chains: random ones of any layers and joins, and how far a hardened model strays, layer by layer."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rheobase.compression import QuantConfig, quantise_, quantiser_config
from rheobase.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from rheobase.models import ModelConfig, SpikingModel
from rheobase.neurons import NeuronConfig, SquatMembrane, TanhMembrane, UniformMembrane, build_neuron

SIZE, STEPS, CHANNELS = 6, 2, 2
WEIGHTS = [("rescaw", {"bits": 2}), ("libra", {}), ("lsq", {"bits": 4}), ("max_abs", {"bits": 8})]
NEURONS = [
    {},
    {"tau": 3.0, "v_reset": 0.0, "strict": True},
    {"kind": "if"},
    {"decay_input": True, "v_reset": 0.0},
    {"membrane": TanhMembrane(bits=8)},
    {"membrane": UniformMembrane(bits=2), "v_reset": 0.0},
    {"membrane": SquatMembrane(bits=4), "tau": 3.0},
]


class Graph(nn.Module):
    """Layers that each read one value there is already, or the sum of two."""

    def __init__(self, parts: list[nn.Module | None], inputs: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part or nn.Identity() for part in parts)
        self.inputs = inputs

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for part, inputs in zip(self.parts, self.inputs, strict=True):
            one, *other = (values[i] for i in inputs)
            values.append(part(one + other[0] if other else one))
        return values[-1]


@st.composite
def models(draw: st.DrawFn) -> SpikingModel:
    """Convolutions of spikes and of currents, with groups; batch-norm anywhere, as after training; pools, neurons, joins."""
    seed = draw(st.integers(0, 1 << 20))
    torch.manual_seed(seed)
    parts: list[nn.Module | None] = []
    inputs: list[tuple[int, ...]] = []
    known: list[tuple[bool, int, int]] = [(True, CHANNELS, SIZE)]  # spikes or counts, channels, size

    def add(part: nn.Module | None, value: tuple[bool, int, int], *sources: int) -> int:
        parts.append(part)
        inputs.append(sources)
        known.append(value)
        return len(known) - 1

    def fire(source: int) -> int:
        return add(build_neuron(config()), (True, *known[source][1:]), source)

    def config() -> NeuronConfig:
        return NeuronConfig.model_validate(draw(st.sampled_from(NEURONS)))

    def conv(source: int) -> int:
        _, channels, size = known[source]
        groups = draw(st.sampled_from([g for g in (1, 1, 2, channels) if channels % g == 0]))
        out = (
            channels
            if draw(st.booleans())
            else groups * draw(st.integers(1, 6 // groups if groups < 6 else 1))
        )
        kernel, stride = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (1, 2)]))
        bias = draw(st.booleans())
        layer = Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        after = add(layer, (False, out, -(-size // stride)), source)
        return norm(after) if draw(st.booleans()) else after

    def norm(source: int) -> int:
        return add(BatchNorm2d(known[source][1]), (False, *known[source][1:]), source)

    def join(source: int) -> int:
        spikes, *shape = known[source]
        twins = [i for i, (_, *other) in enumerate(known) if other == shape]
        other = draw(st.sampled_from(twins))
        return add(None, (spikes and known[other][0], *shape), other, source)

    def pool(source: int) -> int:
        spikes, channels, size = known[source]
        if size < 2:
            return fire(source)
        if spikes and draw(st.booleans()):
            kind = draw(st.sampled_from([(2, 2, 0), (3, 2, 1), (2, 1, 1)]))
            return add(
                MaxPool2d(*kind), (True, channels, (size + 2 * kind[2] - kind[0]) // kind[1] + 1), source
            )
        return add(AvgPool2d(2), (spikes, channels, size // 2), source)

    source = conv(0)
    for _ in range(draw(st.integers(2, 9))):
        moves = [conv, conv, join, pool, pool] if known[source][0] else [fire, fire, conv, join, norm, pool]
        source = draw(st.sampled_from(moves))(draw(st.sampled_from([source, source, len(known) - 2])))
    if not known[source][0]:
        source = fire(source)
    head = nn.Sequential(GlobalAvgPool2d(), Flatten(), Linear(known[source][1], 3))
    options: dict[str, Any] = {"name": "graph", "num_classes": 3, "in_channels": CHANNELS, "head": "gap"}
    described = ModelConfig(**options, input_size=(SIZE, SIZE), neuron=NeuronConfig())
    model = SpikingModel(described, Graph(parts, inputs), head)
    name, fields = draw(st.sampled_from(WEIGHTS))
    return used(quantise_(model, QuantConfig(weights=quantiser_config(name, **fields))), seed)


def used(model: SpikingModel, seed: int) -> SpikingModel:
    """The model with statistics and affine values of batch-norm as after training, some gains negative."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
            with torch.no_grad():
                sign = torch.where(torch.rand(module.weight.shape, generator=generator) < 0.2, -1.0, 1.0)
                module.weight.copy_(sign * (0.5 + torch.rand(sign.shape, generator=generator)))
                module.bias.copy_(0.6 * torch.rand(sign.shape, generator=generator) - 0.2)
    model.train()
    model(torch.from_numpy(frames(seed, model, samples=8)).float())
    return model.eval()


def frames(seed: int, model: SpikingModel, samples: int, steps: int = STEPS) -> np.ndarray:
    """Sparse counts."""
    shape = (steps, samples, model.config.in_channels, *model.config.input_size)
    return np.random.default_rng(seed).poisson(0.5, shape).astype(np.uint8)


@torch.no_grad()
def straying(model: SpikingModel, given: dict[str, np.ndarray], x: np.ndarray) -> dict[str, float]:
    """Share of spikes of each neuron layer that the quantised model decides otherwise, when all before it fired as `given`."""
    found = {}

    def compare(name: str, spikes: Tensor) -> Tensor:
        found[name] = float((spikes.numpy() != given[name]).mean())
        return torch.from_numpy(given[name]).to(spikes)

    handles = [
        neuron.register_forward_hook(lambda _, __, spikes, name=name: compare(name, spikes))
        for name, neuron in model.neurons().items()
    ]
    model.double()(torch.from_numpy(x).double())
    for handle in handles:
        handle.remove()
    model.float()
    return found
