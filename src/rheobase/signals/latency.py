"""Latency coding (time to first spike): one spike a sample, the earlier the larger the value.

    t = round((T - 1) * (1 - u))  ("linear")   or   t = round(tau * ln(u / (u - th)))  ("logarithmic")

The logarithmic form is the time at which a leaky integrator with input u reaches th; values of at most th, and those
later than the last step, are silent and decode to 0 (in units of u).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.frames import FrameEncoder


class Latency(FrameEncoder):
    """Latency coding within `steps` steps."""

    name: Literal["latency"] = "latency"
    steps: int = Field(default=16, ge=2)
    form: Literal["linear", "logarithmic"] = "linear"
    tau: float = Field(default=5.0, gt=0)
    threshold: float = Field(default=0.1, gt=0, lt=1)

    def frames(self, x: Samples) -> Spikes:
        """One spike at its time. Shape: [L, N, C] -> [L, T, N, C]."""
        u = self.unit(x)
        if self.form == "linear":
            time = (self.steps - 1) * (1 - u)
        else:
            with np.errstate(divide="ignore"):  # at the threshold: never
                time = -self.tau * np.log1p(-self.threshold / np.maximum(u, self.threshold))
        return one_spike(time, self.steps)

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """The value whose time it is. Shape: spikes [L*T, N, C] -> [L, N, C]."""
        frames = self.by_sample(spikes)
        time, fired = frames.argmax(axis=1), frames.any(axis=1)
        if self.form == "linear":
            u = 1 - time / (self.steps - 1)
        else:
            with np.errstate(divide="ignore"):
                u = np.minimum(self.threshold / -np.expm1(-time / self.tau), 1.0)
        return self.value(np.where(fired, u, 0.0))


def one_spike(time: Samples, steps: int) -> Spikes:
    """A spike at `round(time)`, none where that is not below `steps`. Shape: [L, N, C] -> [L, T, N, C]."""
    return (np.rint(time)[:, None] == np.arange(steps)[:, None, None]).astype(np.int8)
