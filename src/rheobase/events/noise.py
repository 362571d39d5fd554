"""What goes wrong with event cameras, each at five severities: the noise robustness suite.

    background activity  so many events for each of the recording's own, uniform over pixels, polarities and time
    hot pixels           a share of the pixels (one at least) fires at random times, 50 times as often as the mean pixel
    event loss           each event is lost with this probability
    contrast loss        the scene has 1 - l times its contrast: a pixel's level moves by 1 - l for each event, and the
                         pixel fires where it is 1 away from where it last fired; it begins uniform in -l..l
    time jitter          the time of each event moves by N(0, s), s in parts of the recording's duration

Each takes a recording, the level (0 changes nothing) and a generator, and gives a recording.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rheobase.errors import DataError
from rheobase.events.pixels import by_pixel
from rheobase.events.recording import Recording
from rheobase.events.transform import add_noise, drop_events, merged

Corruption = Callable[[Recording, float, np.random.Generator], Recording]
HOT_RATE = 50
"""Events of a hot pixel, in mean events of a pixel of the recording."""


def hot_pixels(recording: Recording, share: float, rng: np.random.Generator) -> Recording:
    """Add the events of hot pixels, of polarity ON: a Poisson number each, uniform over the recording's time.

    Raises:
        DataError: the share is outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise DataError(f"the share of hot pixels is {share}; it must be within 0 and 1")
    size = recording.width * recording.height
    if not len(recording) or not share:
        return recording
    hot = rng.choice(size, max(1, round(share * size)), replace=False)
    pixel = np.repeat(hot, rng.poisson(HOT_RATE * len(recording) / size, len(hot)))
    y, x = np.divmod(pixel, recording.width)
    t = rng.integers(recording.t[0], recording.t[-1], size=len(pixel), endpoint=True)
    return merged(recording, x, y, t, np.ones(len(pixel), np.uint8))


def lose_contrast(recording: Recording, lost: float, rng: np.random.Generator) -> Recording:
    """The events that would be left if the scene lost this share of its contrast.

    Raises:
        DataError: the share is not within 0 and 1.
    """
    if not 0 <= lost < 1:
        raise DataError(f"the share of contrast to lose is {lost}; it must be 0 or more, and below 1")
    contrast = 1 - lost
    sorted_ = by_pixel(recording)
    level = rng.uniform(-lost, lost, len(sorted_.starts) - 1)  # from where the pixel last fired
    kept = np.zeros(len(recording), np.bool_)
    for pixels, events in sorted_.turns():
        sign = np.where(recording.p[events] == 1, 1.0, -1.0)
        level[pixels] += contrast * sign
        fires = level[pixels] * sign >= 1
        kept[events[fires]] = True
        level[pixels[fires]] -= sign[fires]
    return recording.select(kept)


def jitter_time(recording: Recording, spread: float, rng: np.random.Generator) -> Recording:
    """Events moved in time by `N(0, spread * duration)`, clipped to the recording's first and last tick, and sorted.

    Raises:
        DataError: the spread is negative.
    """
    if spread < 0:
        raise DataError(f"the spread of the time jitter is {spread}; it must be 0 or more")
    if not len(recording) or not spread:
        return recording
    first, last = int(recording.t[0]), int(recording.t[-1])
    moves = np.rint(rng.normal(0, spread * (last - first), len(recording))).astype(np.int64)
    t = np.clip(recording.t + moves, first, last)
    order = np.argsort(t, kind="stable")
    return replace(recording, x=recording.x[order], y=recording.y[order], t=t[order], p=recording.p[order])


@dataclass(frozen=True)
class Kind:
    """One corruption of the suite with its five levels, the mildest first."""

    corrupt: Corruption
    levels: tuple[float, ...]


NOISE_SUITE: dict[str, Kind] = {
    "background activity": Kind(add_noise, (0.1, 0.25, 0.5, 1.0, 2.0)),
    "hot pixels": Kind(hot_pixels, (0.001, 0.002, 0.005, 0.01, 0.02)),
    "event loss": Kind(drop_events, (0.1, 0.25, 0.5, 0.7, 0.85)),
    "contrast loss": Kind(lose_contrast, (0.1, 0.25, 0.4, 0.55, 0.7)),
    "time jitter": Kind(jitter_time, (0.01, 0.02, 0.05, 0.1, 0.2)),
}
