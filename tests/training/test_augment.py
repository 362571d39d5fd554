"""Augmentation: by hand, all frames of a sample together, from the stream of (seed, epoch)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.training import ArrayFrames, AugmentConfig, shuffled_batches
from rheobase.training.augment import Draws, augmented, cut_out, draw

CONFIGS = [
    AugmentConfig(shift=2),
    AugmentConfig(flip=True),
    AugmentConfig(cutout=3),
    AugmentConfig(shift=1, flip=True, cutout=2),
]


def random_frames(count=8, T=3, H=7, W=6, seed=0):
    return np.random.default_rng(seed).integers(1, 256, size=(count, T, 2, H, W), dtype=np.uint8)


def test_flip_by_hand():
    frame = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    frames = np.stack([frame, frame])[:, None, None]
    flipped = augmented(frames, Draws(flips=np.array([True, False])))
    assert flipped[:, 0, 0].tolist() == [[[3, 2, 1], [6, 5, 4]], [[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("centre", "hole", "zeros"),
    [
        ((0.5, 0.5), 2, {(1, 1), (1, 2), (2, 1), (2, 2)}),
        ((0.0, 0.0), 2, {(0, 0)}),  # cut off at the border
        ((0.99, 0.0), 3, {(2, 0), (2, 1), (3, 0), (3, 1)}),
        ((0.3, 0.6), 1, {(1, 2)}),
    ],
)
def test_cutout_by_hand(centre, hole, zeros):
    frames = np.ones((1, 2, 1, 4, 4), np.uint8)
    cut_out(frames, np.array([centre]), hole)
    for t in range(2):
        assert {tuple(place) for place in np.argwhere(frames[0, t, 0] == 0).tolist()} == zeros


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.integers(1, 20))
def test_cutout_is_one_square_of_at_most_its_size(y, x, hole):
    frames = random_frames(1)
    cut_out(frames, np.array([[y, x]]), hole)
    gone = frames[0] == 0
    assert (gone == gone[:1, :1]).all()
    rows, columns = gone[0, 0].any(1), gone[0, 0].any(0)
    assert np.array_equal(gone[0, 0], rows[:, None] & columns[None])
    assert 1 <= rows.sum() <= min(hole, 7) and 1 <= columns.sum() <= min(hole, 6)


def test_they_follow_one_another():
    """Shift, then flip, then cutout."""
    frames = np.zeros((1, 1, 1, 3, 4), np.uint8)
    frames[..., 1, 0] = 9
    draws = Draws(moves=np.array([[0, 1]]), flips=np.array([True]), centres=np.array([[0.4, 0.9]]), hole=1)
    assert np.argwhere(augmented(frames, draws)[0, 0, 0]).tolist() == [[1, 2]]


@pytest.mark.parametrize("config", CONFIGS)
def test_all_frames_of_a_sample_change_together(config):
    frames = random_frames()
    frames[:, 1:] = frames[:, :1]
    found = augmented(frames.copy(), draw(config, 8, np.random.default_rng(0)))
    assert (found == found[:, :1]).all()
    assert (found != frames).any()


@pytest.mark.parametrize("config", CONFIGS)
def test_epochs_differ_and_repeat_exactly(config):
    data = ArrayFrames(random_frames(), np.arange(8))

    def epoch(number):
        return {
            int(label): x[:, i]
            for x, y in shuffled_batches(data, 4, seed=1, epoch=number, augment=config)
            for i, label in enumerate(y)
        }

    one, again, other = epoch(0), epoch(0), epoch(1)
    assert all(torch.equal(one[label], again[label]) for label in one)
    assert not all(torch.equal(one[label], other[label]) for label in one)


def test_what_is_not_asked_for_takes_nothing_from_the_stream():
    """So runs with shift alone, or with nothing, see the batches they saw before there were other options."""
    rng = np.random.default_rng(3)
    nothing = draw(AugmentConfig(), 5, rng)
    assert (nothing.moves, nothing.flips, nothing.centres) == (None, None, None)
    assert rng.random() == np.random.default_rng(3).random()
    shift = draw(AugmentConfig(shift=2), 5, np.random.default_rng(3)).moves
    assert shift.tolist() == np.random.default_rng(3).integers(-2, 2, size=(5, 2), endpoint=True).tolist()


@pytest.mark.parametrize("config", CONFIGS)
def test_processes_augment_as_one_would(config):
    data = ArrayFrames(random_frames(), np.arange(8))

    def stream(**share):
        return list(shuffled_batches(data, 4, seed=0, epoch=0, augment=config, **share))

    whole = stream()
    for rank in (0, 1):
        for (x, _), (all_x, _) in zip(stream(rank=rank, world_size=2), whole, strict=True):
            assert torch.equal(x, all_x[:, rank::2])


def test_half_are_flipped():
    flips = draw(AugmentConfig(flip=True), 2000, np.random.default_rng(0)).flips
    assert 0.45 < flips.mean() < 0.55
