"""A model of an event camera: log-intensity frames in, events out.

A pixel remembers the level `r` at which it last fired. Between two frames its log intensity `L` moves on a
straight line; it fires ON (OFF) each time `L` has risen (fallen) by its own threshold, and `r` moves to the
level crossed:

    L(t) - r >= c_on   ->  event (t, ON),   r <- r + c_on
    r - L(t) >= c_off  ->  event (t, OFF),  r <- r - c_off
    c = max(minimum, threshold + mismatch * N(0, 1))   per pixel and polarity, drawn once a recording

A crossing sooner than `refractory` steps after the pixel's last event moves `r` but emits nothing. Background
activity is a Poisson process of `noise_rate` events per pixel, polarity and step; it does not move `r`.

Sources: the pixel, Lichtsteiner, Posch and Delbruck, "A 128x128 120 dB 15 us Latency Asynchronous Temporal
Contrast Vision Sensor", IEEE JSSC 43(2), 2008; interpolated crossings, threshold noise and refractory rule,
Rebecq, Gehrig and Scaramuzza, "ESIM: an Open Event Camera Simulator", CoRL 2018; mismatch and background
activity, Hu, Liu and Delbruck, "v2e: From Video Frames to Realistic DVS Events", CVPR Workshops 2021.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rheobase.config import Config
from rheobase.errors import DataError
from rheobase.events.recording import Recording

Floats = NDArray[np.float32]


class Sensor(Config):
    """The sensor's constants; thresholds in log intensity, times in steps (the interval of two frames)."""

    threshold: float = Field(default=0.18, gt=0)
    mismatch: float = Field(default=0.03, ge=0)
    minimum: float = Field(default=0.05, gt=0)
    refractory: float = Field(default=0.0, ge=0)
    noise_rate: float = Field(default=0.001, ge=0)
    settled: bool = True
    """Start with `r` uniform between the thresholds (a sensor that has been watching); else `r = L(0)`."""


def simulate(
    frames: NDArray[np.floating],
    sensor: Sensor,
    rng: np.random.Generator,
    *,
    step: int = 1000,
    label: int | None = None,
) -> Recording:
    """The events of one sequence of log-intensity frames, `step` microseconds apart.

    Shape: frames: [S, H, W]; the events lie in the ticks `[0, (S - 1) * step)`.

    Raises:
        DataError: fewer than two frames, or a value that is not finite.
    """
    labels = None if label is None else [label]
    return simulate_batch(np.asarray(frames)[None], sensor, [rng], step=step, labels=labels)[0]


def simulate_batch(
    frames: NDArray[np.floating],
    sensor: Sensor,
    rngs: Sequence[np.random.Generator],
    *,
    step: int = 1000,
    labels: Sequence[int] | None = None,
) -> list[Recording]:
    """The events of many sequences at once; each draws from its own generator, so batching changes nothing.

    Shape: frames: [B, S, H, W], one generator a sequence.

    Raises:
        DataError: fewer than two frames, a value that is not finite, or a number of generators other than B.
    """
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    if frames.ndim != 4 or frames.shape[1] < 2 or len(rngs) != len(frames) or step < 1:
        raise DataError(
            "the sensor takes frames [B, S, H, W] with S of 2 or more, B generators and a step of 1 or more; "
            f"got {frames.shape}, {len(rngs)} generators, step {step}"
        )
    if not np.isfinite(frames).all():
        raise DataError("log intensities must be finite; add a small constant before taking the logarithm")
    _, S, H, W = frames.shape
    drawn = [_draw(sensor, rng, S, H, W, step) for rng in rngs]
    thresholds = np.stack([thresholds for thresholds, _, _ in drawn], axis=1)  # [2, B, H, W]: OFF, ON
    offset = np.stack([offset for _, offset, _ in drawn])
    pixel, t, p = _cross(frames, thresholds, offset, sensor.refractory, step)
    which, pixel = np.divmod(pixel, H * W)
    order = np.lexsort((t, which))  # by recording, then time; stable
    bounds = np.searchsorted(which[order], np.arange(len(frames) + 1))
    recordings = []
    for b, (_, _, noise) in enumerate(drawn):
        mine = order[bounds[b] : bounds[b + 1]]
        events = np.concatenate([np.stack([t[mine], pixel[mine], p[mine]]), noise], axis=1)
        times, pixels, polarity = events[:, np.argsort(events[0], kind="stable")]
        y, x = np.divmod(pixels, W)
        label = None if labels is None else int(labels[b])
        recordings.append(Recording(x, y, times, polarity, width=W, height=H, label=label))
    return recordings


def _draw(
    sensor: Sensor, rng: np.random.Generator, S: int, H: int, W: int, step: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """What chance decides: thresholds [2, H, W], `L(0) - r` [H, W], noise events [3, n] (t, pixel, p)."""
    drawn = sensor.threshold + sensor.mismatch * rng.standard_normal((2, H, W), dtype=np.float32)
    thresholds = np.maximum(drawn, sensor.minimum).astype(np.float32)
    off, on = thresholds
    offset = (off + on) * rng.random((H, W), dtype=np.float32) - off if sensor.settled else np.zeros_like(off)
    count = int(rng.poisson(sensor.noise_rate * 2 * H * W * (S - 1)))
    noise = rng.integers(0, [[(S - 1) * step], [H * W], [2]], size=(3, count))
    return thresholds, offset.astype(np.float32), noise


def _cross(
    frames: Floats, thresholds: Floats, offset: Floats, refractory: float, step: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All crossings of all pixels: flat pixel (over [B, H, W]), tick and polarity, in no particular order."""
    off, on = (side.reshape(-1) for side in thresholds)
    reference = (frames[:, 0] - offset).reshape(-1)
    last = np.full(reference.shape, -np.inf)
    before = frames[:, 0].reshape(-1)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for s in range(1, frames.shape[1]):
        now = frames[:, s].reshape(-1)
        change = now - reference
        active = np.flatnonzero((change >= on) | (change <= -off))
        rises = change[active] > 0
        delta = np.where(rises, on[active], -off[active])  # the signed threshold of this crossing
        crossings = np.floor(change[active] / delta).astype(np.int64)
        level, path = reference[active], now[active] - before[active]
        for k in range(1, int(crossings.max(initial=0)) + 1):
            some = crossings >= k
            target = level[some] + k * delta[some] - before[active[some]]
            moved = path[some]
            part = np.clip(np.divide(target, moved, out=np.ones_like(target), where=moved != 0), 0, 1)
            moment = s - 1 + part.astype(np.float64)
            where = active[some]
            fires = moment - last[where] >= refractory
            last[where[fires]] = moment[fires]
            ticks = np.minimum((moment[fires] * step).astype(np.int64), s * step - 1)
            found.append((where[fires], ticks, rises[some][fires].astype(np.int64)))
        reference[active] = level + crossings * delta
        before = now
    pixel, t, p = zip(*found, strict=True) if found else ((), (), ())
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *pixel]), np.concatenate([none, *t]), np.concatenate([none, *p])
