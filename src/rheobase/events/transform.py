"""Recordings made from recordings: coarser, sparser, noisier."""

from dataclasses import replace

import numpy as np

from rheobase.errors import DataError
from rheobase.events.recording import IntArray, Recording


def downsample(
    recording: Recording, *, factor: int | None = None, size: tuple[int, int] | None = None
) -> Recording:
    """The recording on a coarser sensor, `x' = floor(x W' / W)`; events keep number, time and polarity.

    Give either an integer `factor` (a side that it does not divide is rounded up) or the new `size` as
    `(height, width)`.

    Raises:
        DataError: neither or both are given, the factor is below 1, or the new size is larger than the old.
    """
    if (factor is None) == (size is None):
        raise DataError("downsample takes either factor= (an integer) or size= (height, width)")
    x, y = recording.x.astype(np.int64), recording.y.astype(np.int64)
    if factor is not None:
        if factor < 1:
            raise DataError(f"the down-sampling factor is {factor}; it must be 1 or more")
        height, width = -(-recording.height // factor), -(-recording.width // factor)
        return replace(recording, x=x // factor, y=y // factor, width=width, height=height)
    assert size is not None
    height, width = size
    if not (1 <= height <= recording.height and 1 <= width <= recording.width):
        raise DataError(
            f"cannot down-sample {recording.height} x {recording.width} (height x width) to "
            f"{height} x {width}; each side must be at least 1 and at most what it was"
        )
    return replace(
        recording,
        x=x * width // recording.width,
        y=y * height // recording.height,
        width=width,
        height=height,
    )


def drop_events(recording: Recording, fraction: float, rng: np.random.Generator) -> Recording:
    """Each event is lost with probability `fraction`, independently.

    Raises:
        DataError: the fraction is outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise DataError(f"the fraction of events to drop is {fraction}; it must be within 0 and 1")
    return recording.select(rng.random(len(recording)) >= fraction)


def add_noise(recording: Recording, fraction: float, rng: np.random.Generator) -> Recording:
    """Add `round(fraction * events)` background events, uniform over pixels, polarities and time span.

    At equal times the recording's own events come first.

    Raises:
        DataError: the fraction is negative or not finite.
    """
    if not 0 <= fraction < np.inf:
        raise DataError(f"the fraction of noise events is {fraction}; it must be 0 or more")
    count = round(fraction * len(recording))
    if not count:
        return recording
    x, y = rng.integers(recording.width, size=count), rng.integers(recording.height, size=count)
    t = rng.integers(recording.t[0], recording.t[-1], size=count, endpoint=True)
    return merged(recording, x, y, t, rng.integers(2, size=count))


def merged(recording: Recording, x: IntArray, y: IntArray, t: IntArray, p: IntArray) -> Recording:
    """The recording with more events, in any order; at equal times its own come first.

    Shape: x, y, t, p: [events].
    """
    times = np.concatenate([recording.t, t])
    order = np.argsort(times, kind="stable")
    both = (np.concatenate([getattr(recording, name), more]) for name, more in (("x", x), ("y", y), ("p", p)))
    x, y, p = (array[order] for array in both)
    return replace(recording, x=x, y=y, t=times[order], p=p)
