"""Coarser, sparser and noisier recordings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.events import Recording, add_noise, downsample, drop_events


def record(count=1000, seed=0, width=34, height=20):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(width, size=count), rng.integers(height, size=count), rng.integers(2, size=count)
    return Recording(x, y, np.sort(rng.integers(5000, size=count)), p, width=width, height=height, label=3)


def test_downsample_by_factor():
    small = downsample(Recording([0, 5, 6], [1, 2, 4], [1, 2, 3], [0, 1, 0], width=7, height=5), factor=2)
    assert (small.x.tolist(), small.y.tolist()) == ([0, 2, 3], [0, 1, 2])
    assert (small.width, small.height) == (4, 3)


@given(st.integers(1, 20), st.integers(1, 34))
def test_downsample_to_a_size_keeps_events_and_covers_the_sensor(height, width):
    recording = record()
    small = downsample(recording, size=(height, width))
    np.testing.assert_array_equal(small.t, recording.t)
    np.testing.assert_array_equal(small.p, recording.p)
    np.testing.assert_array_equal(small.x, [int(x) * width // 34 for x in recording.x])
    assert set(small.y.tolist()) == set(range(height))
    assert small.label == 3


@pytest.mark.parametrize("options", [{}, {"factor": 2, "size": (3, 3)}, {"factor": 0}, {"size": (40, 3)}])
def test_downsample_refuses(options):
    with pytest.raises(DataError, match=r"down-?sampl"):
        downsample(record(), **options)


def test_drop_events():
    recording = record(10_000)
    kept = drop_events(recording, 0.3, np.random.default_rng(1))
    assert 6850 < len(kept) < 7150
    assert len(drop_events(recording, 0, np.random.default_rng(1))) == 10_000
    assert len(drop_events(recording, 1, np.random.default_rng(1))) == 0
    with pytest.raises(DataError, match="within 0 and 1"):
        drop_events(recording, 1.5, np.random.default_rng(1))


def test_add_noise_is_sorted_uniform_and_keeps_the_signal():
    recording = record(2000)
    noisy = add_noise(recording, 0.5, np.random.default_rng(1))
    assert len(noisy) == 3000
    assert (np.diff(noisy.t) >= 0).all()
    assert noisy.t[0] == recording.t[0]
    assert noisy.t[-1] == recording.t[-1]
    grid = np.zeros((2, 2, 20, 34), int)
    for k, each in enumerate((recording, noisy)):
        np.add.at(grid[k], (each.p, each.y, each.x), 1)
    assert (grid[1] >= grid[0]).all()
    again = add_noise(recording, 0.5, np.random.default_rng(1))
    np.testing.assert_array_equal(noisy.x, again.x)


def test_add_noise_edges():
    recording = record(10)
    assert add_noise(recording, 0.0, np.random.default_rng(0)) is recording
    empty = recording.select(np.zeros(10, bool))
    assert len(add_noise(empty, 2.0, np.random.default_rng(0))) == 0
    with pytest.raises(DataError, match="0 or more"):
        add_noise(recording, -0.1, np.random.default_rng(0))
