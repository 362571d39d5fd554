"""Membrane quantisers: the few values that a membrane may keep from one step to the next.

A quantiser is a staircase: `levels`, and the `edges` between them. A membrane w takes level i where
`edges[i-1] <= w < edges[i]`; NaN stays NaN. Every staircase has the level 0, where membranes start. Backward
takes `slope(w)` for the derivative of the stairs (straight-through); `smooth` is its antiderivative.
"""

import math
from ctypes import c_float
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from rheobase.config import Config


def _midpoints(levels: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(0.5 * (low + high) for low, high in pairwise(levels))


def _rises(values: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(c_float(value).value for value in values))


class MembraneBase(Config):
    """What all membrane quantisers share: `name`, `bits`, a staircase, and the slope that stands for its derivative.

    The slope is 1 where `|w - centre| < half`, else 0, and with `curved` times `1 - tanh(w)^2`.

    Raises:
        ValidationError: bits that are none of 2, 4 and 8, or numbers whose levels float32 cannot tell apart.
    """

    name: str
    bits: Literal[2, 4, 8]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not (_rises(self.levels()) and _rises(self.edges())):
            raise ValueError(
                f"float32 cannot tell the levels of {self!r} apart; give a wider range, or a multiplier nearer to 1"
            )
        return self

    @property
    def numbers(self) -> tuple[float, ...]:
        """With `name` and `bits`, all that `from_numbers` needs."""
        raise NotImplementedError

    @classmethod
    def from_numbers(cls, bits: int, numbers: tuple[float, ...]) -> Self:
        """The quantiser whose `numbers` these are."""
        raise NotImplementedError

    def levels(self) -> tuple[float, ...]:
        """The values a membrane may keep, rising; 0.0 is one."""
        raise NotImplementedError

    def edges(self) -> tuple[float, ...]:
        """Where the membrane steps from one level to the next: one fewer than levels, rising."""
        return _midpoints(self.levels())

    @property
    def window(self) -> tuple[float, float]:
        """Centre and half width of the range that passes gradients."""
        raise NotImplementedError

    @property
    def curved(self) -> bool:
        """Whether the slope within the window is `1 - tanh(w)^2` instead of 1."""
        return False

    def slope(self, w: Tensor) -> Tensor:
        """What the backward pass uses for the derivative of the stairs; same shape as w."""
        centre, half = self.window
        return ((w - centre).abs() < half).to(w.dtype)

    def smooth(self, w: Tensor) -> Tensor:
        """The antiderivative of `slope`, the staircase without stairs; same shape as w."""
        centre, half = self.window
        return w.clamp(centre - half, centre + half)


class _Even(MembraneBase):
    """Evenly spaced levels around 0."""

    limit: float = Field(default=1.0, gt=0)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Limit."""
        return (self.limit,)

    @classmethod
    def from_numbers(cls, bits: int, numbers: tuple[float, ...]) -> Self:
        """From (limit,)."""
        return cls.model_validate({"bits": bits, "limit": numbers[0]})

    def levels(self) -> tuple[float, ...]:
        """`limit * k / n` for k = -n..n, n = 2^(bits-1) - 1."""
        n = 2 ** (self.bits - 1) - 1
        return tuple(self.limit * k / n for k in range(-n, n + 1))


class UniformMembrane(_Even):
    """The nearest of `limit/n * {-n..n}`, n = 2^(bits-1) - 1.

    Slope: `1[|w| < limit]`.

    Raises:
        ValidationError: bits that are none of 2, 4 and 8, or limit <= 0.
    """

    name: Literal["uniform"] = "uniform"

    @property
    def window(self) -> tuple[float, float]:
        """0 and limit."""
        return 0.0, self.limit


class TanhMembrane(_Even):
    """The squashed membrane on an even grid: `v = a/n * clip(round(tanh(w) * n/a), -n, n)`.

    a = limit, n = 2^(bits-1) - 1; the edges are `atanh` of the midpoints between levels. Rounding a level gives
    another: these stairs shrink the membrane, as tanh does.

    Slope: `(1 - tanh(w)^2) * 1[|tanh(w)| < a]`.

    Raises:
        ValidationError: bits that are none of 2, 4 and 8, or limit outside (0, 1].
    Source: Wei et al., Q-SNN (ACM MM 2024, arXiv 2406.13672), and MINT without shared scale (Yin et al., ASP-DAC
    2024, arXiv 2305.09850). Both take a = max |tanh(w)| over the batch; here it is a constant, so that no sample
    changes another (training measures a = 1.000).
    """

    name: Literal["tanh"] = "tanh"
    limit: float = Field(default=1.0, gt=0, le=1)

    def edges(self) -> tuple[float, ...]:
        """`atanh` of the midpoints."""
        return tuple(math.atanh(middle) for middle in _midpoints(self.levels()))

    @property
    def window(self) -> tuple[float, float]:
        """0 and atanh(limit)."""
        return 0.0, math.inf if self.limit == 1 else math.atanh(self.limit)

    @property
    def curved(self) -> bool:
        """True."""
        return True

    def slope(self, w: Tensor) -> Tensor:
        """`1 - tanh(w)^2` where tanh(w) is not clipped."""
        return super().slope(w) * (1.0 - torch.tanh(w) ** 2)

    def smooth(self, w: Tensor) -> Tensor:
        """`clip(tanh(w), -limit, limit)`."""
        return torch.tanh(w).clamp(-self.limit, self.limit)


MULTIPLIERS = {2: 0.1, 4: 0.5, 8: 0.95}


class SquatMembrane(MembraneBase):
    """2^bits levels that crowd around the threshold, where a small difference decides a spike.

    They reach from `lo = -threshold * (1 + lower)` to `hi = threshold * (1 + upper)`.
    `exponential`: the threshold is a level; `floor(2^bits * (threshold - lo) / (hi - lo)) - 1` gaps (at least two)
    lie below it and the rest above, each `multiplier` times its outer neighbour (default: .1, .5, .95 for 2, 4, 8
    bits). `uniform`: equal gaps from lo to hi.
    The level nearest to 0 (of two, the lower) is then moved to 0: a membrane starts there and a hard reset returns
    there. `threshold` should be the neuron's.

    Slope: `1[lo < w < hi]`.

    Raises:
        ValidationError: bits that are none of 2, 4 and 8, threshold <= 0, lower or upper negative, a multiplier
            outside (0, 1), with uniform spacing, or so small that float32 cannot tell the levels apart.
    Source: Venkatesh, Marinescu and Eshraghian, SQUAT (2024, arXiv 2404.19668), and snnTorch's `state_quant`. The
    exact 0 is our reconstruction, as are the equal ratios of all gaps (snnTorch leaves out the level next below
    the threshold, and passes gradients everywhere).
    """

    name: Literal["squat"] = "squat"
    threshold: float = Field(default=1.0, gt=0)
    lower: float = Field(default=0.0, ge=0)
    upper: float = Field(default=0.2, ge=0)
    spacing: Literal["exponential", "uniform"] = "exponential"
    multiplier: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _read(self) -> Self:
        if self.spacing == "uniform" and self.multiplier is not None:
            raise ValueError(
                f"multiplier {self.multiplier:g} shapes exponential spacing alone; leave it out, or give "
                "spacing='exponential'"
            )
        return self

    @property
    def numbers(self) -> tuple[float, ...]:
        """threshold, lower, upper, and the factor between gaps: the multiplier, or 1 where they are equal."""
        factor = 1.0 if self.spacing == "uniform" else self.multiplier or MULTIPLIERS[self.bits]
        return self.threshold, self.lower, self.upper, factor

    @classmethod
    def from_numbers(cls, bits: int, numbers: tuple[float, ...]) -> Self:
        """From (threshold, lower, upper, factor)."""
        threshold, lower, upper, factor = numbers
        shape = {"spacing": "uniform"} if factor == 1 else {"multiplier": factor}
        return cls.model_validate(
            {"bits": bits, "threshold": threshold, "lower": lower, "upper": upper, **shape}
        )

    def _range(self) -> tuple[float, float]:
        return -self.threshold * (1 + self.lower), self.threshold * (1 + self.upper)

    def levels(self) -> tuple[float, ...]:
        """2^bits values from lo to hi, one of them 0."""
        lo, hi = self._range()
        count, factor = 2**self.bits, self.numbers[3]
        if self.spacing == "uniform":
            levels = [(lo * (count - 1 - i) + hi * i) / (count - 1) for i in range(count)]
        else:
            below = max(2, math.floor(count * (self.threshold - lo) / (hi - lo)) - 1)
            above = count - 1 - below
            levels = [self.threshold - gap for gap in _distances(self.threshold - lo, below, factor)]
            levels += [self.threshold]
            levels += [
                self.threshold + gap for gap in reversed(_distances(hi - self.threshold, above, factor))
            ]
        zero = min(range(1, count - 1), key=lambda i: abs(levels[i]))
        return (*levels[:zero], 0.0, *levels[zero + 1 :])

    @property
    def window(self) -> tuple[float, float]:
        """The middle between lo and hi, and half their distance."""
        lo, hi = self._range()
        return 0.5 * (lo + hi), 0.5 * (hi - lo)


def _distances(reach: float, gaps: int, factor: float) -> list[float]:
    """How far from the threshold as many levels as gaps lie, from `reach` inwards, each gap `factor` times the last."""
    rest = [factor**i - factor**gaps for i in range(gaps)]
    return [reach * part / rest[0] for part in rest]


Membrane = Annotated[
    UniformMembrane | TanhMembrane | SquatMembrane,
    Field(discriminator="name"),
]

MEMBRANES: dict[str, type[MembraneBase]] = {
    "uniform": UniformMembrane,
    "tanh": TanhMembrane,
    "squat": SquatMembrane,
}
