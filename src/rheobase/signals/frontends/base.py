"""What all front ends share: a frozen configuration that turns a signal into another, whole or in chunks.

Signals are float64 `[L, N, C]`. A front end may change the number of samples and of channels. Chunks of any length give the
samples that the whole signal gives, bit for bit: each output is computed by the same operations in the same order.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from rheobase.config import Config
from rheobase.errors import DataError
from rheobase.signals.encoder import Samples, as_samples


class FrontStream(ABC):
    """A front end under way: `push` takes the next samples and gives those of the result that they settle."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None

    def push(self, chunk: ArrayLike) -> Samples:
        """The next samples `[l, N, C]`, l >= 0, to the next of the result.

        Raises:
            DataError: the chunk is no signal, or N or C differ from those before or do not suit the front end.
        """
        x = as_samples(chunk)
        if self._shape is None:
            self._prepare(x.shape[1], x.shape[2])
            self._shape = x.shape[1:]
        if x.shape[1:] != self._shape:
            raise DataError(
                f"chunk of shape {x.shape}: the stream began with [l, {self._shape[0]}, {self._shape[1]}]"
            )
        return self._push(x)

    def finish(self) -> Samples:
        """What was waiting for samples that will not come; empty for most front ends.

        Raises:
            DataError: nothing was pushed, so that N and C are not known.
        """
        if self._shape is None:
            raise DataError("a stream that saw no chunk has no shape yet: push at least an empty one")
        return self._last()

    @abstractmethod
    def _prepare(self, items: int, channels: int) -> None:
        """Called once, when N and C are known."""

    @abstractmethod
    def _push(self, x: Samples) -> Samples:
        """Later chunks, and empty ones."""

    def _last(self) -> Samples:
        return self._push(np.zeros((0, *(self._shape or (0, 0)))))


class FrontEnd(Config):
    """A frozen configuration of a front end."""

    name: str

    def stream(self) -> FrontStream:
        """The front end for a signal that comes in chunks."""
        raise NotImplementedError

    def apply(self, x: ArrayLike) -> Samples:
        """The front end on a whole signal.

        Shape: [L, N, C] -> [L', N, C'].
        Raises:
            DataError: x is no signal (see `as_samples`), or not one for this front end.
        """
        stream = self.stream()
        return np.concatenate([stream.push(x), stream.finish()])
