"""The sensor model: crossings by hand, a slow pixel by pixel twin, noise, batching, saccades."""

import math

import numpy as np
import pytest

from rheobase.errors import DataError
from rheobase.events import Sensor, saccade_frames, saccade_path, simulate, simulate_batch

IDEAL = Sensor(threshold=0.25, mismatch=0, noise_rate=0, settled=False)


def pixel(*levels):
    return np.array(levels, dtype=np.float32).reshape(-1, 1, 1)


def test_crossings_are_interpolated_within_a_step():
    recording = simulate(pixel(0, 1, 0), IDEAL, np.random.default_rng(0), label=5)
    assert recording.t.tolist() == [
        250,
        500,
        750,
        999,
        1250,
        1500,
        1750,
        1999,
    ]  # the end of a step stays in it
    assert recording.p.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert recording.label == 5


def test_levels_carry_over_steps():
    recording = simulate(pixel(0, 0.125, 0.25, 0.3125, 0.1875), IDEAL, np.random.default_rng(0), step=100)
    assert (recording.t.tolist(), recording.p.tolist()) == ([199], [1])


def test_refractory_crossings_move_the_level_but_are_silent():
    sensor = Sensor(threshold=0.25, mismatch=0, noise_rate=0, settled=False, refractory=0.3)
    recording = simulate(pixel(0, 1, 1.125), sensor, np.random.default_rng(0))
    assert recording.t.tolist() == [250, 750]


def slow(frames, thresholds, reference, step):
    """Events of every pixel on its own, as the equation says."""
    events = []
    S, H, W = frames.shape
    for y in range(H):
        for x in range(W):
            r = reference[y, x]
            for s in range(1, S):
                a, b = frames[s - 1, y, x], frames[s, y, x]
                while b - r >= thresholds[1, y, x] or r - b >= thresholds[0, y, x]:
                    on = b > r
                    r = r + thresholds[1, y, x] if on else r - thresholds[0, y, x]
                    part = min(max((r - a) / (b - a), 0), 1) if a != b else 1
                    events.append((min(math.floor((s - 1 + part) * step), s * step - 1), y * W + x, int(on)))
    return sorted(events)


def test_agrees_with_a_pixel_by_pixel_loop():
    rng = np.random.default_rng(3)
    frames = np.round(np.cumsum(rng.normal(0, 0.2, (12, 7, 5)), axis=0) * 64) / 64  # exact in binary
    sensor = Sensor(threshold=0.125, mismatch=0, noise_rate=0, settled=False)
    recording = simulate(frames, sensor, np.random.default_rng(0), step=512)
    expected = slow(frames, np.full((2, 7, 5), 0.125), frames[0], 512)
    pixels = recording.y.astype(int) * 5 + recording.x
    assert sorted(zip(recording.t.tolist(), pixels.tolist(), recording.p.tolist(), strict=True)) == expected
    assert len(expected) > 300


def test_a_still_scene_shows_noise_alone():
    still = np.zeros((51, 20, 20), np.float32)
    sensor = Sensor(noise_rate=0.01)
    recording = simulate(still, sensor, np.random.default_rng(0))
    mean = 0.01 * 2 * 400 * 50
    assert abs(len(recording) - mean) < 5 * math.sqrt(mean)
    assert recording.t.max() < 50_000
    assert len(simulate(still, Sensor(noise_rate=0), np.random.default_rng(0))) == 0


def test_a_settled_sensor_fires_at_a_small_change_with_its_share():
    rise = np.stack([np.zeros((100, 100)), np.full((100, 100), 0.05)])
    sensor = Sensor(threshold=0.2, mismatch=0, noise_rate=0)
    recording = simulate(rise, sensor, np.random.default_rng(0))
    assert len(recording) == pytest.approx(10_000 * 0.05 / 0.4, rel=0.1)  # uniform over both thresholds
    assert recording.p.all()


def test_mismatch_differs_between_pixels_and_stays_above_the_minimum():
    rise = np.stack([np.zeros((50, 50)), np.ones((50, 50))])
    sensor = Sensor(threshold=0.2, mismatch=0.2, minimum=0.1, noise_rate=0, settled=False)
    recording = simulate(rise, sensor, np.random.default_rng(0))
    counts = np.bincount(recording.y.astype(int) * 50 + recording.x, minlength=2500)
    assert counts.max() in (9, 10)  # 1 / 0.1 in float32
    assert counts.min() <= 2


def test_a_batch_is_its_members():
    frames = np.cumsum(np.random.default_rng(0).normal(0, 0.1, (3, 9, 6, 4)), axis=1)
    together = simulate_batch(
        frames, Sensor(), [np.random.default_rng(i) for i in range(3)], labels=[4, 5, 6]
    )
    for i, recording in enumerate(together):
        alone = simulate(frames[i], Sensor(), np.random.default_rng(i), label=4 + i)
        assert recording.label == alone.label
        for name in "xytp":
            np.testing.assert_array_equal(getattr(recording, name), getattr(alone, name))


def test_bad_frames():
    with pytest.raises(DataError, match="S of 2 or more"):
        simulate(np.zeros((1, 4, 4)), Sensor(), np.random.default_rng(0))
    with pytest.raises(DataError, match="finite"):
        simulate(np.full((2, 4, 4), -np.inf), Sensor(), np.random.default_rng(0))


def test_saccades_go_round_a_triangle():
    path = saccade_path(7, 4.0)
    assert path.tolist() == [[-2, -2], [0, -1], [2, 0], [0, 1], [-2, 2], [-2, 0], [-2, -2]]
    with pytest.raises(DataError, match="at least 4"):
        saccade_path(3, 1.0)


def test_saccade_frames_move_the_image_unchanged():
    image = np.zeros((3, 3))
    image[1, 1] = 1
    frames = saccade_frames(image, 9, steps=7, amplitude=4.0, contrast=0.5)
    assert frames.shape == (7, 9, 9)
    for frame, (y, x) in zip(frames, saccade_path(7, 4.0).astype(int), strict=True):
        assert frame[4 + y, 4 + x] == 0.5
        assert frame.sum() == 0.5
    with pytest.raises(DataError, match="image"):
        saccade_frames(np.zeros(3), 9)
