"""The options of one recurrence, as the kernels and the torch operator take them."""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from rheobase.kernels.gradients import EventGradient, window
from rheobase.kernels.membranes import MEMBRANES, MembraneBase
from rheobase.kernels.surrogates import SurrogateBase

RECTANGULAR, TENT, SIGMOID, ATAN = range(4)


class ScanOptions(NamedTuple):
    """What `neuron_scan` was asked for besides tensors; `surrogate` is a name, `shape` its one parameter."""

    v_reset: float | None
    detach_reset: bool
    strict: bool
    surrogate: str
    shape: float
    ternary: bool = False
    membrane: str | None = None
    membrane_bits: int = 0
    membrane_numbers: Sequence[float] = ()
    mask: str | None = None
    band: float = 0.0
    event_local: bool = False

    @property
    def window(self) -> tuple[float, float]:
        """The least and the greatest h - threshold that pass gradients."""
        return window(self.mask, self.band, self.strict)


def scan_options(
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: SurrogateBase,
    ternary: bool = False,
    membrane: MembraneBase | None = None,
    gradient: EventGradient | None = None,
) -> ScanOptions:
    """The options with surrogate, membrane quantiser and event gradient as names and numbers."""
    options = ScanOptions(v_reset, detach_reset, strict, surrogate.name, surrogate.shape, ternary)
    if membrane is not None:
        options = options._replace(
            membrane=membrane.name, membrane_bits=membrane.bits, membrane_numbers=membrane.numbers
        )
    if gradient is not None:
        options = options._replace(mask=gradient.mask, band=gradient.band, event_local=gradient.local)
    return options


class Staircase(NamedTuple):
    """A membrane quantiser as the kernels read it: tables of 2^bits entries, and its slope.

    Entries without a level repeat the highest one, their edges are infinite, so that a search of `bits` steps
    ends at a level. The slope is `b * 1[|w - centre| < a]` with b = 1 and a = half, and with `curved` times the
    sigmoid formula of `surrogate_numbers`, which is `1 - tanh(w)^2` for a = 4 and b = 2 / ln 2.
    """

    levels: tuple[float, ...]
    edges: tuple[float, ...]
    centre: float
    half: float
    curved: bool


@cache
def staircase(name: str, bits: int, numbers: tuple[float, ...]) -> Staircase:
    """The tables of the quantiser that `scan_options` took apart."""
    membrane = MEMBRANES[name].from_numbers(bits, numbers)
    levels, edges = membrane.levels(), membrane.edges()
    levels += (levels[-1],) * (2**bits - len(levels))
    edges += (math.inf,) * (2**bits - len(edges))
    return Staircase(levels, edges, *membrane.window, membrane.curved)


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
