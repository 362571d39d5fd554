"""Events to frames of counts.

By time, event `i` falls in bin `floor((t_i - start) * T / (stop - start))`; by count, in bin `floor(i * T /
events)`. Both are integer arithmetic: bins are half-open, no event is lost at an edge and none counts twice.

Events are ordered by time, so the events of a bin are a run: the first of bin `b` is found by bisection at
`t >= start + ceil(b * (stop - start) / T)`, or is event `ceil(b * events / T)`.
"""

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.bin_native import bin_runs
from rheobase.events.recording import Recording

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
    first, last = int(recording.t[0]), int(recording.t[-1])
    begin = first if start is None else start
    end = last + 1 if stop is None else stop
    if end <= begin:
        raise DataError(f"the window from {begin} to {end} ticks is empty; stop must be above start")
    ticks = [begin - (-b * (end - begin) // T) for b in range(T + 1)]
    inside = np.array([min(max(tick, first), last) for tick in ticks], dtype=np.int64)
    edges = np.searchsorted(recording.t, inside)
    edges[[tick > last for tick in ticks]] = len(recording)  # not last + 1, which int64 may not hold
    return bin_runs(recording, edges)


def bin_by_count(recording: Recording, T: int) -> Frames:
    """Counts of events in `T` bins of equal numbers of events (they differ by one at most).

    Fewer events than bins is fine: some bins are then empty.

    Shape: [T, 2, H, W], channel = polarity.

    Raises:
        DataError: the recording has no events, or `T` is below 1.
    """
    _check(recording, T)
    return bin_runs(recording, -(-np.arange(T + 1) * len(recording) // T))


def _check(recording: Recording, T: int) -> None:
    if T < 1:
        raise DataError(f"T is {T}; binning needs at least one bin")
    if not len(recording):
        raise DataError(
            "the recording has no events, so there is nothing to bin; leave it out of the data set"
        )
