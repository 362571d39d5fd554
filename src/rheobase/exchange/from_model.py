"""The nodes of a float or quantised torch model: batch-norm, input unit and neuron gains folded into weights."""

import operator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from rheobase.compression.graph import name_of, trace
from rheobase.exchange.losses import ExchangeError, Loss
from rheobase.exchange.sketch import (
    Array,
    Fire,
    Flat,
    Node,
    Pool,
    Sketch,
    Sum,
    Weighted,
    own_weights,
    put_or_pool,
    scaled,
)
from rheobase.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    InputUnit,
    Linear,
    MaxPool2d,
    PadShortcut,
)
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron
from rheobase.program.ops.base import Shape

ADDITIONS = (operator.add, operator.iadd, torch.add)


@torch.no_grad()
def from_model(model: SpikingModel) -> Sketch:
    """The nodes of a model in evaluation: statistics of batch-norm are those it keeps.

    Raises:
        ExchangeError: a layer or operation that has no node; the message names it.
    """
    builder = _Builder(model)
    values: dict[fx.Node, _Value] = {}
    for node in trace(model).nodes:
        if node.op == "placeholder":
            values[node] = _Value(-1, builder.input_shape, 1.0, False)
            continue
        given = [values[each] for each in node.args if isinstance(each, fx.Node)]
        if node.op == "output":
            break
        if node.op == "call_module" and len(given) == 1:
            found = builder.layer(str(node.target), given[0])
        elif node.op == "call_function" and node.target in ADDITIONS and len(given) == 2:
            found = builder.sum(name_of(node), given)
        else:
            raise ExchangeError(f"operation {name_of(node)!r} has no form in the exchange formats")
        values[node] = replace(found, shared=len(node.users) > 1)
    if not builder.nodes or not isinstance(builder.nodes[-1], Weighted):
        raise ExchangeError("the model must end with a linear layer")
    return Sketch(builder.input_shape, builder.nodes, builder.losses)


@dataclass(frozen=True)
class _Value:
    """What a traced node gives: the place of its node, and the factor that has yet to be applied."""

    place: int
    shape: Shape
    unit: float
    shared: bool  # somebody else reads it too


class _Builder:
    """The nodes so far."""

    def __init__(self, model: SpikingModel) -> None:
        self.layers = dict(model.named_modules())
        self.input_shape = (model.config.in_channels, *model.config.input_size)
        self.nodes: list[Node] = []
        self.losses: list[Loss] = []

    def put(self, node: Node) -> _Value:
        """Add a node."""
        self.nodes.append(node)
        return _Value(len(self.nodes) - 1, node.shape, 1.0, False)

    def layer(self, name: str, x: _Value) -> _Value:
        """What a layer makes of `x`."""
        layer: Any = self.layers[name]
        if isinstance(layer, InputUnit):
            return replace(x, unit=x.unit * layer.unit)
        if isinstance(layer, nn.Identity):
            return x
        if isinstance(layer, Conv2d | Linear | PadShortcut):
            node = _weighted(name, layer, x)
            return self.put(replace(node, weight=node.weight * x.unit))
        if x.unit != 1:
            raise ExchangeError(f"layer {name!r} reads the frame in a unit, which only weights can take up")
        common: dict[str, Any] = {"name": name, "inputs": (x.place,)}
        if isinstance(layer, BatchNorm2d):
            place = own_weights(self.nodes, x.place, x.shape, x.shared)
            self.nodes[place] = _normalised(name, self.nodes[place], layer)
            return _Value(place, x.shape, 1.0, False)
        if isinstance(layer, AvgPool2d | GlobalAvgPool2d):
            kernel = (x.shape[1], x.shape[2]) if isinstance(layer, GlobalAvgPool2d) else _window(name, layer)
            shape = (x.shape[0], x.shape[1] // kernel[0], x.shape[2] // kernel[1])
            return self.put(Pool(kernel=kernel, average=True, shape=shape, **common))
        if isinstance(layer, MaxPool2d):
            return self.maximum(name, layer, x)
        if isinstance(layer, Flatten):
            return self.put(Flat(shape=(prod(x.shape),), **common))
        if isinstance(layer, Neuron):
            place = own_weights(self.nodes, x.place, x.shape, x.shared)
            self.losses += _losses(name, layer)
            return self.put(_fire(layer, {"name": name, "inputs": (place,), "shape": x.shape}))
        raise ExchangeError(f"layer {name!r} ({type(layer).__name__}) has no form in the exchange formats")

    def sum(self, name: str, given: list[_Value]) -> _Value:
        """An addition."""
        if any(value.unit != 1 for value in given):
            raise ExchangeError(f"{name!r} adds the frame in a unit, which only weights can take up")
        return self.put(Sum(name=name, inputs=tuple(value.place for value in given), shape=given[0].shape))

    def maximum(self, name: str, layer: nn.MaxPool2d, x: _Value) -> _Value:
        """Of spikes, their OR."""
        kernel, stride, padding = (_pair(n) for n in (layer.kernel_size, layer.stride, layer.padding))
        spikes = x.place >= 0 and isinstance(self.nodes[x.place], Fire)
        square = all(a == b for a, b in (kernel, stride, padding))
        if not spikes or not square or layer.ceil_mode or _pair(layer.dilation) != (1, 1):
            raise ExchangeError(
                f"layer {name!r}: only the maximum of spikes in square windows can be written"
            )
        height, width = ((n + 2 * padding[0] - kernel[0]) // stride[0] + 1 for n in x.shape[1:])
        shape = (x.shape[0], height, width)
        put_or_pool(self.nodes, x.place, x.shape[0], shape, name, kernel[0], stride[0], padding[0])
        return _Value(len(self.nodes) - 1, shape, 1.0, False)


def _weighted(name: str, layer: Conv2d | Linear | PadShortcut, x: _Value) -> Weighted:
    weight = _array(layer.weight)
    common: dict[str, Any] = {"name": name, "inputs": (x.place,)}
    bias = (
        np.zeros(len(weight)) if isinstance(layer, PadShortcut) or layer.bias is None else _array(layer.bias)
    )
    if isinstance(layer, Linear):
        return Weighted(weight=weight, bias=bias, shape=(len(weight),), **common)
    if isinstance(layer, PadShortcut):
        stride, padding, groups = layer.stride, 0, 1
    else:
        plain = not isinstance(layer.padding, str) and layer.padding_mode == "zeros"
        pairs = (layer.stride, layer.padding, layer.dilation) if plain else ()
        if not plain or any(len({*pair}) > 1 for pair in pairs) or layer.dilation[0] != 1:
            raise ExchangeError(
                f"layer {name!r}: only square strides and paddings of zeros, without dilation"
            )
        stride, padding, groups = layer.stride[0], int(layer.padding[0]), layer.groups
    height, width = (
        (n + 2 * padding - k) // stride + 1 for n, k in zip(x.shape[1:], weight.shape[2:], strict=True)
    )
    shape = (len(weight), height, width)
    return Weighted(
        weight=weight, bias=bias, stride=stride, padding=padding, groups=groups, shape=shape, **common
    )


def _normalised(name: str, node: Node, layer: nn.BatchNorm2d) -> Weighted:
    """`y = gamma * (x - mean) / sqrt(var + eps) + beta` in weights and bias."""
    if layer.running_var is None or layer.running_mean is None:
        raise ExchangeError(f"batch-norm {name!r} keeps no running statistics, so it cannot be folded")
    gain = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
    shift = torch.zeros_like(gain)
    if layer.affine:
        gain, shift = gain * layer.weight.double(), layer.bias.double()
    found = scaled(node, _array(gain))
    return replace(found, bias=found.bias + _array(shift - gain * layer.running_mean.double()))


def _losses(name: str, layer: Neuron) -> list[Loss]:
    config = layer.config
    what = []
    if config.ternary:
        what.append("neurons fire only +1, not -1 (ternary)")
    if config.membrane is not None:
        what.append(f"membranes are not rounded to {config.membrane.bits} bits ({config.membrane.name})")
    return [Loss(name, each) for each in what]


def _fire(layer: Neuron, common: dict[str, Any]) -> Fire:
    """Neurons in units of their current: h = keep v + gain I, divided by the gain."""
    gain, channels = float(layer.gain()), common["shape"][0]
    threshold = np.broadcast_to(_array(torch.as_tensor(layer.threshold())), (channels,)) / gain
    reset = None if layer.v_reset is None else np.full(channels, layer.v_reset / gain)
    return Fire(
        keep=float(layer.leak()), threshold=threshold, v_reset=reset, strict=layer.config.strict, **common
    )


def _window(name: str, layer: nn.AvgPool2d) -> tuple[int, int]:
    kernel = _pair(layer.kernel_size)
    plain = _pair(layer.stride) == kernel and _pair(layer.padding) == (0, 0)
    if not plain or layer.ceil_mode or layer.divisor_override:
        raise ExchangeError(f"layer {name!r}: only average pooling with stride = kernel and no padding")
    return kernel


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _array(values: Tensor) -> Array:
    return values.detach().double().cpu().numpy()
