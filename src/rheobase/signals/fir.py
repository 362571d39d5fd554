"""What BSA and HSA share: the signal is a sum of copies of one FIR filter h, and a spike is one copy.

A window of F samples decides a spike, so a stream is F - 1 samples late, and the last F - 1 samples have no spikes.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals.encoder import EncoderBase, Samples, Spikes, Stream, as_spikes, row


class FilterEncoder(EncoderBase):
    """A code whose decoder is a convolution: `x[n] = offset + sum_j s[n-j] h[j]`.

    h is `taps`, or where there are none a Hann window of `length` samples with sum `full_scale`, which is then what a
    train of ones decodes to. The signal must not be negative: `offset` is subtracted first (None: its minimum).
    """

    taps: tuple[float, ...] = ()
    length: int = Field(default=8, ge=2)
    full_scale: float = Field(default=2.0, gt=0)
    offset: float | None = None

    def filter(self) -> Samples:
        """The taps h `[F]`."""
        if self.taps:
            return np.array(self.taps)
        hann = np.sin(np.pi * np.arange(1, self.length + 1) / (self.length + 1)) ** 2
        return self.full_scale * hann / hann.sum()

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`full_scale`: larger filters need fewer spikes."""
        if self.taps:
            return super().dial(x)
        span = float(np.ptp(x)) if x.size else 0.0
        return "full_scale", 0.25 * (span or 1.0), 1e3 * (span or 1.0)

    def calibrate(self, x: Samples) -> dict[str, Samples]:
        """The offset, if it comes from the signal."""
        if self.offset is not None:
            return {}
        return {"offset": x.min(axis=0) if len(x) else np.zeros(x.shape[1:])}

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """`offset + (s convolved with h)`. Shape: spikes [L, N, C], offset [N, C] -> [L, N, C]."""
        codes = as_spikes(spikes)
        x = np.zeros(codes.shape)
        for j, h in enumerate(self.filter()[: len(codes)]):
            x[j:] += h * codes[: len(codes) - j]
        return x + row(side.get("offset", self.offset or 0.0), "offset", codes.shape)


class FilterStream(Stream):
    """A filter code under way: the last F - 1 samples, less what spikes have taken from them, are carried."""

    def __init__(self, h: Samples, offset: ArrayLike):
        super().__init__({})
        self.h, self.given = h, offset

    def _prepare(self, items: int, channels: int) -> None:
        self.side["offset"] = row(self.given, "offset", (0, items, channels))
        self.waiting = np.zeros((0, items, channels))

    def _push(self, x: Samples) -> Spikes:
        left = np.concatenate([self.waiting, x - self.side["offset"]])
        windows = max(len(left) - len(self.h) + 1, 0)
        spikes = np.zeros((windows, *x.shape[1:]), np.int8)
        if spikes.size:
            self._run(left.reshape(len(left), -1), spikes.reshape(windows, -1))
        self.waiting = left[windows:].copy()
        return spikes

    def _last(self) -> Spikes:
        spikes = np.zeros(self.waiting.shape, np.int8)
        self.waiting = self.waiting[:0]
        return spikes

    @abstractmethod
    def _run(self, left: Samples, spikes: Spikes) -> None:
        """Spikes of all whole windows of `left` [F - 1 + L, W], and take what they stand for from it."""
