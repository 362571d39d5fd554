"""Layers that change what integers stand for and not the integers, and layers that move them."""

from dataclasses import replace

import torch
from torch import nn

from rheobase.compression.fitting import SUM_LIMIT, sum_fraction
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Value
from rheobase.compression.lattice import LatticeConcat, LatticeFlatten
from rheobase.errors import LatticeError
from rheobase.layers import Concat, Flatten, HeadScale, InputUnit
from rheobase.layers.tokens import Scale


def identity(b: Builder, name: str, layer: nn.Identity, x: Value) -> Value:
    """Nothing."""
    return x


def input_unit(b: Builder, name: str, layer: InputUnit, x: Value) -> Value:
    """What one count is worth."""
    return replace(x, unit=x.unit * layer.unit, offset=x.offset * layer.unit)


def scale(b: Builder, name: str, layer: Scale, x: Value) -> Value:
    """Another unit."""
    return replace(x, unit=x.unit * layer.factor, offset=x.offset * layer.factor)


def head_scale(b: Builder, name: str, layer: HeadScale, x: Value) -> Value:
    """Another unit for each head; factors that change from step to step make a current in a unit that does not."""
    heads = layer.heads
    if x.shape[0] % heads:
        raise LatticeError(f"layer {name!r} scales {heads} heads, which do not divide {x.shape[0]} channels")
    factor = layer.factor.detach().double().reshape(-1, heads).repeat_interleave(x.shape[0] // heads, 1)
    if bool((factor == factor[0]).all()):
        return replace(x, unit=x.unit * factor[0], offset=x.offset * factor[0])
    fraction = sum_fraction(float((x.reach * factor.abs()).max()), SUM_LIMIT, b.finest)
    return b.rescaled(name, x, x.unit * factor, x.offset * factor, fraction)


def batch_norm(b: Builder, name: str, layer: nn.BatchNorm2d, x: Value) -> Value:
    """The same integers stand for something else."""
    if layer.running_mean is None or layer.running_var is None:
        raise LatticeError(f"batch-norm {name!r} must keep running statistics to be folded")
    gain = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
    shift = torch.zeros_like(gain)
    if layer.affine:
        gain, shift = gain * layer.weight.double(), layer.bias.double()
    offset = (x.offset - layer.running_mean.double()) * gain + shift
    return replace(x, unit=x.unit * gain, offset=offset)


def concat(b: Builder, name: str, layer: Concat, first: Value, second: Value) -> Value:
    """Each channel keeps its unit; beside another kind of value, events become a current."""
    if first.shape[1:] != second.shape[1:]:
        raise LatticeError(f"layer {name!r} joins maps of {first.shape} and {second.shape}")
    if (first.events, first.signed) != (second.events, second.signed):
        first, second = (b.shifted(name, x, 0) if x.events else x for x in (first, second))
    unit, offset = torch.cat([first.unit, second.unit]), torch.cat([first.offset, second.offset])
    low, high = torch.cat([first.low, second.low]), torch.cat([first.high, second.high])
    place = b.put(name, LatticeConcat(), first, second)
    return Value(place, (len(unit), *first.shape[1:]), first.events, unit, offset, low, high)


def flatten(b: Builder, name: str, layer: Flatten, x: Value) -> Value:
    """Each channel's unit at each of its places."""
    places = x.shape[1] * x.shape[2]
    each = {key: getattr(x, key).repeat_interleave(places) for key in ("unit", "offset", "low", "high")}
    place = b.put(name, LatticeFlatten(), x)
    return replace(x, place=place, shape=(x.shape[0] * places,), rows=None, **each)
