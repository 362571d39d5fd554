"""motion-dvs-sim: determinism, symmetries, balance and statistics, on few recordings."""

import numpy as np
import pytest

from rheobase.datasets import DataConfig, load_dataset, motion_dvs_sim
from rheobase.datasets.motion_dvs_sim import CLASSES, REVERSED, SPAN, draw_scene, generate, make_pool, render
from rheobase.errors import DataError, RecipeError


@pytest.fixture
def small(monkeypatch):
    counts = {"train": 33, "validation": 11, "test": 12}
    monkeypatch.setattr(motion_dvs_sim, "COUNTS", counts)
    return counts


def scene(seed=0):
    return draw_scene(np.random.default_rng(seed))


@pytest.mark.parametrize(("motion", "partner"), REVERSED.items())
def test_a_direction_is_the_time_reversal_of_its_opposite(motion, partner):
    np.testing.assert_array_equal(render(motion, scene()), render(partner, scene())[::-1])


def centre(frames):
    weight = np.abs(frames)
    at = np.arange(32)
    total = weight.sum(axis=(1, 2))
    return (weight * at[:, None]).sum(axis=(1, 2)) / total, (weight * at).sum(axis=(1, 2)) / total


def test_motions_go_where_their_names_say():
    for seed in range(5):
        one = scene(seed)
        shift = {motion: [c[-1] - c[0] for c in centre(render(motion, one))] for motion in CLASSES}
        assert shift["right"][1] == pytest.approx(one.distance, rel=0.15)
        assert shift["left"][1] == pytest.approx(-one.distance, rel=0.15)
        assert shift["down"][0] == pytest.approx(one.distance, rel=0.15)
        assert shift["up"][0] == pytest.approx(-one.distance, rel=0.15)
        assert abs(shift["wave"][0]) + abs(shift["wave"][1]) < 0.2
        assert shift["zigzag"][0] == pytest.approx(one.vertical * one.distance, rel=0.15)
        area = [(np.abs(render("approach", one)[i]) > 0.05).sum() for i in (0, -1)]
        assert area[1] > 1.4 * area[0]


def test_clockwise_on_the_screen():
    image = np.zeros((64, 64))
    image[8:20, 30:34] = 1  # above the centre: turning clockwise it goes to the right
    one = motion_dvs_sim.Scene(image, 0.5, 0.0, (0.0, 0.0), 8.0, 0.7, 1.0)
    y, x = centre(render("clockwise", one))
    assert x[0] == pytest.approx(15.5, abs=0.1)
    assert x[-1] > 20
    assert y[-1] > y[0] + 4


def test_scenes_are_symmetric_under_negation():
    signs = [np.sign(scene(i).image.sum()) for i in range(60)]
    assert 15 < signs.count(1.0) < 45


def test_prefixes_are_the_same_and_balanced():
    ten, five = list(generate(1, 22, batch=7)), list(generate(1, 5, batch=50))
    assert [recording.label for recording in ten] == [*range(11), *range(11)]
    for one, other in zip(ten, five, strict=False):
        for name in "xytp":
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_about_1500_events_within_the_span():
    recordings = list(generate(2, 110))
    assert 1300 < np.mean([len(recording) for recording in recordings]) < 2000
    assert all(SPAN[0] <= recording.t[0] and recording.t[-1] < SPAN[1] for recording in recordings)
    on = np.mean([recording.p.mean() for recording in recordings])
    assert 0.4 < on < 0.6


def test_the_data_set(small):
    data = load_dataset(DataConfig(name="motion-dvs-sim", T=5))
    assert data.classes == CLASSES
    assert (data.sensor, data.T, len(data.train), len(data.validation), len(data.test)) == (
        (32, 32),
        5,
        33,
        11,
        12,
    )
    assert data.train.frames.shape == (33, 5, 2, 32, 32)
    assert np.bincount(data.train.labels).tolist() == [3] * 11
    for part in (data.train, data.test):
        recording = part.recording(7)
        assert recording.label == part.labels[7]
        counts = np.zeros((5, 2, 32, 32), int)
        np.add.at(counts, (recording.t * 5 // SPAN[1], recording.p, recording.y, recording.x), 1)
        np.testing.assert_array_equal(part.frames[7], counts)
    assert not np.array_equal(data.train.frames[0], data.validation.frames[0])


def test_train_size_is_a_prefix_and_part_of_the_hash(small):
    whole = load_dataset(DataConfig(name="motion-dvs-sim"))
    some = load_dataset(DataConfig(name="motion-dvs-sim", train_size=22))
    np.testing.assert_array_equal(some.train.frames, whole.train.frames[:22])
    assert some.split_hash != whole.split_hash
    with pytest.raises(DataError, match="train_size is 34"):
        load_dataset(DataConfig(name="motion-dvs-sim", train_size=34))


def test_the_hash_is_of_the_split_and_events_not_of_the_binning(small):
    hashes = {
        load_dataset(DataConfig(name="motion-dvs-sim", **options)).split_hash
        for options in ({}, {"T": 2}, {"binning": "count"}, {"size": 16}, {"cache": False})
    }
    assert len(hashes) == 1
    assert make_pool({**small, "test": 11}, keep=False)[0].content != make_pool(small, keep=False)[0].content


def test_down_sampled(small):
    data = load_dataset(DataConfig(name="motion-dvs-sim", size=16, cache=False))
    assert data.sensor == (16, 16)
    assert data.train.frames.shape == (33, 4, 2, 16, 16)
    assert data.train.recording(2).width == 16
    assert data.train.frames[2].sum() == len(data.train.recording(2))


def test_unknown_split():
    with pytest.raises(RecipeError, match="did you mean 'official'"):
        load_dataset(DataConfig(name="motion-dvs-sim", split="oficial"))
