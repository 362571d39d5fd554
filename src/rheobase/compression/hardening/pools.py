"""Sums, means and maxima over windows."""

from dataclasses import replace

import torch
from torch import nn

from rheobase.compression.fitting import INT32_MAX
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Value
from rheobase.compression.lattice import EXACT, LatticeOrPool, LatticeSumPool
from rheobase.errors import LatticeError
from rheobase.layers import GlobalAvgPool2d
from rheobase.layers.tokens import MapSum


def map_sum(b: Builder, name: str, layer: MapSum, x: Value) -> Value:
    """One window."""
    return _summed(b, name, None, x)


def global_mean(b: Builder, name: str, layer: GlobalAvgPool2d, x: Value) -> Value:
    """One window, whose area goes into the unit."""
    area = x.shape[1] * x.shape[2]
    found = _summed(b, name, None, x)
    return replace(found, unit=found.unit / area, offset=found.offset / area)


def mean(b: Builder, name: str, layer: nn.AvgPool2d, x: Value) -> Value:
    """Sums of windows; their area goes into the unit."""
    kernel = _pair(layer.kernel_size)
    plain = _pair(layer.stride) == kernel and _pair(layer.padding) == (0, 0)
    if not plain or layer.ceil_mode or layer.divisor_override:
        raise LatticeError(
            f"layer {name!r}: only average pooling with stride = kernel and no padding becomes a sum pool"
        )
    found = _summed(b, name, kernel, x)
    area = kernel[0] * kernel[1]
    return replace(found, unit=found.unit / area, offset=found.offset / area)


def maximum(b: Builder, name: str, layer: nn.MaxPool2d, x: Value) -> Value:
    """The largest integers of windows: rows whose unit is negative are turned before, and stay so for whoever reads on."""
    kernel, stride, padding = (_pair(n) for n in (layer.kernel_size, layer.stride, layer.padding))
    if _pair(layer.dilation) != (1, 1) or layer.ceil_mode or layer.return_indices:
        raise LatticeError(
            f"layer {name!r}: only maximum pooling with dilation=1 and ceil_mode=False can be hardened"
        )
    if bool((x.unit < 0).any()):
        if x.rows is not None and x.turns:
            x.rows.turn(x.unit)
            down = x.unit < 0
            low, high = torch.where(down, -x.high, x.low), torch.where(down, -x.low, x.high)
            x = replace(x, unit=x.unit.abs(), low=low, high=high)
        else:
            x = b.in_one_unit(name, [x])[0]
    sizes = zip(x.shape[1:], padding, kernel, stride, strict=True)
    shape = (x.shape[0], *((n + 2 * p - k) // s + 1 for n, p, k, s in sizes))
    return replace(x, place=b.put(name, LatticeOrPool(kernel, stride, padding), x), shape=shape, turns=False)


def _summed(b: Builder, name: str, kernel: tuple[int, int] | None, x: Value) -> Value:
    """Sums of windows."""
    window = kernel or (x.shape[1], x.shape[2])
    area = window[0] * window[1]
    reach = float(x.magnitude.max()) * area
    if reach > INT32_MAX:
        x = b.in_one_unit(name, [x], INT32_MAX / area)[0]
    shape = (x.shape[0], x.shape[1] // window[0], x.shape[2] // window[1])
    low, high = x.low.clamp(max=0) * area, x.high.clamp(min=0) * area
    place = b.put(name, LatticeSumPool(kernel, wide=reach >= EXACT), x)
    return replace(x, place=place, shape=shape, offset=x.offset * area, low=low, high=high, rows=None)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
