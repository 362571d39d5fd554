"""Toy blocks of spiking transformers, made of the leaves that the models are made of."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rheobase.compression import QuantConfig, quantise_, quantiser_config
from rheobase.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, HeadScale, Linear, MaxPool2d
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.models import ModelConfig, SpikingModel
from rheobase.neurons import NeuronConfig, UniformMembrane, build_neuron

SIZE, STEPS = 8, 3
NEURONS: list[dict[str, Any]] = [
    {},
    {"decay_input": True, "v_reset": 0.0},
    {"tau": 3.0},
    {"membrane": UniformMembrane(bits=4), "v_reset": 0.0},
]


class Saccadic(nn.Module):
    """The saccadic neuron's two methods, and its equation in parallel."""

    def __init__(self, steps: int, seed: int, strength: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        lif = torch.tril(0.5 ** (torch.arange(steps)[:, None] - torch.arange(steps) + 1.0))
        noise = torch.rand(steps, steps, generator=generator) - 0.3
        self.weight = nn.Parameter(lif + 0.2 * noise)
        self.v_th = nn.Parameter(strength * (0.02 + 0.02 * torch.rand(steps, generator=generator)))

    def mixing_matrix(self) -> Tensor:
        return torch.tril(self.weight)

    def thresholds(self) -> Tensor:
        return self.v_th

    def forward(self, x: Tensor) -> Tensor:
        steps = len(x)
        mixed = torch.einsum("tj,j...->t...", self.mixing_matrix()[:steps, :steps], x)
        return (mixed >= self.thresholds()[:steps].reshape(-1, 1, 1, 1, 1)).to(x)


def head_scale(factor: Tensor) -> HeadScale:
    """Heads scaled by numbers `[heads]`, or by step `[T, heads]`."""
    heads = factor.shape[-1]
    layer = HeadScale(heads, len(factor) if factor.dim() > 1 else None)
    layer.factor = nn.Parameter(factor.reshape(-1, 1, heads, 1, 1))
    return layer


class Projection(nn.Sequential):
    """1x1 convolution, batch-norm, neuron."""

    def __init__(self, width: int, neuron: NeuronConfig) -> None:
        super().__init__(Conv2d(width, width, 1, bias=False), BatchNorm2d(width), build_neuron(neuron))


class Spikformer(nn.Module):
    """x + LIF(BN(W LIF(0.125 Q K^T V))) of spikes, in either order."""

    def __init__(self, width: int, heads: int, neuron: NeuronConfig, *, order: str) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (Projection(width, neuron) for _ in range(4))
        self.first = HeadMatMul(heads, "second" if order == "qk_first" else "first")
        self.second, self.order = HeadMatMul(heads), order
        self.scale, self.neuron = Scale(0.125), build_neuron(neuron.model_copy(update={"v_threshold": 0.5}))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        q_first = self.order == "qk_first"
        product = self.second(self.first(q, k), v) if q_first else self.second(q, self.first(k, v))
        return x + self.out(self.neuron(self.scale(product)))


class QKToken(nn.Module):
    """x + W (LIF(sum of Q over a head) * K): token attention of QKFormer; of a whole map, channel attention."""

    def __init__(self, width: int, heads: int, neuron: NeuronConfig, *, channels: bool) -> None:
        super().__init__()
        self.q, self.k, self.out = (Projection(width, neuron) for _ in range(3))
        self.sum = MapSum() if channels else HeadSum(heads)
        self.neuron, self.gate = build_neuron(neuron), Gate()

    def forward(self, x: Tensor) -> Tensor:
        mask = self.neuron(self.sum(self.q(x)))
        return x + self.out(self.gate(mask, self.k(x)))


class SSSA(nn.Module):
    """Saccadic attention: a mask of tokens by salience Q' k over all steps so far; membrane shortcut."""

    def __init__(self, width: int, heads: int, neuron: NeuronConfig, *, steps: int, seed: int) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.q, self.k, self.v = (Projection(width, neuron) for _ in range(3))
        self.out, self.norm = Conv2d(width, width, 1, bias=False), BatchNorm2d(width)
        self.q_sum, self.k_sum, self.k_all = HeadSum(heads), HeadSum(heads), MapSum()
        self.salience, self.mask = Gate(), Gate()
        part = width // heads
        self.scale = Scale(1 / (part * part * SIZE * SIZE))
        self.saccade = Saccadic(steps, seed)

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        salience = self.salience(self.k_all(self.k_sum(self.k(s))), self.q_sum(self.q(s)))
        spikes = self.saccade(self.scale(salience))
        return x + self.norm(self.out(self.mask(spikes, self.v(s))))


class BEST(nn.Module):
    """Two streams: x2 = F(x1) + (x0 + x1) / 2, x3 = M(x2) + (x1 + x2) / 2; a binary map in either order, a scale a head."""

    def __init__(self, width: int, heads: int, neuron: NeuronConfig, *, order: str) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.q, self.k, self.v = (Projection(width, neuron) for _ in range(3))
        self.first = HeadMatMul(heads, "second" if order == "qk_first" else "first")
        self.binary, self.second, self.order = build_neuron(neuron), HeadMatMul(heads), order
        self.scale, self.lam = Scale(0.125), head_scale(0.6 + torch.rand(heads))
        self.middle = build_neuron(neuron.model_copy(update={"v_threshold": 0.5}))
        self.out, self.norm = Conv2d(width, width, 1, bias=False), BatchNorm2d(width)
        self.halved = Scale(0.5)
        self.last = build_neuron(neuron)
        self.mlp, self.mlp_norm = Conv2d(width, width, 1, bias=False), BatchNorm2d(width)
        self.halved_again = Scale(0.5)

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        q, k, v = self.q(s), self.k(s), self.v(s)
        if self.order == "qk_first":
            product = self.second(self.binary(self.first(q, k)), v)
        else:
            product = self.second(q, self.binary(self.first(k, v)))
        found = self.norm(self.out(self.middle(self.lam(self.scale(product)))))
        after = found + self.halved(x + x)
        return self.mlp_norm(self.mlp(self.last(after))) + self.halved_again(x + after)


class Transformer(nn.Module):
    """A tokenizer that pools currents and dilates, blocks, and spikes for the head."""

    def __init__(self, width: int, neuron: NeuronConfig, blocks: list[nn.Module], *, spiking: bool) -> None:
        super().__init__()
        self.conv, self.norm = Conv2d(2, width, 3, padding=1, bias=False), BatchNorm2d(width)
        self.pool, self.neuron = MaxPool2d(3, 2, 1), build_neuron(neuron)
        self.wide, self.wide_norm = (
            Conv2d(width, width, 3, padding=2, dilation=2, bias=False),
            BatchNorm2d(width),
        )
        self.near, self.near_norm = Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width)
        self.blocks = nn.Sequential(*blocks)
        self.stem = build_neuron(neuron) if spiking else nn.Identity()
        self.last = nn.Identity() if spiking else build_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(self.pool(self.norm(self.conv(x))))
        x = self.wide_norm(self.wide(s)) + self.near_norm(self.near(s))
        return self.last(self.blocks(self.stem(x)))


BLOCKS = ["ssa_qk", "ssa_kv", "token", "channel", "sssa", "best_qk", "best_kv"]


def block(kind: str, width: int, heads: int, neuron: NeuronConfig, steps: int, seed: int) -> nn.Module:
    order = "qk_first" if kind.endswith("qk") else "kv_first"
    if kind.startswith("ssa"):
        return Spikformer(width, heads, neuron, order=order)
    if kind in ("token", "channel"):
        return QKToken(width, heads, neuron, channels=kind == "channel")
    if kind == "sssa":
        return SSSA(width, heads, neuron, steps=steps, seed=seed)
    return BEST(width, heads, neuron, order=order)


def transformer(
    kinds: list[str],
    neuron: NeuronConfig,
    *,
    width: int = 8,
    heads: int = 2,
    steps: int = STEPS,
    bits: int = 4,
    seed: int = 0,
) -> SpikingModel:
    """A quantised toy transformer with batch-norm as after training, gains of both signs among them."""
    torch.manual_seed(seed)
    blocks = [block(kind, width, heads, neuron, steps, seed) for kind in kinds]
    spiking = kinds[0] in ("ssa_qk", "ssa_kv", "token", "channel")
    head = nn.Sequential(GlobalAvgPool2d(), Flatten(), Linear(width, 3))
    config = ModelConfig(name="toy", num_classes=3, input_size=(SIZE, SIZE), neuron=neuron, head="gap")
    model = SpikingModel(config, Transformer(width, neuron, blocks, spiking=spiking), head)
    weights = quantiser_config("rescaw", bits=bits) if bits < 8 else quantiser_config("max_abs", bits=8)
    return quantise_(model, QuantConfig(weights=weights))


@st.composite
def transformers(draw: st.DrawFn) -> SpikingModel:
    """One or two blocks of one kind of stream, any heads, bits and neuron."""
    streams = draw(st.sampled_from([BLOCKS[:4], BLOCKS[4:]]))
    kinds = draw(st.lists(st.sampled_from(streams), min_size=1, max_size=2))
    heads = draw(st.sampled_from([1, 2, 3]))
    return transformer(
        kinds,
        NeuronConfig.model_validate(draw(st.sampled_from(NEURONS))),
        width=heads * draw(st.integers(2, 4)),
        heads=heads,
        steps=STEPS + draw(st.integers(0, 1)),
        bits=draw(st.sampled_from([1, 2, 4, 8])),
        seed=draw(st.integers(0, 1 << 20)),
    )
