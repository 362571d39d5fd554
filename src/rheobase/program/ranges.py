"""Interval analysis: proof that no integer of a program can overflow, on any input."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rheobase.errors import ProgramError
from rheobase.program.ops.base import INT32_MAX, Bounds

if TYPE_CHECKING:
    from rheobase.program.ir import Program

FLOAT32_EXACT = 1 << 24


@dataclass(frozen=True)
class Range:
    """What one op can reach: output in `low..high`; no integer met on the way is larger than `widest`."""

    layer: str
    low: int
    high: int
    widest: int
    storage: str  # C type of the stored result; for Conv2d and Linear the accumulator, before the shift
    product: int = 0  # largest product that may pass 32 bits


def analyse(program: "Program") -> list[Range]:
    """Range of every op, from frames of 0..255 (or -128..127) on, over the program's T steps.

    An accumulator's partial sums lie between the sum of the products that can be negative and the sum of those that
    can be positive, each at its extreme, whatever the order of summation.

    Raises:
        ProgramError: a value can leave 32 bits; names the op, the bound and what to do.
    """
    channels = program.input_shape[0]
    frame, ones = np.iinfo(program.input_type), np.ones(channels, np.int64)
    low, high = ones * int(frame.min), ones * int(frame.max)
    bounds = {-1: Bounds(low, high, max(-int(frame.min), int(frame.max)), f"{program.input_type}_t")}
    shapes = {-1: program.input_shape} | dict(enumerate(program.shapes()))
    found = []
    for index, op in enumerate(program.ops):
        incoming = [bounds[source] for source in op.inputs]
        try:
            reached = op.bounds(*incoming, *(shapes[source] for source in op.inputs), steps=program.T)
        except ProgramError as error:
            raise ProgramError(f"{program.label(index)}: {error}") from None
        if reached.widest > INT32_MAX:
            raise ProgramError(
                f"{program.label(index)} can reach {reached.widest}, beyond 32 bits; "
                "lower its shift, its weight bits, its heads' width or the counts that go in"
            )
        found.append(
            Range(
                program.label(index),
                int(reached.low.min()),
                int(reached.high.max()),
                reached.widest,
                reached.storage,
                reached.product,
            )
        )
        bounds[index] = reached
    return found


def float32_exact(program: "Program") -> bool:
    """Whether float32 computes this program exactly: no integer of a step reaches 2^24.

    Logits count step by step; their sum over T is the caller's.
    """
    return _beyond_float32(program) is None


def require_float32_exact(program: "Program") -> None:
    """Refuse a program that float32 cannot hold.

    Raises:
        ProgramError: names the first op that can reach 2^24, its bound and what to do.
    """
    if message := _beyond_float32(program):
        raise ProgramError(message)


def _beyond_float32(program: "Program") -> str | None:
    for kind, found in zip(program.kinds(), analyse(program), strict=True):
        widest = max(-found.low, found.high) if kind == "logits" else max(found.widest, found.product)
        if widest >= FLOAT32_EXACT:
            return (
                f"{found.layer} can reach {widest}, but float32 is exact only below 2^24 = {FLOAT32_EXACT}; "
                "lower its shift, its weight bits or its saturation"
            )
    return None
