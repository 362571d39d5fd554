"""Test data made worse: events added to recordings or lost, which are then binned as the data set bins."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets import DataConfig
from rheobase.datasets.dataset import LIMIT
from rheobase.datasets.load import DATASETS
from rheobase.errors import DataError
from rheobase.events import Recording, bin_by_count, bin_by_time
from rheobase.training.loader import ArrayFrames, Samples

Binner = Callable[[Recording], NDArray[np.uint8]]
Corruption = Callable[[Recording, float, np.random.Generator], Recording]


@runtime_checkable
class Recorded(Protocol):
    """Frames that know the recordings they were binned from; a `FrameSet` does."""

    def recording(self, index: int) -> Recording:
        """The recording behind a row."""


def binner(config: DataConfig) -> Binner:
    """The function by which a data set makes frames of its recordings.

    Shape:
        recording -> uint8 `[T, 2, H, W]`

    Raises:
        DataError: the raw data is absent or damaged.
    """
    pool, _ = DATASETS[config.name](config)
    start, stop = pool.span or (None, None)

    def frames(recording: Recording) -> NDArray[np.uint8]:
        by_count = config.binning == "count"
        counts = (
            bin_by_count(recording, config.T)
            if by_count
            else bin_by_time(recording, config.T, start=start, stop=stop)
        )
        return np.minimum(counts, LIMIT).astype(np.uint8)

    return frames


def corrupted(data: Samples, binner: Binner, corrupt: Corruption, level: float, seed: int) -> ArrayFrames:
    """The data with every recording corrupted and binned again; row `i` draws from (seed, i) alone.

    A recording that lost its last event becomes blank frames.

    Raises:
        DataError: the data has no recordings, or `binner` does not make its frames of them.
    """
    if not isinstance(data, Recorded):
        raise DataError(
            f"{type(data).__name__} has no recordings, so events can be neither added nor dropped; evaluate "
            "without robustness"
        )
    frames = np.zeros_like(data.frames)
    for i in range(len(data)):
        recording = data.recording(i)
        if i == 0 and not np.array_equal(binner(recording), data.frames[0]):
            raise DataError("the frames were binned otherwise than by this function; use that of their data")
        recording = corrupt(recording, level, np.random.default_rng([seed, i]))
        if len(recording):
            frames[i] = binner(recording)
    return ArrayFrames(frames, data.labels)
