"""BSA (Ben's spiker algorithm): a spike where subtracting the filter makes the rest of the signal smaller.

    s[n] = 1  if  sum_j |x[n+j] - h[j]| <= th * sum_j |x[n+j]|;   then  x[n+j] -= h[j]

The decoder convolves the spikes with h.

Source: Schrauwen and Van Campenhout, "BSA, a fast and accurate spike train encoding scheme" (2003), with the relative
threshold of later use.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals import native
from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.fir import FilterEncoder, FilterStream


class BSA(FilterEncoder):
    """BSA with filter h.

    `reference="previous"`: the window begins one sample before the spike, as in code that reads x[n+j-1].
    """

    name: Literal["bsa"] = "bsa"
    threshold: float = Field(default=0.9, gt=0)
    reference: Literal["same", "previous"] = "same"

    def stream(self, **given: Samples) -> "BSAStream":
        """A stream; where the configuration has no offset, one must be given (`[N, C]`)."""
        self._wanted(given, *(["offset"] if self.offset is None else []))
        offset: ArrayLike = given["offset"] if self.offset is None else self.offset
        return BSAStream(self, offset)

    def decode(self, spikes: ArrayLike, **side: float) -> Samples:
        """`offset + (s convolved with h)`. Shape: spikes [L, N, C], offset [N, C] -> [L, N, C]."""
        if self.reference == "same":
            return super().decode(spikes, **side)
        codes = np.asarray(spikes)
        return super().decode(np.concatenate([codes[1:], np.zeros_like(codes[:1])]), **side)


class BSAStream(FilterStream):
    """BSA under way."""

    def __init__(self, config: BSA, offset: ArrayLike):
        super().__init__(config.filter(), offset)
        self.config = config
        self.late = int(config.reference == "previous")

    def _first(self, x: Samples) -> Spikes:
        return np.concatenate([np.zeros((self.late, *x.shape[1:]), np.int8), self._push(x)])

    def _last(self) -> Spikes:
        return super()._last()[self.late :]

    def _run(self, left: Samples, spikes: Spikes) -> None:
        if not native.call("bsa", left, *left.shape, self.h, len(self.h), self.config.threshold, spikes):
            bsa(left, self.h, self.config.threshold, spikes)


def bsa(x: Samples, h: Samples, threshold: float, spikes: Spikes) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: x [L + F - 1, W] (changed), h [F], spikes [L, W].

    Sums are taken in order of j (`np.sum` would not).
    """
    h = h[:, None]
    for n, out in enumerate(spikes):
        window = x[n : n + len(h)]
        apart = np.add.accumulate(np.abs(window - h))[-1]
        whole = np.add.accumulate(np.abs(window))[-1]
        out[:] = apart <= threshold * whole
        window -= out * h
