"""Direct coding: the value itself, as a constant current, for T steps. The first layer of neurons makes the spikes.

    s[n*T + k] = x[n],  k = 0..T-1

These are real numbers, not spikes: the first layer multiplies. Decoding reads the first step of each sample and is exact.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.errors import DataError
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, Stream, as_samples


class Direct(EncoderBase):
    """Constant current for `steps` steps a sample."""

    name: Literal["direct"] = "direct"
    steps: int = Field(default=4, ge=1)

    def stream(self, **given: Samples) -> Stream:
        """A stream; nothing has to be given or carried."""
        self._wanted(given)
        return DirectStream(self.steps)

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """The first of the T equal currents. Shape: [L*T, N, C] -> [L, N, C]."""
        currents = as_samples(spikes)
        if len(currents) % self.steps:
            raise DataError(f"direct coding makes {self.steps} steps a sample; got {len(currents)} steps")
        return currents[:: self.steps].copy()


class DirectStream(Stream):
    """Each sample, repeated."""

    def __init__(self, steps: int):
        super().__init__({})
        self.steps = steps

    def _push(self, x: Samples) -> Spikes:
        return np.repeat(x, self.steps, axis=0)
