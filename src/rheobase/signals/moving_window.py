"""Moving-window coding: a spike where the signal leaves the mean of its last samples by a threshold.

    s[n] = 1[x > m + th] - 1[x < m - th],   m = mean(x[n-w], ..., x[n-1])

For n < w the mean is of the n samples there are; s[0] = 0. The decoder sums steps of th and drifts, because the base
does not follow what was sent: a low or negative SNR is a property of the code.

Source: Kasabov et al., "Evolving spatio-temporal data machines" (2016); Petro et al. (2020).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals import native
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, StartedStream, integrate
from rheobase.signals.tae import threshold_range


class MovingWindow(EncoderBase):
    """Moving-window coding: threshold around the mean of the last `window` samples."""

    name: Literal["moving_window"] = "moving_window"
    threshold: float = Field(default=0.1, gt=0)
    window: int = Field(default=4, ge=1)

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`threshold`, up to the signal's range."""
        return "threshold", *threshold_range(x)

    def stream(self, **given: Samples) -> "MovingWindowStream":
        """A stream; nothing has to be given."""
        self._wanted(given)
        return MovingWindowStream(self)

    def decode(self, spikes: ArrayLike, *, start: ArrayLike = 0.0, **side: Any) -> Samples:
        """`start + th * cumsum(s)`; drifts. Shape: spikes [L, N, C], start [N, C] -> [L, N, C]."""
        return integrate(spikes, start, self.threshold)


class MovingWindowStream(StartedStream):
    """Moving window under way: the last `window` samples are carried."""

    def __init__(self, config: MovingWindow):
        super().__init__({})
        self.config = config

    def _start(self, first: Samples) -> None:
        self.past = first[None].copy()

    def _run(self, x: Samples, spikes: Spikes) -> None:
        c = self.config
        rows = np.concatenate([self.past, x])
        if not native.call("moving_window", rows, *rows.shape, c.threshold, c.window, len(self.past), spikes):
            moving_window(rows, c.threshold, c.window, len(self.past), spikes)
        self.past = rows[-c.window :].copy()


def moving_window(rows: Samples, threshold: float, window: int, past: int, spikes: Spikes) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: rows [past + L, W], spikes [L, W].

    The means are sums of shifted signals, oldest sample first.
    """
    index = np.arange(past, len(rows))
    total = np.zeros((len(index), rows.shape[1]))
    for j in range(window, 0, -1):
        there = index >= j
        total[there] += rows[index[there] - j]
    base = total / np.minimum(index, window)[:, None]
    x = rows[past:]
    spikes[:] = 1 * (x > base + threshold) - (x < base - threshold)
