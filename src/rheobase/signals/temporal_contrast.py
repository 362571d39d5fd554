"""Temporal contrast (threshold-based representation): a spike where the signal jumps.

    d[n] = x[n] - x[n-1];   s[n] = sign(d[n]) where |d[n]| > th;   th = mean(d) + f * std(d);   s[0] = 0

A fixed `threshold` replaces mean and deviation, which are of the whole signal. The decoder sums steps of th and drifts.

Source: Delbruck and Lichtsteiner's temporal contrast, as in Petro et al. (2020).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.errors import DataError
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, StartedStream, integrate, row
from rheobase.signals.tae import threshold_range


class TemporalContrast(EncoderBase):
    """Temporal contrast: threshold `mean(d) + f std(d)` of each channel of each item, or the one given.

    A threshold below 0 (a signal that falls steadily) is taken as 0.
    """

    name: Literal["temporal_contrast"] = "temporal_contrast"
    f: float = Field(default=1.0, ge=0)
    threshold: float | None = Field(default=None, ge=0)

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`f`, or the threshold where one is set."""
        return ("f", 1e-3, 20.0) if self.threshold is None else ("threshold", *threshold_range(x))

    def calibrate(self, x: Samples) -> dict[str, Samples]:
        """The threshold, if it comes from the signal."""
        if self.threshold is not None:
            return {}
        if len(x) < 2:
            return {"threshold": np.zeros(x.shape[1:])}
        d = np.diff(x, axis=0)
        return {"threshold": np.maximum(d.mean(0) + self.f * d.std(0), 0.0)}

    def stream(self, **given: Samples) -> "TemporalContrastStream":
        """A stream; where the configuration has no threshold, one must be given (`[N, C]`)."""
        self._wanted(given, *(["threshold"] if self.threshold is None else []))
        threshold: ArrayLike = given["threshold"] if self.threshold is None else self.threshold
        return TemporalContrastStream(threshold)

    def decode(self, spikes: ArrayLike, *, start: ArrayLike = 0.0, **side: Any) -> Samples:
        """`start + th * cumsum(s)`; drifts. Shape: spikes [L, N, C], side [N, C] -> [L, N, C]."""
        threshold = side.get("threshold", self.threshold)
        if threshold is None:
            raise DataError(
                "temporal contrast is decoded with its threshold: decode(spikes, start=..., threshold=...)"
            )
        return integrate(spikes, start, threshold)


class TemporalContrastStream(StartedStream):
    """Temporal contrast under way: the last sample is carried."""

    def __init__(self, threshold: ArrayLike):
        super().__init__({})
        self.given = threshold

    def _prepare(self, items: int, channels: int) -> None:
        super()._prepare(items, channels)
        self.side["threshold"] = row(self.given, "threshold", (0, items, channels))

    def _start(self, first: Samples) -> None:
        self.before = first[None].copy()

    def _run(self, x: Samples, spikes: Spikes) -> None:
        d = np.diff(np.concatenate([self.before, x]), axis=0)
        spikes[:] = np.sign(d) * (np.abs(d) > self.side["threshold"].reshape(-1))
        self.before = x[-1:].copy()
