"""What attention is made of: sums within heads, gates and products of matrices."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rheobase.compression.fitting import INT32_MAX
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Value
from rheobase.compression.lattice import (
    EXACT,
    LatticeGate,
    LatticeHeadMatMul,
    LatticeHeadOrPool,
    LatticeHeadSum,
)
from rheobase.errors import LatticeError, ProgramError
from rheobase.layers.attention.driven import TokenErode
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum
from rheobase.program import ops
from rheobase.program.ops import Bounds


def head_sum(b: Builder, name: str, layer: HeadSum, x: Value) -> Value:
    """Sums of integers whose unit is one for each head."""
    op = ops.HeadSum(layer.heads)
    (x,) = _within(b, name, op, _in_one_unit_a_head(b, name, layer.heads, x))
    shape, low, high, wide = _reached(name, op, x)
    unit, offset = (each.reshape(layer.heads, -1) for each in (x.unit, x.offset))
    place = b.put(name, LatticeHeadSum(layer.heads, wide=wide), x)
    return Value(place, shape, x.events, unit[:, 0], offset.sum(1), low, high)


def token_erode(b: Builder, name: str, layer: TokenErode, x: Value) -> Value:
    """The largest integers of windows that cross channels: all of a head stand for floats alike, and rise with them."""
    heads = layer.heads
    if x.shape[0] % heads:
        raise LatticeError(f"layer {name!r}: {heads} heads do not divide the {x.shape[0]} channels")
    stand = torch.stack([x.unit, x.offset]).reshape(2, heads, -1)
    if not x.rising or not bool((stand == stand[..., :1]).all()):
        x = b.in_one_unit(name, [x])[0]
    op = ops.HeadOrPool(heads, layer.kernel)
    _, low, high, _ = _reached(name, op, x)
    place = b.put(name, LatticeHeadOrPool(heads), x)
    return replace(x, place=place, low=low, high=high, rows=None)


def gate(b: Builder, name: str, layer: Gate, mask: Value, x: Value) -> Value:
    """Products of integers; each factor's unit goes into that of the product."""
    op = ops.Gate()
    mask, x = _within(b, name, op, *(_without_offset(b, name, each) for each in (mask, x)))
    shape, low, high, wide = _reached(name, op, mask, x)
    unit = mask.unit.repeat_interleave(x.shape[0] // mask.shape[0]) * x.unit
    place = b.put(name, LatticeGate(wide=wide), mask, x)
    return Value(place, shape, mask.events and x.events, unit, 0 * unit, low, high)


def head_matmul(b: Builder, name: str, layer: HeadMatMul, first: Value, second: Value) -> Value:
    """Sums of products: the first factor has one unit for each head, and so has the second one where it is transposed."""
    op = ops.HeadMatMul(layer.heads, layer.transpose or "none")
    first = _in_one_unit_a_head(b, name, layer.heads, _without_offset(b, name, first))
    second = _without_offset(b, name, second)
    if layer.transpose == "second":
        second = _in_one_unit_a_head(b, name, layer.heads, second)
    first, second = _within(b, name, op, first, second)
    shape, low, high, wide = _reached(name, op, first, second)
    columns = shape[0] // layer.heads
    of_row = first.unit.reshape(layer.heads, -1)[:, :1]
    of_column = second.unit.reshape(layer.heads, -1)
    unit = (of_row * (of_column[:, :1] if layer.transpose == "second" else of_column)).expand(-1, columns)
    place = b.put(name, LatticeHeadMatMul(layer.heads, layer.transpose, wide=wide), first, second)
    events = first.events and second.events
    return Value(place, shape, events, unit.reshape(-1), torch.zeros_like(low), low, high)


def _without_offset(b: Builder, name: str, x: Value) -> Value:
    return x if bool((x.offset == 0).all()) else b.in_one_unit(name, [x])[0]


def _in_one_unit_a_head(b: Builder, name: str, heads: int, x: Value) -> Value:
    """The value itself where all channels of a head have one unit."""
    if x.shape[0] % heads:
        raise LatticeError(f"layer {name!r}: {heads} heads do not divide the {x.shape[0]} channels")
    unit = x.unit.reshape(heads, -1)
    return x if bool((unit == unit[:, :1]).all()) else b.in_one_unit(name, [x])[0]


def _within(b: Builder, name: str, op: ops.Op, *values: Value) -> list[Value]:
    """The values, currents among them so coarse that the op stays within 32 bits."""
    widest = _bounds(name, op, *values).widest
    currents = sum(not value.events for value in values)
    if widest <= INT32_MAX or not currents:
        return list(values)
    part = (INT32_MAX / (4 * widest)) ** (1 / currents)
    return [
        value if value.events else b.in_one_unit(name, [value], float(value.magnitude.max()) * part)[0]
        for value in values
    ]


def _reached(name: str, op: ops.Op, *values: Value) -> tuple[tuple[int, ...], Tensor, Tensor, bool]:
    """Shape and range of an op's result, and whether it may pass 2^24."""
    found = _bounds(name, op, *values)
    if found.widest > INT32_MAX:
        raise LatticeError(
            f"layer {name!r} can reach {found.widest}, beyond 32 bits: use more heads, fewer tokens, or multiply spikes in "
            "place of counts"
        )
    shape = op.output_shape(*(value.shape for value in values))
    low, high = (torch.from_numpy(end).double() for end in (found.low, found.high))
    return shape, low, high, found.widest >= EXACT


def _bounds(name: str, op: ops.Op, *values: Value) -> Bounds:
    """What the program proves of the op."""
    shapes = [value.shape for value in values]
    ranges = []
    for x in values:
        low, high = (end.numpy().astype(np.int64) for end in (x.low, x.high))
        ranges.append(Bounds(low, high, 0, "uint32_t" if x.events and not x.signed else "int32_t"))
    try:
        op.output_shape(*shapes)
        return op.bounds(*ranges, *shapes, steps=1)
    except ProgramError as error:
        raise LatticeError(f"layer {name!r}: {error}") from None
