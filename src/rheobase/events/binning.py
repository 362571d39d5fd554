"""Events to frames of counts.

By time, event `i` falls in bin `floor((t_i - start) * T / (stop - start))`; by count, in bin `floor(i * T /
events)`. Both are integer arithmetic: bins are half-open, no event is lost at an edge and none counts twice.
"""

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.recording import IntArray, Recording

Frames = NDArray[np.int32]


def bin_by_time(recording: Recording, T: int, *, start: int | None = None, stop: int | None = None) -> Frames:
    """Counts of events in `T` bins of equal time over the ticks `[start, stop)`.

    By default the bins span the recording: from its first event to its last, which is included (`stop = t[-1]
    + 1`). With an explicit window, events outside it are left out.

    Shape: [T, 2, H, W], channel = polarity.

    Raises:
        DataError: the recording has no events, `T` is below 1, or the window is empty.
    """
    _check(recording, T)
    begin = int(recording.t[0]) if start is None else start
    end = int(recording.t[-1]) + 1 if stop is None else stop
    if end <= begin:
        raise DataError(f"the window from {begin} to {end} ticks is empty; stop must be above start")
    if start is not None or stop is not None:
        recording = recording.select((recording.t >= begin) & (recording.t < end))
    return _count(recording, (recording.t - begin) * T // (end - begin), T)


def bin_by_count(recording: Recording, T: int) -> Frames:
    """Counts of events in `T` bins of equal numbers of events (they differ by one at most).

    Fewer events than bins is fine: some bins are then empty.

    Shape: [T, 2, H, W], channel = polarity.

    Raises:
        DataError: the recording has no events, or `T` is below 1.
    """
    _check(recording, T)
    return _count(recording, np.arange(len(recording)) * T // len(recording), T)


def _check(recording: Recording, T: int) -> None:
    if T < 1:
        raise DataError(f"T is {T}; binning needs at least one bin")
    if not len(recording):
        raise DataError(
            "the recording has no events, so there is nothing to bin; leave it out of the data set"
        )


def _count(recording: Recording, bins: IntArray, T: int) -> Frames:
    shape = (T, 2, recording.height, recording.width)
    flat = np.ravel_multi_index((bins, recording.p, recording.y, recording.x), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).astype(np.int32).reshape(shape)
