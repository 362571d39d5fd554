"""Windows of a signal: what of it belongs together, when samples come in chunks of any length.

Window w holds the samples `w * hop .. w * hop + length - 1`; what is left after the last whole window is dropped.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from pydantic import PositiveInt

from rheobase.config import Config
from rheobase.errors import DataError
from rheobase.signals.encoder import Samples, as_samples


class Windows(Config):
    """Windows of `length` samples, one every `hop`."""

    length: PositiveInt
    hop: PositiveInt

    def count(self, samples: int) -> int:
        """Whole windows in that many samples."""
        return max((samples - self.length) // self.hop + 1, 0)

    def cut(self, x: ArrayLike) -> Samples:
        """All windows of a signal.

        Shape: [L, N, C] -> [W, length, N, C].
        Raises:
            DataError: x is no signal.
        """
        return self.stream().push(x)

    def stream(self) -> "WindowStream":
        """The windows of a signal that comes in chunks."""
        return WindowStream(self)


class WindowStream:
    """Windows under way; samples that a later window needs are kept."""

    def __init__(self, config: Windows) -> None:
        self.config = config
        self.waiting: Samples | None = None
        self.skip = 0

    def push(self, chunk: ArrayLike) -> Samples:
        """The next samples `[l, N, C]` to the windows that they complete `[w, length, N, C]`.

        Raises:
            DataError: the chunk is no signal, or N or C differ from those before.
        """
        x, c = as_samples(chunk), self.config
        if self.waiting is None:
            self.waiting = x[:0]
        if x.shape[1:] != self.waiting.shape[1:]:
            raise DataError(f"chunk of shape {x.shape}: the stream began with {self.waiting.shape[1:]}")
        passed = min(self.skip, len(x))
        self.skip -= passed
        x = np.concatenate([self.waiting, x[passed:]])
        count = c.count(len(x))
        self.waiting = x[min(count * c.hop, len(x)) :].copy()
        self.skip += max(count * c.hop - len(x), 0)
        if not count:
            return np.zeros((0, c.length, *x.shape[1:]))
        return np.moveaxis(sliding_window_view(x, c.length, axis=0)[:: c.hop], -1, 1)[:count].copy()
