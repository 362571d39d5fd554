"""Before and after coding: channels to one range, thresholds from differences, samples to network steps."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from rheobase.config import Config
from rheobase.errors import DataError
from rheobase.signals.encoder import Samples, Spikes, as_samples


class Scaling(Config):
    """Channel-wise `2 (x - low) / (high - low) - 1`: to [-1, 1]. Fit on training data, apply to all.

    Never fit on one recording: that takes out the amplitude, which may be what tells classes apart.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def fit(cls, x: ArrayLike, percentile: float = 1.0) -> Self:
        """`low` and `high` are the percentiles p and 100 - p of each channel over time and batch. Shape: x [L, N, C].

        A constant channel gets a range of 1 around its value.
        """
        samples = as_samples(x)
        if samples.size == 0:
            raise DataError("scaling is fitted on samples; got none")
        low, high = np.percentile(samples, [percentile, 100 - percentile], axis=(0, 1))
        flat = low == high
        return cls(low=tuple((low - 0.5 * flat).tolist()), high=tuple((high + 0.5 * flat).tolist()))

    @classmethod
    def centre(cls, x: ArrayLike) -> Self:
        """Means to 0 and the largest distance from it to 1, channel by channel. Shape: x [L, N, C]."""
        samples = as_samples(x)
        if samples.size == 0:
            raise DataError("scaling is fitted on samples; got none")
        mean = samples.mean(axis=(0, 1))
        peak = np.abs(samples - mean).max(axis=(0, 1))
        peak[peak == 0] = 1.0
        return cls(low=tuple((mean - peak).tolist()), high=tuple((mean + peak).tolist()))

    def apply(self, x: ArrayLike) -> Samples:
        """The scaled signal; what lies outside the percentiles lies outside [-1, 1]. Shape: [L, N, C]."""
        samples, low, high = as_samples(x), np.array(self.low), np.array(self.high)
        if samples.shape[2] != len(low):
            raise DataError(f"scaling fitted on {len(low)} channels, the signal has {samples.shape[2]}")
        return 2 * (samples - low) / (high - low) - 1

    def undo(self, scaled: ArrayLike) -> Samples:
        """The signal again. Shape: [L, N, C]."""
        low, high = np.array(self.low), np.array(self.high)
        return (as_samples(scaled) + 1) / 2 * (high - low) + low


def difference_threshold(x: ArrayLike, k: float = 1.0) -> float:
    """`k * std(x[n] - x[n-1])` over all channels: a threshold that suits the slopes of a signal."""
    d = np.diff(as_samples(x), axis=0)
    if d.size == 0 or not d.std() > 0:
        raise DataError("a threshold from differences needs a signal that changes")
    return float(k * d.std())


def pool(spikes: Spikes, samples: int) -> Spikes:
    """Sum `samples` samples to one network step and clip to -1..1; a last part that is not whole counts too.

    Shape: [L, N, C] -> [ceil(L / samples), N, C].
    """
    if samples < 1:
        raise DataError(f"pool takes at least 1 sample a step; got {samples}")
    codes = np.asarray(spikes)
    codes = np.concatenate([codes, np.zeros((-len(codes) % samples, *codes.shape[1:]), codes.dtype)])
    sums = codes.reshape(-1, samples, *codes.shape[1:]).sum(axis=1, dtype=np.int64)
    return np.clip(sums, -1, 1).astype(np.int8)
