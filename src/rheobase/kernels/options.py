"""The options of one recurrence, as the kernels and the torch operator take them."""

import math
from functools import cache
from typing import NamedTuple

RECTANGULAR, TENT, SIGMOID, ATAN = range(4)


class ScanOptions(NamedTuple):
    """What `neuron_scan` was asked for besides tensors; `surrogate` is a name, `shape` its one parameter."""

    v_reset: float | None
    detach_reset: bool
    strict: bool
    surrogate: str
    shape: float
    ternary: bool = False
    membrane_bits: int | None = None
    membrane_limit: float = 1.0


def membrane_grid(bits: int | None, limit: float) -> tuple[int, float]:
    """Levels on either side of 0, and their distance: `n = 2^(bits-1) - 1` and `limit / n`; (0, 1) without bits."""
    if bits is None:
        return 0, 1.0
    levels = 2 ** (bits - 1) - 1
    return levels, limit / levels


@cache
def surrogate_numbers(surrogate: str, shape: float) -> tuple[int, float, float]:
    """Which formula of `derivative` in the kernels a surrogate is, and its numbers a and b.

    Rectangular: `b * 1[|u| < a]`; tent: `max(0, a - b |u|)`; sigmoid: `a * y / (1 + y)^2` with `y = 2^-|b u|`;
    arc tangent: `b / (1 + (a u)^2)`.
    """
    return {
        "rectangular": (RECTANGULAR, 0.5 * shape, 1.0 / shape),
        "triangular": (TENT, 1.0 / shape, 1.0 / shape**2),
        "piecewise_quadratic": (TENT, shape, shape**2),
        "sigmoid": (SIGMOID, shape, shape / math.log(2.0)),
        "atan": (ATAN, 0.5 * math.pi * shape, 0.5 * shape),
    }[surrogate]
