"""The nodes of a float or quantised torch model: batch-norm, input unit and neuron gains folded into weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.compression.chain import forward_chain
from rheobase.errors import LatticeError
from rheobase.exchange.losses import ExchangeError, Loss
from rheobase.exchange.sketch import Array, Fire, Flat, Node, Pool, Sketch, Weighted, scaled
from rheobase.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, InputUnit, Linear
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron
from rheobase.program.ops.base import Shape


@torch.no_grad()
def from_model(model: SpikingModel) -> Sketch:
    """The nodes of a chain such as the VGGs; statistics of batch-norm are those of evaluation.

    Raises:
        ExchangeError: a layer or operation that has no node; the message names it.
    """
    modules = dict(model.named_modules())
    shape: Shape = (model.config.in_channels, *model.config.input_size)
    sketch = Sketch(shape, [], [])  # type: ignore[arg-type]
    unit = 1.0
    try:
        names = list(forward_chain(model))
    except LatticeError as error:
        raise ExchangeError(f"only plain chains can be exported so far: {error}") from None
    for name in names:
        layer = modules[name]
        common: dict[str, Any] = {"name": name, "inputs": (len(sketch.nodes) - 1,)}
        last = sketch.nodes[-1] if sketch.nodes else None
        if isinstance(layer, InputUnit):
            unit *= layer.unit
        elif isinstance(layer, BatchNorm2d):
            sketch.nodes[-1] = _normalised(name, last, layer)
        elif isinstance(layer, Conv2d | Linear):
            shape = _shape_after(layer, shape)
            node = _weighted(layer, common | {"shape": shape})
            sketch.nodes.append(replace(node, weight=node.weight * unit))
            unit = 1.0
        elif isinstance(layer, AvgPool2d | GlobalAvgPool2d):
            kernel = _kernel(name, layer, shape)
            shape = (shape[0], shape[1] // kernel[0], shape[2] // kernel[1])
            sketch.nodes.append(Pool(kernel=kernel, average=True, shape=shape, **common))
        elif isinstance(layer, Flatten):
            shape = (int(np.prod(shape)),)
            sketch.nodes.append(Flat(shape=shape, **common))
        elif isinstance(layer, Neuron):
            if not isinstance(last, Weighted):
                raise ExchangeError(f"neuron {name!r} must follow a convolution or linear layer")
            sketch.nodes[-1] = scaled(last, float(layer.gain()))
            sketch.nodes.append(_fire(name, layer, common | {"shape": shape}, sketch.losses))
        else:
            raise ExchangeError(
                f"layer {name!r} ({type(layer).__name__}) has no form in the exchange formats"
            )
    if not sketch.nodes or not isinstance(sketch.nodes[-1], Weighted):
        raise ExchangeError("the model must end with a linear layer")
    return sketch


def _weighted(layer: Conv2d | Linear, common: dict[str, Any]) -> Weighted:
    weight = _array(layer.weight)
    bias = np.zeros(len(weight)) if layer.bias is None else _array(layer.bias)
    if isinstance(layer, Linear):
        return Weighted(weight=weight, bias=bias, **common)
    same = [len({*pair}) == 1 for pair in (layer.stride, layer.padding, layer.dilation)]
    if (
        isinstance(layer.padding, str)
        or layer.dilation[0] != 1
        or not all(same)
        or layer.padding_mode != "zeros"
    ):
        raise ExchangeError(
            f"layer {common['name']!r}: only square strides and paddings with zeros, without dilation"
        )
    return Weighted(
        weight=weight,
        bias=bias,
        stride=layer.stride[0],
        padding=layer.padding[0],
        groups=layer.groups,
        **common,
    )


def _normalised(name: str, node: Node | None, layer: nn.BatchNorm2d) -> Weighted:
    """`y = gamma * (x - mean) / sqrt(var + eps) + beta` in weights and bias."""
    if not isinstance(node, Weighted) or layer.running_var is None or layer.running_mean is None:
        raise ExchangeError(f"batch-norm {name!r} must follow a convolution and keep running statistics")
    gain = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
    shift = torch.zeros_like(gain)
    if layer.affine:
        gain, shift = gain * layer.weight.double(), layer.bias.double()
    moved = replace(node, bias=node.bias - _array(layer.running_mean))
    moved = scaled(moved, _array(gain))
    return replace(moved, bias=moved.bias + _array(shift))


def _fire(name: str, layer: Neuron, common: dict[str, Any], losses: list[Loss]) -> Fire:
    config = layer.config
    if config.ternary:
        losses.append(Loss(name, "neurons fire only +1, not -1 (ternary)"))
    if config.membrane is not None:
        losses.append(
            Loss(name, f"membranes are not rounded ({config.membrane.name}, {config.membrane.bits} bits)")
        )
    channels = common["shape"][0]
    threshold = np.broadcast_to(_array(torch.as_tensor(layer.threshold())), (channels,))
    reset = None if layer.v_reset is None else np.full(channels, float(layer.v_reset))
    return Fire(keep=float(layer.leak()), threshold=threshold, v_reset=reset, strict=config.strict, **common)


def _shape_after(layer: Conv2d | Linear, shape: Shape) -> Shape:
    meta = torch.empty(1, *shape, device="meta")
    if isinstance(layer, Linear):
        return (layer.out_features,)
    weight = torch.empty(layer.weight.shape, device="meta")
    done = nn.functional.conv2d(meta, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    return tuple(done.shape[1:])


def _kernel(name: str, layer: nn.AvgPool2d | nn.AdaptiveAvgPool2d, shape: Shape) -> tuple[int, int]:
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return shape[1], shape[2]

    def pair(value: int | tuple[int, int]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else value

    kernel = pair(layer.kernel_size)
    if (
        pair(layer.stride) != kernel
        or pair(layer.padding) != (0, 0)
        or layer.ceil_mode
        or layer.divisor_override
    ):
        raise ExchangeError(f"layer {name!r}: only average pooling with stride = kernel and no padding")
    return kernel


def _array(values: Tensor) -> Array:
    return values.detach().double().cpu().numpy()
