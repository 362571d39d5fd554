"""Layers with weights: sums of integers, whose unit is that of the weights times that of what they read."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from rheobase.compression.fitting import INT32_MAX
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Rows, Value
from rheobase.compression.lattice import EXACT
from rheobase.compression.quantise import latent_weight
from rheobase.errors import LatticeError
from rheobase.layers import PadShortcut


def weighted(b: Builder, name: str, layer: nn.Conv2d | nn.Linear, x: Value) -> Value:
    """Sums of integer weights: their unit is that of the weights times that of `x`."""
    if name not in b.quantisers:
        raise LatticeError(f"layer {name!r} has float weights: call quantise_ with edge_bits=8 before harden")
    quantiser = b.quantisers[name]
    values, unit = quantiser.integers(latent_weight(layer))
    rows = Rows(name, values.clone(), quantiser)
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            raise LatticeError(
                f"layer {name!r}: only zero-padded convolutions with padding in numbers can be hardened"
            )
        (sh, sw), (ph, pw) = layer.stride, layer.padding
        rows = replace(
            rows,
            stride=(sh, sw),
            padding=(ph, pw),
            dilation=(layer.dilation[0], layer.dilation[1]),
            groups=layer.groups,
        )
    found = _summed(b, rows, unit, x, quantiser.step * quantiser.levels + abs(quantiser.offset))
    if layer.bias is not None:
        found.offset = layer.bias.double()
    return found


def pad_shortcut(b: Builder, name: str, layer: PadShortcut, x: Value) -> Value:
    """A fixed convolution by weights of 0 and 1."""
    rows = Rows(name, layer.weight, None, (layer.stride, layer.stride))
    return _summed(b, rows, torch.ones(len(layer.weight)), x, 1)


def _summed(b: Builder, rows: Rows, unit: Tensor, x: Value, widest: int) -> Value:
    """Add weights whose codes decode to at most `widest`, fed by events or a current, as fine as 31 bits allow."""
    flat = rows.values.double().flatten(2) if rows.values.dim() > 2 else rows.values.double()[..., None]
    limit = INT32_MAX / max(float(flat.abs().sum((1, 2)).max()), widest)
    if not x.plain or float(x.magnitude.max()) > limit:
        x = b.in_one_unit(rows.name, [x], max(limit - 1, 1))[0]
    out = len(flat)
    # [C] to [Cout, Cin/G, 1]: what each output reads
    low, high = (
        end.reshape(rows.groups, 1, -1).expand(-1, out // rows.groups, -1).reshape(out, -1, 1)
        for end in (x.low.clamp(max=0), x.high.clamp(min=0))
    )
    positive, negative = flat.clamp(min=0), flat.clamp(max=0)
    least = (positive * low + negative * high).sum((1, 2))
    most = (positive * high + negative * low).sum((1, 2))
    rows.wide = float(torch.maximum(-least, most).max()) >= EXACT
    shape: tuple[int, ...] = (out,)
    if rows.values.dim() > 2:
        sizes = zip(x.shape[1:], rows.padding, rows.dilation, rows.values.shape[2:], rows.stride, strict=True)
        shape = (out, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes))
        if 1 in shape[1:]:  # a kernel that moves along one axis alone has one stride
            rows.stride = (rows.stride[shape[1] == 1],) * 2
    units = unit.flatten().double().expand(out) * x.unit[0]
    place = b.put(rows.name, rows, x)
    turnable = rows if x.events and rows.quantiser is not None else None
    return Value(place, shape, False, units, units * 0, least, most, turnable)
