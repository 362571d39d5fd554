"""Feature maps of several scales: a backbone without its head, for detection and other dense prediction.

A backbone is a chain of layers and blocks, and each resolution is a stretch of it. The map of a resolution is what the last
of its members puts out:

    64x64: conv, norm, neuron | 32x32: pool, conv, norm, neuron | 16x16: pool, conv, norm, neuron
                          ^                                ^                                 ^
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError, unknown
from rheobase.layers import GlobalAvgPool2d
from rheobase.models.model import SpikingModel, check_input

Calls = list[tuple[str, nn.Module, Any]]
"""Name, module and output of every call, in forward order."""


class MultiScale(nn.Module):
    """The maps that `layers` put out in one forward pass; made by `features_only`.

    It shares its weights with the model it was made from, and holds neither the head nor what stands behind the last of its
    layers. Maps are spikes where a layer is a neuron or ends in one, counts where blocks add spikes, currents where they add
    membranes. `channels` and `strides` (pixels of the input to a pixel of the map) are those of each map.

    Shape: x `[T, N, C, H, W]` -> one `[T, N, C_i, H_i, W_i]` a layer.
    Raises:
        DataError: the input is not what the model takes.
    """

    def __init__(
        self, model: SpikingModel, layers: Sequence[str], channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config, self.input = model.config, model.input
        self.features = _cut(model.features, layers)
        self.layers, self.channels, self.strides = tuple(layers), tuple(channels), tuple(strides)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps in the order of `layers`."""
        check_input(x, self.config)
        with _recorded((name, self.get_submodule(name)) for name in self.layers) as calls:
            self.features(x if self.input is None else self.input(x))
        found = {name: output for name, _, output in calls}
        return [found[name] for name in self.layers]

    def extra_repr(self) -> str:
        """Layers with their channels and strides."""
        found = zip(self.layers, self.channels, self.strides, strict=True)
        return ", ".join(
            f"{layer} ({channels} channels, stride {stride})" for layer, channels, stride in found
        )


def features_only(model: SpikingModel, layers: Sequence[str] | None = None) -> MultiScale:
    """The model as a backbone: maps of the named `layers`, or of the last layer at each resolution, finest first.

    What stands behind a global pooling has no map and is left out. The layers are found by running the model once, on zeros, in
    evaluation mode; nothing of the model is changed.

    Raises:
        RecipeError: the model computes with spike times and has no maps over time, or has no such layer.
        DataError: a named layer gives no map `[T, N, C, H, W]`.
    """
    if model.config.neuron is None:
        raise RecipeError(
            f"{model.config.name} computes with spike times and has no maps over time; take a model whose neurons run over time, "
            "such as vgg_small or resnet20"
        )
    maps = _last_of_each_size(model) if layers is None else _named(model, layers)
    strides = [_stride(model.config.input_size, found.shape[-2:]) for found in maps.values()]
    return MultiScale(model, list(maps), [found.shape[2] for found in maps.values()], strides)


def _last_of_each_size(model: SpikingModel) -> dict[str, Tensor]:
    """The last map of each resolution; a sequence that gives on what its last member gave does not count."""
    found: dict[torch.Size, tuple[str, Tensor]] = {}
    for name, module, output in _run(model, _chain("features", model.features)):
        if isinstance(module, GlobalAvgPool2d):
            break
        if isinstance(output, Tensor) and output.dim() == 5:
            size = output.shape[-2:]
            if size not in found or found[size][1] is not output:
                found[size] = (name, output)
    return dict(found.values())


def _named(model: SpikingModel, layers: Sequence[str]) -> dict[str, Tensor]:
    """The maps of named layers, in their order."""
    known = {name: module for name, module in model.named_modules() if name}
    for name in layers:
        if name not in known:
            raise RecipeError(unknown("layer", name, known))
    outputs = {name: output for name, _, output in _run(model, ((name, known[name]) for name in layers))}
    for name in layers:
        output = outputs.get(name)
        if not isinstance(output, Tensor) or output.dim() != 5:
            given = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise DataError(
                f"layer {name!r} of {model.config.name} gives {given}, which is no map [T, N, C, H, W]: name a layer of "
                "its features"
            )
    return {name: outputs[name] for name in layers}


def _run(model: SpikingModel, modules: Iterable[tuple[str, nn.Module]]) -> Calls:
    """The outputs of modules in a forward pass of the features on zeros, which leaves statistics and modes as they are."""
    config, reference = model.config, next(model.parameters())
    zeros = reference.new_zeros(config.T or 1, 1, config.in_channels, *config.input_size)
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), _recorded(modules) as calls:
            model.eval().forward_features(zeros)
    finally:
        for module, training in modes.items():
            module.training = training
    return calls


@contextmanager
def _recorded(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[Calls]:
    """Within the block, what modules put out."""
    calls: Calls = []
    handles = []
    for name, module in modules:

        def hook(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            calls.append((name, module, output))

        handles.append(module.register_forward_hook(hook))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _chain(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The members of a chain: the children of `features`, of sequences their members, and after them the whole."""
    if isinstance(module, nn.Sequential) or name == "features":
        for child_name, child in module.named_children():
            yield from _chain(f"{name}.{child_name}", child)
    yield name, module


def _cut(features: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A sequence up to the last member that the layers are in; anything else whole."""
    if not isinstance(features, nn.Sequential) or "features" in layers:
        return features
    names = [name for name, _ in features.named_children()]
    places = [names.index(layer.split(".")[1]) for layer in layers if layer.startswith("features.")]
    return features[: 1 + max(places, default=-1)]


def _stride(size: tuple[int, int], map_size: tuple[int, ...]) -> int:
    """The power of two by which a map is smaller, its sizes rounded down or up; else the nearest whole number."""
    for power in range(max(size).bit_length() + 1):
        stride = 2**power
        if all(m in (n // stride, -(-n // stride)) for n, m in zip(size, map_size, strict=True)):
            return stride
    return max(1, round(size[0] / map_size[0]))
