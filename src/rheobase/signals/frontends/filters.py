"""Filters as cascades of second-order sections, which a stream carries from chunk to chunk.

    y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]          one section after the other

They are causal: what a filter puts out now depends on what has come so far, so that a delay in its pass band is part of it.
"""

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator
from scipy import signal

from rheobase.signals.encoder import Samples
from rheobase.signals.frontends.base import FrontEnd, FrontStream


class Filter(FrontEnd):
    """A filter that leaves the number of samples and channels as they are."""

    sampling: float = Field(gt=0)

    def sections(self) -> Samples:
        """Second-order sections, rows `b0 b1 b2 1 a1 a2`. Shape: [S, 6]."""
        raise NotImplementedError

    def stream(self) -> "FilterStream":
        """The filter, starting from rest."""
        return FilterStream(self.sections())


class FilterStream(FrontStream):
    """Sections under way; two numbers a section and signal are carried."""

    def __init__(self, sections: Samples) -> None:
        super().__init__()
        self.sections = sections

    def _prepare(self, items: int, channels: int) -> None:
        self.state = np.zeros((len(self.sections), 2, items, channels))

    def _push(self, x: Samples) -> Samples:
        if not x.size:
            return np.zeros_like(x)
        y, self.state = signal.sosfilt(self.sections, x, axis=0, zi=self.state)
        return y


class BandPass(Filter):
    """Butterworth band-pass from `low` to `high` Hz; `order` a side. Without `low` a low-pass, without `high` a high-pass.

    Raises:
        ValidationError: `0 < low < high < sampling / 2` does not hold, or neither end is given.
    """

    name: Literal["band_pass"] = "band_pass"
    low: PositiveFloat | None = None
    high: PositiveFloat | None = None
    order: int = Field(default=2, ge=1, le=8)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends or ends != sorted(set(ends)) or ends[-1] >= self.sampling / 2:
            raise ValueError(
                f"a band needs low < high < sampling / 2, got {self.low}, {self.high} and {self.sampling / 2:g} Hz"
            )
        return self

    def sections(self) -> Samples:
        """Of the Butterworth design by the bilinear transform."""
        kind: Any = "lowpass" if self.low is None else "highpass" if self.high is None else "bandpass"
        ends = [end for end in (self.low, self.high) if end is not None]
        edges = ends if len(ends) == 2 else ends[0]
        return signal.butter(self.order, edges, kind, fs=self.sampling, output="sos")


class Notch(Filter):
    """One frequency out, the mains say: a zero on the unit circle, with the band `frequency / quality` wide at -3 dB.

    Raises:
        ValidationError: `frequency < sampling / 2` does not hold.
    """

    name: Literal["notch"] = "notch"
    frequency: float = Field(default=50.0, gt=0)
    quality: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.frequency >= self.sampling / 2:
            raise ValueError(
                f"a notch lies below sampling / 2 = {self.sampling / 2:g} Hz, got {self.frequency:g}"
            )
        return self

    def sections(self) -> Samples:
        """One section."""
        b, a = signal.iirnotch(self.frequency, self.quality, self.sampling)
        return np.concatenate([b, a])[None]
