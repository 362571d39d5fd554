"""HSA (Hough spiker algorithm): a spike wherever the filter fits below the rest of the signal.

    s[n] = 1  if  x[n+j] >= h[j] for all j;   then  x[n+j] -= h[j]

The decoder convolves the spikes with h; it stays below the signal.

Source: Hough, de Garis, Korkin, Gers, Nawa, "SPIKER: analog waveform to digital spiketrain conversion" (1999).
"""

from typing import Literal

from numpy.typing import ArrayLike

from rheobase.signals import native
from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.fir import FilterEncoder, FilterStream


class HSA(FilterEncoder):
    """HSA with filter h."""

    name: Literal["hsa"] = "hsa"

    def stream(self, **given: Samples) -> "HSAStream":
        """A stream; where the configuration has no offset, one must be given (`[N, C]`)."""
        self._wanted(given, *(["offset"] if self.offset is None else []))
        offset: ArrayLike = given["offset"] if self.offset is None else self.offset
        return HSAStream(self.filter(), offset)


class HSAStream(FilterStream):
    """HSA under way."""

    def _run(self, left: Samples, spikes: Spikes) -> None:
        if not native.call("hsa", left, *left.shape, self.h, len(self.h), spikes):
            hsa(left, self.h, spikes)


def hsa(x: Samples, h: Samples, spikes: Spikes) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: x [L + F - 1, W] (changed), h [F], spikes [L, W]."""
    h = h[:, None]
    for n, out in enumerate(spikes):
        window = x[n : n + len(h)]
        out[:] = (window >= h).all(axis=0)
        window -= out * h
