"""Butterworth bands in integers: the meaning of `templates/bands.c`.

Each second-order section, with coefficients in 1/2^28 and signals of G fractional bits:

    a    = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2] + rest
    y[n] = clip(a >> 28, -2^29, 2^29);    rest = a mod 2^28

`rest` is what the floor took, given back a sample later, so that roundings leave no offset behind (poles near 1 would raise it a
thousandfold). `G` is the largest with which no signal between sections passes 2^29 (2^15 times the sum of the absolute impulse
response), so that clipping is there for the proof alone: products stay below 2^60, five of them and the rest below 2^63.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rheobase.errors import RecipeError
from rheobase.signals.frontends.bands import Bands

Integers = NDArray[np.int64]
POINT = 28
LIMIT = 1 << 29
HEARD = 1 << 16  # samples of the impulse responses that are summed
SLACK = 1.05


@dataclass(frozen=True, eq=False)
class IntegerBands:
    """Sections of all bands, one after the other. Shape: `sections` int64 [B, S, 5]: b0 b1 b2 a1 a2."""

    sections: Integers
    raw: bool
    fraction: int  # G
    unit: float  # of a value

    limit: int = LIMIT
    hop: int = 1

    @property
    def channels(self) -> int:
        """Values of a frame."""
        return len(self.sections) + self.raw

    def stream(self) -> "IntegerBandsStream":
        """The filters at rest."""
        return IntegerBandsStream(self)


class IntegerBandsStream:
    """Filters under way: the last two samples before and after each section [S + 1, 2, B], and what floors took [S, B]."""

    def __init__(self, config: IntegerBands) -> None:
        self.config = config
        bands, sections, _ = config.sections.shape
        self.past = np.zeros((sections + 1, 2, bands), np.int64)
        self.rest = np.zeros((sections, bands), np.int64)

    def push(self, samples: NDArray[Any]) -> Integers:
        """The next samples to the bands. Shape: [l, 1] -> [l, channels]."""
        c = self.config
        x = samples[:, 0].astype(np.int64) << c.fraction
        out = np.zeros((len(x), c.channels), np.int64)
        coefficients = c.sections.transpose(1, 2, 0)  # [S, 5, B]
        for n, value in enumerate(x):
            y = np.full(len(c.sections), value)
            for i, (b0, b1, b2, a1, a2) in enumerate(coefficients):
                before, after = self.past[i], self.past[i + 1]
                a = b0 * y + b1 * before[0] + b2 * before[1] - a1 * after[0] - a2 * after[1] + self.rest[i]
                self.past[i] = np.stack([y, before[0]])  # a copy: both are views of it
                y = np.clip(a >> POINT, -LIMIT, LIMIT)
                self.rest[i] = a & ((1 << POINT) - 1)
            self.past[-1] = np.stack([y, self.past[-1][0]])
            out[n] = np.concatenate([[value], y]) if c.raw else y
        return out


def integer_bands(front: Bands, unit: float) -> IntegerBands:
    """The integer form of a bank of bands on samples that stand for `unit` a count.

    Raises:
        RecipeError: a coefficient is beyond 8, or the filters' gain leaves no integer of 16-bit samples.
    """
    sections = np.stack([each.sections() for each in front.filters()])
    impulse = np.zeros(HEARD)
    impulse[0] = 1
    gain = 1.0
    for filters in sections:
        y = impulse
        for section in filters:
            y = signal.sosfilt(section[None], y)
            gain = max(gain, float(np.abs(y).sum()))
    fraction = math.floor(math.log2(LIMIT / (32768 * gain * SLACK)))
    kept = np.concatenate([sections[..., :3], sections[..., 4:]], -1)
    if fraction < 0 or float(np.abs(kept).max()) >= 8:
        raise RecipeError(
            f"bands with a gain of {gain:.3g} between their sections have no integer form; lower the order"
        )
    return IntegerBands(
        np.rint(kept * 2.0**POINT).astype(np.int64), front.raw, fraction, unit / 2.0**fraction
    )
