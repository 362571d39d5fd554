"""What rate, latency, phase, population and direct codes share: each sample becomes T network steps of its own.

Samples are first scaled, `u = clip((x - low) / (high - low), 0, 1)`, so range and steps are part of the configuration
and a decoder needs nothing beside the spikes. Sample n takes the steps n*T to n*T + T - 1.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import model_validator

from rheobase.errors import DataError
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, Stream, as_spikes


class FrameEncoder(EncoderBase):
    """A code of values in [low, high]; values beyond count as the nearest end."""

    steps: int
    low: float = -1.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low < high is needed; got {self.low:g} and {self.high:g}")
        return self

    @property
    def lines(self) -> int:
        """Spike trains that one channel becomes."""
        return 1

    def unit(self, x: Samples) -> Samples:
        """`clip((x - low) / (high - low), 0, 1)`."""
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def value(self, u: Samples) -> Samples:
        """The value that `u` in [0, 1] stands for."""
        return self.low + (self.high - self.low) * u

    def frames(self, x: Samples) -> Spikes:
        """Spikes of each sample, whatever came before. Shape: [L, N, C] -> [L, T, N, C * lines]."""
        raise NotImplementedError

    def stream(self, **given: Samples) -> Stream:
        """A stream; nothing has to be given or carried."""
        self._wanted(given)
        return FrameStream(self)

    def by_sample(self, spikes: ArrayLike) -> NDArray[np.int8]:
        """Spikes `[L*T, N, C]` as `[L, T, N, C]`.

        Raises:
            DataError: L*T is no multiple of T.
        """
        codes = as_spikes(spikes)
        if len(codes) % self.steps or codes.shape[2] % self.lines:
            raise DataError(
                f"{self.name} makes {self.steps} steps a sample and {self.lines} lines a channel; got {codes.shape}"
            )
        return codes.reshape(len(codes) // self.steps, self.steps, *codes.shape[1:])


class FrameStream(Stream):
    """Samples to frames, each by itself."""

    def __init__(self, config: FrameEncoder):
        super().__init__({})
        self.config = config

    def _push(self, x: Samples) -> Spikes:
        frames = self._frames(x)
        return frames.reshape(len(x) * self.config.steps, *frames.shape[2:])

    def _frames(self, x: Samples) -> Spikes:
        return self.config.frames(x)
