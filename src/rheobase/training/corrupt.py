"""Test data made worse: events added to recordings or lost, which are then binned as the data set bins."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events import Recording
from rheobase.events.noise import Corruption
from rheobase.training.loader import ArrayFrames, Samples


@runtime_checkable
class Recorded(Protocol):
    """Frames that know the recordings they were binned from; a `FrameSet` does."""

    def recording(self, index: int) -> Recording:
        """The recording behind a row."""

    def frames_from(self, recording: Recording) -> NDArray[np.uint8]:
        """Frames of a recording, binned as the data is."""


def corrupted(data: Samples, corrupt: Corruption, level: float, seed: int) -> ArrayFrames:
    """The data with every recording corrupted and binned again; row `i` draws from (seed, i) alone.

    A recording that lost its last event becomes blank frames.

    Raises:
        DataError: the data has no recordings.
    """
    if not isinstance(data, Recorded):
        raise DataError(
            f"{type(data).__name__} has no recordings, so events can be neither added nor dropped; evaluate "
            "without robustness"
        )
    frames = np.zeros_like(data.frames)
    for i in range(len(data)):
        recording = corrupt(data.recording(i), level, np.random.default_rng([seed, i]))
        if len(recording):
            frames[i] = data.frames_from(recording)
    return ArrayFrames(frames, data.labels)
