"""Images before the simulated camera: what a recording depends on, and what it shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.datasets import image_dvs_sim as sim
from rheobase.datasets.split import Split
from rheobase.datasets.still import ImagePool
from rheobase.errors import DataError
from rheobase.events import loop_path, moved_frames


def images(count=12, channels=3, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(count, channels, size, size), dtype=np.uint8)


def pool(count=30):
    names = [f"train/{i:02}" for i in range(count)]
    made = ImagePool(names, np.arange(count) % 3, ("a", "b", "c"), (16, 16), images(count), title="Things")
    rows = np.arange(count)
    return made, Split(rows[:18], rows[18:24], rows[24:])


def same(one, other):
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_neither_processes_nor_neighbours_change_a_recording(monkeypatch):
    monkeypatch.setattr(sim, "TASK", 4)
    monkeypatch.setattr(sim, "BATCH", 3)
    pixels, labels, rows = images(10), np.arange(10), np.arange(50, 60)
    whole = sim.generate(pixels, labels, rows, jobs=1)
    same(whole, sim.generate(pixels, labels, rows, jobs=2))
    part = sim.generate(pixels[7:], labels[7:], rows[7:], jobs=1)
    start = whole["offsets"][7]
    assert all(np.array_equal(part[name], whole[name][start:]) for name in "xytp")
    other = sim.generate(pixels[7:], labels[7:], rows[:3], jobs=1)
    assert not np.array_equal(part["t"], other["t"])


def test_parts_are_prefixes_in_proportion():
    made, split = pool()
    few, dealt = sim.make_pool("x", made, split, {"train": 9, "validation": 3, "test": 3}, keep=False, jobs=1)
    assert len(few.names) == len(set(few.names)) == 15
    for part, count in (("train", 3), ("validation", 1), ("test", 1)):
        assert np.bincount(few.labels[getattr(dealt, part)]).tolist() == [count] * 3
        home = {made.names[i] for i in getattr(split, part)}
        assert {few.names[i] for i in getattr(dealt, part)} <= home
    assert few.title == "Things, simulated DVS"
    assert few.recordings.recording(4).label == few.labels[4]


def test_an_edge_gives_events_where_it_is():
    """A bright right half: events along the middle columns that it passes, none where nothing changes."""
    image = np.zeros((1, 1, 16, 16), np.uint8)
    image[..., 8:] = 255
    recording = next(iter(sim.recordings(image, np.array([0]), np.array([0]))))
    counts = np.bincount(recording.x, minlength=sim.SIZE)
    edge = slice(sim.SIZE // 2 - 6, sim.SIZE // 2 + 6)
    assert counts[edge].sum() > 0.8 * len(recording)
    assert recording.t.max() < sim.SPAN[1]
    assert abs(recording.p.mean() - 0.5) < 0.1  # a closed loop: it returns


def test_the_view_never_leaves_the_image():
    """Of a white image nothing moves: only the sensor's noise is left."""
    white = np.full((1, 1, 28, 28), 255, np.uint8)
    recording = next(iter(sim.recordings(white, np.array([0]), np.array([0]))))
    expected = sim.SENSOR.noise_rate * 2 * sim.SIZE**2 * (sim.STEPS - 1)
    assert len(recording) == pytest.approx(expected, rel=0.4)


@given(st.integers(1, 4), st.integers(1, 6), st.floats(0.5, 9))
def test_loops_are_closed_diamonds(loops, per_side, amplitude):
    path = loop_path(4 * loops * per_side + 1, amplitude, loops)
    np.testing.assert_allclose(np.abs(path).sum(1), amplitude)
    np.testing.assert_allclose(path[:: 4 * per_side], np.tile([0, -amplitude], (loops + 1, 1)), atol=1e-9)
    assert path[per_side].tolist() == pytest.approx([-amplitude, 0])
    with pytest.raises(DataError, match="at least"):
        loop_path(4 * loops, amplitude, loops)


def test_moved_frames_by_hand():
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    path = np.array([(0, 0), (0, 1), (0.5, 0)])
    still, right, down = moved_frames(image, 3, path, 1.0)[0]
    assert still.tolist() == image[0].tolist()
    assert right.tolist() == [[0, 0, 1], [0, 3, 4], [0, 6, 7]]
    assert down[1].tolist() == [1.5, 2.5, 3.5]
