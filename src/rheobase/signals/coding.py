"""How a recorded signal becomes the frames that a network was trained on, as one configuration that runs in blocks.

samples -> front end -> scaling -> encoder -> sum of `pool` spikes, cut to -1..1
"""

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveInt

from rheobase.config import Config
from rheobase.errors import DataError
from rheobase.signals.build import Encoder
from rheobase.signals.direct import Direct
from rheobase.signals.encoder import Samples, as_samples
from rheobase.signals.frontends.bands import Bands
from rheobase.signals.frontends.chain import Chain
from rheobase.signals.frontends.gammatone import Gammatone
from rheobase.signals.frontends.log_mel import LogMel
from rheobase.signals.scale import Scaling, pool

Front = Annotated[LogMel | Gammatone | Bands | Chain, Field(discriminator="name")]
FILE = "coding.json"
"""Its name in a run folder."""


class Coding(Config):
    """Front end (None: the samples themselves), scaling, encoder and pooling of signals of one channel.

    `sampling` is the rate of the samples in Hz, `unit` what one count of a 16-bit recording is worth (1/32768 for audio).
    """

    front: Front | None
    scaling: Scaling
    encoder: Encoder
    pool: PositiveInt = 1
    sampling: float = Field(gt=0)
    unit: float = Field(gt=0)

    @property
    def channels(self) -> int:
        """Spike trains of a frame."""
        return len(self.scaling.low)

    def stream(self) -> "CodingStream":
        """The coding from the first sample on.

        Raises:
            DataError: the encoder puts out no spikes, or several steps a sample.
        """
        return CodingStream(self)

    def encode(self, samples: ArrayLike) -> NDArray[np.int8]:
        """All frames of a recording. Shape: [L] -> int8 [T, C]."""
        stream = self.stream()
        return np.concatenate([stream.push(samples), stream.finish()])


class Pooling:
    """Spikes to frames; a last frame that is not whole waits for `finish`."""

    def __init__(self, samples: int, channels: int) -> None:
        self.samples = samples
        self.waiting = np.zeros((0, channels), np.int8)

    def push(self, spikes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Spikes [l, C] to the frames that they complete [t, C]."""
        spikes = np.concatenate([self.waiting, spikes])
        whole = len(spikes) // self.samples * self.samples
        self.waiting = spikes[whole:]
        return pool(spikes[:whole], self.samples)

    def finish(self) -> NDArray[np.int8]:
        """The frame that is not whole, if spikes wait for one. Shape: [0 or 1, C]."""
        rest, self.waiting = self.waiting, self.waiting[:0]
        return pool(rest, self.samples)


class CodingStream:
    """A coding under way: every stage carries its state from block to block."""

    def __init__(self, config: Coding) -> None:
        if isinstance(config.encoder, Direct) or getattr(config.encoder, "steps", 1) != 1:
            raise DataError(
                f"the encoder {config.encoder.name} gives analog values or several steps a sample; frames of spikes are made by "
                "one such as tae or step_forward"
            )
        self.config = config
        self.front = None if config.front is None else config.front.stream()
        self.encoder = config.encoder.stream()
        self.pooling = Pooling(config.pool, config.channels)

    def push(self, samples: ArrayLike) -> NDArray[np.int8]:
        """The next samples [l] to the frames that they complete, int8 [t, C].

        Raises:
            DataError: the samples are no signal of one channel.
        """
        x = as_samples(np.asarray(samples, dtype=np.float64).reshape(-1, 1, 1))
        return self._frames(x if self.front is None else self.front.push(x))

    def finish(self) -> NDArray[np.int8]:
        """The frames that waited for samples which will not come."""
        rest = np.zeros((0, self.config.channels), np.int8)
        if self.front is not None:
            self.push(np.zeros(0))
            rest = self._frames(self.front.finish())
        return np.concatenate([rest, self.pooling.finish()])

    def _frames(self, x: Samples) -> NDArray[np.int8]:
        # data sets keep their signals as float32 behind the front end
        scaled = self.config.scaling.apply(x.astype(np.float32) if self.front is not None else x)
        return self.pooling.push(self.encoder.push(scaled)[:, 0])
