"""Changes of events, on frames of their counts: an event of frame `t` has the time `t + u`, `u` uniform in [0, 1).

    drop:    a quarter of the samples stays as it is; of each other one the events are lost in a share `r` (uniform in
             0..drop) of all events at random, of its time in one stretch, or of its area in one rectangle
    jitter:  the time of each event moves by N(0, s), s in frames, and stays within the recording

Everything is drawn from one seed a sample. Source: of drop, Gu et al., "EventDrop: Data Augmentation for Event-based
Learning", IJCAI 2021.
"""

import numpy as np
from numpy.typing import NDArray

LIMIT = 255


def disturbed(
    sample: NDArray[np.uint8], rng: np.random.Generator, *, drop: float = 0.0, jitter: float = 0.0
) -> NDArray[np.uint8]:
    """The frames of one sample with events lost and moved in time.

    Shape: `[T, C, H, W]`.
    """
    T, _, H, W = sample.shape
    places = np.flatnonzero(sample)
    event = np.repeat(places, sample.reshape(-1)[places])  # flat index of each event
    t, pixel = np.divmod(event, sample[0].size)
    time = t + rng.random(len(event))
    if drop:
        y, x = np.divmod(pixel % (H * W), W)
        kept = _kept(time / T, (y + 0.5) / H, (x + 0.5) / W, drop, rng)
        time, pixel = time[kept], pixel[kept]
    if jitter:
        time = time + jitter * rng.standard_normal(len(time))
    t = np.clip(np.floor(time), 0, T - 1).astype(np.int64)
    counts = np.bincount(t * sample[0].size + pixel, minlength=sample.size)
    return np.minimum(counts, LIMIT).astype(np.uint8).reshape(sample.shape)


def _kept(
    time: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    drop: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which events stay; time, y and x are in parts of the whole."""
    kind, share = rng.integers(4), rng.uniform(0, drop)
    if kind == 0:
        return np.ones(len(time), np.bool_)
    if kind == 1:
        return rng.random(len(time)) >= share
    if kind == 2:
        start = rng.uniform(0, 1 - share)
        return (time < start) | (time >= start + share)
    side = np.sqrt(share)
    top, left = rng.uniform(0, 1 - side, 2)
    return (y < top) | (y >= top + side) | (x < left) | (x >= left + side)
