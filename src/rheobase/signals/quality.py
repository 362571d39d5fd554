"""How good a code is: signal to noise of what it decodes to, and how many spikes it takes."""

import math

import numpy as np
from numpy.typing import ArrayLike

from rheobase.errors import DataError
from rheobase.signals.encoder import Spikes


def snr(x: ArrayLike, decoded: ArrayLike) -> float:
    """`10 log10(sum x^2 / sum (x - decoded)^2)` in dB; infinite where they are equal.

    Raises:
        DataError: the shapes differ.
    """
    signal, other = np.asarray(x, float), np.asarray(decoded, float)
    if signal.shape != other.shape:
        raise DataError(f"signal {signal.shape} and decoded {other.shape} must have one shape")
    noise = float(np.sum((signal - other) ** 2))
    power = float(np.sum(signal**2))
    if noise == 0.0:
        return math.inf
    return 10 * math.log10(power / noise) if power > 0 else -math.inf


def spike_rate(spikes: Spikes) -> float:
    """Spikes for each step and line: mean of |s|; 0 of no steps."""
    return float(np.mean(spikes != 0)) if spikes.size else 0.0
