"""Event-driven gradients: where in the backward pass of the scan a gradient exists at all.

With u = h - threshold, a mask is a window of u. Outside of it the surrogate derivative is 0:

    ds/du = derivative(u) * 1[low <= u <= high]
    spike:  [0, inf)          where a spike was emitted (strict: (0, inf))
    band:   [-band, band]     where the membrane came near the threshold

`temporal` says what becomes of the path along the membrane, dh[t]/dh[t-1]:

    isi:          it is kept; with spikes and a hard reset what survives lies within one inter-spike interval
    event_local:  dL/dh[t] = 0 wherever the window is shut, so that neurons without an event have no gradient at all

Ternary neurons have a window for each sign, and an event is either's. With the hard reset, detached, `event_local`
leaves a purely spatial gradient.

Source: MPD-ED of Wei et al., Event-Driven Learning for Spiking Neural Networks (arXiv 2403.00270), of which the
abstract alone is known: both forms are reconstructions. Band: Perez-Nieves and Goodman, Sparse Spiking Gradient
Descent (NeurIPS 2021, arXiv 2105.08810).
"""

import math
from typing import Literal

from pydantic import Field

from rheobase.config import Config

OPEN = (-math.inf, math.inf)


class EventGradient(Config):
    """A mask of the surrogate derivative and the fate of the temporal path.

    `band` is read by the mask `band`. For the first `warmup` batches of training the gradient is the surrogate's
    unmasked: a masked gradient cannot wake a neuron that never fires.
    """

    mask: Literal["spike", "band"] = "spike"
    band: float = Field(default=0.5, gt=0)
    temporal: Literal["event_local", "isi"] = "event_local"
    warmup: int = Field(default=0, ge=0)

    @property
    def local(self) -> bool:
        """Whether gradients exist at events alone."""
        return self.temporal == "event_local"


def window(mask: str | None, band: float, strict: bool) -> tuple[float, float]:
    """The least and the greatest u that pass gradients.

    >>> window("band", 0.5, False)
    (-0.5, 0.5)
    """
    if mask is None:
        return OPEN
    return (-band, band) if mask == "band" else (2.0**-149 if strict else 0.0, math.inf)
