"""Filters of noise, as cameras and their drivers have them.

    background activity:  an event stays if one of its eight neighbours had an event at most `window` ticks before
    refractory:           an event stays if its pixel's last event that stayed is `period` ticks ago or more

Source: of the first, Delbruck, "Frame-free Dynamic Digital Vision", Symposium on Secure-Life Electronics, 2008.
"""

import numpy as np

from rheobase.errors import DataError
from rheobase.events.pixels import by_pixel
from rheobase.events.recording import Recording

NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def background_filter(recording: Recording, window: int) -> Recording:
    """The events with a neighbour's event at most `window` ticks before; ones that are lost still support others.

    Raises:
        DataError: the window is negative.
    """
    if window < 0:
        raise DataError(f"the window of the background filter is {window} ticks; it must be 0 or more")
    sorted_ = by_pixel(recording)
    x, y, t = recording.x.astype(np.int64), recording.y.astype(np.int64), recording.t
    places = np.arange(len(recording))
    keys = sorted_.pixel[sorted_.order] * len(recording) + sorted_.order  # by pixel, then place
    kept = np.zeros(len(recording), np.bool_)
    for dy, dx in NEIGHBOURS:
        inside = (x + dx >= 0) & (x + dx < recording.width) & (y + dy >= 0) & (y + dy < recording.height)
        neighbour = (y + dy) * recording.width + x + dx
        before = np.searchsorted(keys, neighbour * len(recording) + places) - 1  # the last one before
        event = sorted_.order[np.maximum(before, 0)]
        supported = (before >= 0) & inside & (sorted_.pixel[event] == neighbour)
        kept |= supported & (t - t[event] <= window)
    return recording.select(kept)


def refractory_filter(recording: Recording, period: int) -> Recording:
    """The events that no event which stays at the same pixel precedes by less than `period` ticks.

    Raises:
        DataError: the period is negative.
    """
    if period < 0:
        raise DataError(f"the refractory period is {period} ticks; it must be 0 or more")
    sorted_ = by_pixel(recording)
    kept = np.zeros(len(recording), np.bool_)
    free = np.full(len(sorted_.starts) - 1, np.iinfo(np.int64).min)  # when each pixel may fire again
    for pixels, events in sorted_.turns():
        fires = recording.t[events] >= free[pixels]
        kept[events[fires]] = True
        free[pixels[fires]] = recording.t[events[fires]] + period
    return recording.select(kept)
