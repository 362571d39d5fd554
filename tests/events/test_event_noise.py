"""Noise and the filters against it: by slow loops, and by what must hold whatever the recording."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.events import (
    NOISE_SUITE,
    Recording,
    add_noise,
    background_filter,
    hot_pixels,
    jitter_time,
    lose_contrast,
    refractory_filter,
)


def record(count=400, seed=0, width=6, height=5, ticks=2000):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(width, size=count), rng.integers(height, size=count), rng.integers(2, size=count)
    return Recording(x, y, np.sort(rng.integers(ticks, size=count)), p, width=width, height=height, label=3)


def rows(recording):
    return list(zip(*(getattr(recording, name).tolist() for name in "xytp"), strict=True))


recordings = st.builds(
    record, st.integers(0, 300), st.integers(0, 1000), st.integers(1, 8), st.integers(1, 8)
)


@given(recordings, st.integers(0, 300))
def test_background_filter_is_its_definition(recording, window):
    events, kept = rows(recording), []
    for i, (x, y, t, _) in enumerate(events):
        if any(max(abs(x - u), abs(y - v)) == 1 and t - s <= window for u, v, s, _ in events[:i]):
            kept.append(events[i])
    assert rows(background_filter(recording, window)) == kept


@given(recordings, st.integers(0, 300))
def test_refractory_filter_is_its_definition(recording, period):
    kept, last = [], {}
    for x, y, t, p in rows(recording):
        if (x, y) not in last or t - last[x, y] >= period:
            kept.append((x, y, t, p))
            last[x, y] = t
    assert rows(refractory_filter(recording, period)) == kept


def test_the_background_filter_takes_noise_and_leaves_an_edge():
    x, t = np.tile(np.arange(30), 20), np.arange(600) * 50  # a dot that runs along a line
    edge = Recording(x, np.full(600, 15), t, np.ones(600, int), width=30, height=30)
    noisy = add_noise(edge, 1.0, np.random.default_rng(0))
    clean = background_filter(noisy, 100)
    own = set(rows(edge))
    kept = sum(row in own for row in rows(clean))
    assert kept / len(edge) > 0.9 and (len(clean) - kept) / len(edge) < 0.1


@pytest.mark.parametrize("kind", NOISE_SUITE)
@given(seed=st.integers(0, 200), count=st.integers(0, 200))
def test_every_kind_gives_a_recording_of_the_same_sensor_and_time(kind, seed, count):
    recording = record(count, seed)
    for level in NOISE_SUITE[kind].levels:
        one, again = (NOISE_SUITE[kind].corrupt(recording, level, np.random.default_rng(seed)) for _ in "ab")
        assert rows(one) == rows(again)
        assert (one.width, one.height, one.label) == (6, 5, 3)
        if len(one):
            assert recording.t[0] <= one.t[0] and one.t[-1] <= recording.t[-1]


@pytest.mark.parametrize("kind", NOISE_SUITE)
def test_level_zero_changes_nothing_and_levels_get_worse(kind):
    recording = record(3000)
    suite = NOISE_SUITE[kind]
    assert len(suite.levels) == 5 and list(suite.levels) == sorted(suite.levels)
    assert rows(suite.corrupt(recording, 0.0, np.random.default_rng(0))) == rows(recording)
    with pytest.raises(DataError, match=r"must be"):
        suite.corrupt(recording, -0.5, np.random.default_rng(0))


def test_hot_pixels_are_few_and_busy():
    recording = record(5000, width=20, height=10)
    found = hot_pixels(recording, 0.02, np.random.default_rng(0))
    counts = np.bincount(found.y * 20 + found.x, minlength=200)
    hot = counts > 500
    assert hot.sum() == 4
    assert counts[hot].mean() == pytest.approx(51 * 25, rel=0.1)
    assert np.bincount(recording.y * 20 + recording.x, minlength=200)[~hot].tolist() == counts[~hot].tolist()


@given(st.integers(0, 500), st.floats(0, 0.9))
def test_contrast_is_lost_as_a_pixel_would_lose_it(seed, lost):
    recording = record(300, seed, width=3, height=2)
    found = rows(lose_contrast(recording, lost, np.random.default_rng(seed)))
    start = np.random.default_rng(seed).uniform(-lost, lost, len({row[:2] for row in rows(recording)}))
    pixels = sorted({(y, x) for x, y, _, _ in rows(recording)})
    level = dict(zip(pixels, start, strict=True))
    kept = []
    for x, y, t, p in rows(recording):
        sign = 1 if p else -1
        level[y, x] += (1 - lost) * sign
        if level[y, x] * sign >= 1:
            kept.append((x, y, t, p))
            level[y, x] -= sign
    assert found == kept


def test_of_a_rising_edge_the_contrast_that_is_left_is_left():
    ramp = Recording(np.zeros(1000, int), np.zeros(1000, int), np.arange(1000), np.ones(1000, int), 1, 1)
    assert len(lose_contrast(ramp, 0.6, np.random.default_rng(0))) == pytest.approx(400, abs=1)


def test_jitter_has_its_spread():
    zeros = np.zeros(20_002, int)
    t = np.concatenate([[0], np.full(20_000, 500), [1000]])
    moved = jitter_time(Recording(zeros, zeros, t, zeros, 1, 1), 0.05, np.random.default_rng(0))
    assert moved.t.std() == pytest.approx(50, rel=0.03)
    assert moved.t.mean() == pytest.approx(500, abs=2)
