"""Threshold-adaptive encoding and step-forward coding in integers: the meaning of the C in `templates/encoder.c`.

    v    = value * scale                                      scale = 2^F: one value is 2^F units
    s    = [v - b > th] - [v - b < -th];   b += th s          (base_mode send_on_delta: b = v where s)
    th   = min((th * growth + 2^29) >> 30, most)   where s = s_before != 0
    th   = max((th * shrinkage + 2^29) >> 30, least)   else

with b = v, th = th0 and s = 0 at the first value; growth = round(2^30 alpha), shrinkage = round(2^30 / alpha). alpha = 1 is
step-forward: both factors are 2^30 and th stays what it is.

Nothing overflows. A spike moves the base towards the value, never beyond it, so |b| <= max |v| <= limit 2^F <= 2^29, the
difference is at most 2^30, and thresholds are kept at or below 2^30 (`most`); products stay below 2^62.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, RecipeError
from rheobase.signals.encoder import EncoderBase
from rheobase.signals.scale import Scaling
from rheobase.signals.step_forward import StepForward
from rheobase.signals.tae import TAE

ONE = 1 << 30
LARGEST = 1 << 29  # of a value times its scale
FINEST = 14
LARGEST_ALPHA = 3.99
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IntegerTAE:
    """The encoder of values within `-limit..limit`, one threshold a channel.

    Shape: `scale`, `start` (th0), `least` and `most` are int64 [C].
    """

    scale: Integers
    start: Integers
    least: Integers
    most: Integers
    growth: int
    shrinkage: int
    jump: bool
    limit: int

    @property
    def channels(self) -> int:
        """Spike trains."""
        return len(self.scale)

    def stream(self) -> "IntegerTAEStream":
        """The encoder before its first value."""
        return IntegerTAEStream(self)

    def encode(self, values: NDArray[Any]) -> NDArray[np.int8]:
        """Spikes of integers. Shape: [L, C] -> int8 [L, C]."""
        return self.stream().push(values)


class IntegerTAEStream:
    """The encoder under way: `base`, `threshold` and `last` are int64 [C]."""

    def __init__(self, config: IntegerTAE) -> None:
        self.config = config
        self.base: Integers | None = None
        self.threshold = config.start.copy()
        self.last = np.zeros(config.channels, np.int64)

    def push(self, values: NDArray[Any]) -> NDArray[np.int8]:
        """The next values to spikes, the first of all to none. Shape: integers [l, C] -> int8 [l, C].

        Raises:
            DataError: no integers, another number of channels, or values beyond the limit.
        """
        c = self.config
        if values.dtype.kind not in "iu" or values.ndim != 2 or values.shape[1] != c.channels:
            raise DataError(
                f"an integer encoder takes integers [L, {c.channels}]; got {values.dtype} {list(values.shape)}"
            )
        if values.size and max(int(values.max()), -int(values.min())) > c.limit:
            raise DataError(
                f"values lie within ±{c.limit} here; got {int(values.min())} to {int(values.max())}"
            )
        spikes = np.zeros(values.shape, np.int8)
        for n, v in enumerate(values.astype(np.int64) * c.scale):
            if self.base is None:
                self.base = v
                continue
            moved, th = v - self.base, self.threshold
            s = (moved > th).astype(np.int64) - (moved < -th)
            self.base = self.base + (np.where(s != 0, moved, 0) if c.jump else th * s)
            grown = np.minimum((th * c.growth + ONE // 2) >> 30, c.most)
            shrunk = np.maximum((th * c.shrinkage + ONE // 2) >> 30, c.least)
            self.threshold = np.where(s * self.last > 0, grown, shrunk)
            self.last = s
            spikes[n] = s
        return spikes


def integer_tae(encoder: EncoderBase, scaling: Scaling, unit: float, limit: int) -> IntegerTAE:
    """The integer form of an encoder of values that stand for `unit * integer` (plus a constant, which does not matter).

    Each channel counts as finely as its limits allow: the largest F <= 14 with limit 2^F <= 2^29 and th_max 2^F <= 2^30.

    Raises:
        RecipeError: there is no integer form: another encoder, a threshold that follows the amplitude, alpha beyond 3.99, or
            thresholds below one unit.
    """
    tae = TAE(th0=encoder.threshold, alpha=1.0) if isinstance(encoder, StepForward) else encoder
    if not isinstance(tae, TAE) or tae.th_mode != "run" or tae.alpha > LARGEST_ALPHA:
        raise RecipeError(
            f"the encoder {encoder!r} has no integer form: step_forward has one, and tae with th_mode 'run' and alpha up to "
            f"{LARGEST_ALPHA}"
        )
    low, high = np.array(scaling.low), np.array(scaling.high)
    counts = (high - low) / (2 * unit)  # integers that a scaled value of 1 is
    finest = min(FINEST, (LARGEST // limit).bit_length() - 1)
    room = np.floor(np.log2(ONE / (tae.most * counts)))
    scale = 2.0 ** np.clip(room, 0, finest)
    least, start, most = (
        np.minimum(np.rint(th * counts * scale), ONE) for th in (tae.least, tae.th0, tae.most)
    )
    if not (least >= 1).all():
        channel = int(np.argmin(least))
        raise RecipeError(
            f"channel {channel}: a threshold of {tae.least:g} is {tae.least * counts[channel]:.2g} counts of its samples, too "
            "little for integers: raise the threshold, or record with more gain"
        )
    whole = [each.astype(np.int64) for each in (scale, start, least, most)]
    return IntegerTAE(
        whole[0],
        whole[1],
        whole[2],
        whole[3],
        growth=round(tae.alpha * ONE),
        shrinkage=round(ONE / tae.alpha),
        jump=tae.base_mode == "send_on_delta",
        limit=limit,
    )
