"""A coding in integers from 16-bit samples to frames: front end, encoder, pooling. The C is made from this, and equals it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, RecipeError
from rheobase.signals.coding import Coding, Pooling
from rheobase.signals.frontends.bands import Bands
from rheobase.signals.frontends.log_mel import LogMel
from rheobase.signals.program.bands import IntegerBands, integer_bands
from rheobase.signals.program.log_mel import IntegerLogMel, integer_log_mel
from rheobase.signals.program.tae import IntegerTAE, integer_tae

Front = IntegerLogMel | IntegerBands | None
MOST_POOLED = 32767


@dataclass(frozen=True, eq=False)
class IntegerCoding:
    """Front end (None: the samples), encoder, and how many values a frame has."""

    front: Front
    encoder: IntegerTAE
    pool: int
    sampling: float

    @property
    def channels(self) -> int:
        """Spike trains of a frame."""
        return self.encoder.channels

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.pool * (1 if self.front is None else self.front.hop)

    def stream(self) -> "IntegerCodingStream":
        """The chain before its first sample."""
        return IntegerCodingStream(self)

    def encode(self, samples: NDArray[Any]) -> NDArray[np.int8]:
        """All frames of a recording. Shape: int16 [L] -> int8 [T, C]."""
        stream = self.stream()
        return np.concatenate([stream.push(samples), stream.finish()])


class IntegerCodingStream:
    """The chain under way."""

    def __init__(self, config: IntegerCoding) -> None:
        self.front = None if config.front is None else config.front.stream()
        self.encoder = config.encoder.stream()
        self.pooling = Pooling(config.pool, config.channels)

    def push(self, samples: NDArray[Any]) -> NDArray[np.int8]:
        """The next samples to the frames that they complete. Shape: int16 [l] -> int8 [t, C].

        Raises:
            DataError: another type or shape.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise DataError(f"samples are int16 [L]; got {samples.dtype} {list(samples.shape)}")
        x = samples[:, None].astype(np.int64)
        return self.pooling.push(self.encoder.push(x if self.front is None else self.front.push(x)))

    def finish(self) -> NDArray[np.int8]:
        """The frame that is not whole, if spikes wait for one."""
        return self.pooling.finish()


def integer_coding(coding: Coding) -> IntegerCoding:
    """The integer form of a coding.

    Raises:
        RecipeError: its front end, encoder or pooling has none; the message says which do.
    """
    front: Front
    if coding.front is None:
        front, unit, limit, channels = None, coding.unit, 1 << 15, 1
    else:
        if isinstance(coding.front, LogMel):
            front = integer_log_mel(coding.front, coding.unit)
        elif isinstance(coding.front, Bands):
            front = integer_bands(coding.front, coding.unit)
        else:
            raise RecipeError(
                f"the front end {coding.front.name} has no integer form; log_mel and bands have one, and so have the samples "
                "themselves"
            )
        unit, limit, channels = front.unit, front.limit, front.channels
    if channels != coding.channels:
        raise RecipeError(f"the front end gives {channels} channels, the scaling is of {coding.channels}")
    if coding.pool > MOST_POOLED:
        raise RecipeError(f"a frame of {coding.pool} samples has no integer form; pool up to {MOST_POOLED}")
    return IntegerCoding(
        front, integer_tae(coding.encoder, coding.scaling, unit, limit), coding.pool, coding.sampling
    )
