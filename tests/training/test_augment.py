"""Augmentation: by hand, all frames of a sample together, from the stream of (seed, epoch)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import RecipeError
from rheobase.training import ArrayFrames, AugmentConfig, shuffled_batches
from rheobase.training.augment import Draws, Mix, augmented, draw, draw_mix, mixed, mixed_labels
from rheobase.training.augment.counts import disturbed
from rheobase.training.augment.geometry import cut_out, roll, turn
from rheobase.training.augment.policies import choose

CONFIGS = [
    AugmentConfig(shift=2),
    AugmentConfig(flip=True),
    AugmentConfig(cutout=3),
    AugmentConfig(shift=1, flip=True, cutout=2),
    AugmentConfig(roll=3),
    AugmentConfig(rotate=40, shear=20),
    AugmentConfig(polarity_flip=0.5),
    AugmentConfig(policy="nda"),
    AugmentConfig(policy="nda_small"),
    AugmentConfig(policy="wide", flip=True),
    AugmentConfig(mixup=0.5),
    AugmentConfig(cutmix=1.0, mixup=1.0, shift=1, mix_share=0.8),
    AugmentConfig(drop=0.6, time_jitter=0.5),
]
IMAGE = [config for config in CONFIGS if not config.drop and not config.mixup]


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
    cut_out(frames, np.array([centre]), np.array([hole]))
    for t in range(2):
        assert {tuple(place) for place in np.argwhere(frames[0, t, 0] == 0).tolist()} == zeros


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.integers(1, 20))
def test_cutout_is_one_square_of_at_most_its_size(y, x, hole):
    frames = random_frames(1)
    cut_out(frames, np.array([[y, x]]), np.array([hole]))
    gone = frames[0] == 0
    assert (gone == gone[:1, :1]).all()
    rows, columns = gone[0, 0].any(1), gone[0, 0].any(0)
    assert np.array_equal(gone[0, 0], rows[:, None] & columns[None])
    assert 1 <= rows.sum() <= min(hole, 7) and 1 <= columns.sum() <= min(hole, 6)


def test_they_follow_one_another():
    """Shift, then flip, then cutout."""
    frames = np.zeros((1, 1, 1, 3, 4), np.uint8)
    frames[..., 1, 0] = 9
    draws = Draws(
        moves=np.array([[0, 1]]), flips=np.array([True]), centres=np.array([[0.4, 0.9]]), holes=np.array([1])
    )
    assert np.argwhere(augmented(frames, draws)[0, 0, 0]).tolist() == [[1, 2]]


@pytest.mark.parametrize("config", IMAGE)
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
        found = list(shuffled_batches(data, 4, seed=1, epoch=number, augment=config))
        return torch.cat([x for x, _ in found], 1), torch.cat([y for _, y in found])

    (one, labels), (again, labels_again), (other, _) = epoch(0), epoch(0), epoch(1)
    assert torch.equal(one, again) and torch.equal(labels, labels_again)
    assert not torch.equal(one, other)


def test_what_is_not_asked_for_takes_nothing_from_the_stream():
    """So runs with shift alone, or with nothing, see the batches they saw before there were other options."""
    rng = np.random.default_rng(3)
    nothing = draw(AugmentConfig(), 5, rng)
    assert all(not value for value in vars(nothing).values())
    assert draw_mix(AugmentConfig(mix_share=0.5), 5, rng) is None
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
        for (x, y), (all_x, all_y) in zip(stream(rank=rank, world_size=2), whole, strict=True):
            assert torch.equal(x, all_x[:, rank::2])
            assert torch.equal(y, all_y[rank::2])


def test_half_are_flipped():
    flips = draw(AugmentConfig(flip=True), 2000, np.random.default_rng(0)).flips
    assert 0.45 < flips.mean() < 0.55


def test_roll_by_hand():
    frames = np.arange(6, dtype=np.uint8).reshape(1, 1, 1, 2, 3)
    roll(frames, np.array([[1, 1]]))
    assert frames[0, 0, 0].tolist() == [[5, 3, 4], [2, 0, 1]]


@pytest.mark.parametrize(
    ("turns", "result"),
    [
        ((np.pi / 2, 0.0), [[7, 4, 1], [8, 5, 2], [9, 6, 3]]),  # clockwise on the screen
        ((-np.pi / 2, 0.0), [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),
        ((0.0, np.pi / 4), [[2, 3, 0], [4, 5, 6], [0, 7, 8]]),  # the lower row goes right
        ((np.pi / 2, np.pi / 4), [[4, 1, 0], [8, 5, 2], [0, 9, 6]]),  # rotated, then sheared
    ],
)
def test_turns_by_hand(turns, result):
    frames = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 1, 3, 3)
    turn(frames, np.array([turns]))
    assert frames[0, 0, 0].tolist() == result


def test_polarities_change_places():
    frames = random_frames(2)
    found = augmented(frames.copy(), Draws(swaps=np.array([True, False])))
    assert (found[0] == frames[0, :, ::-1]).all() and (found[1] == frames[1]).all()


@pytest.mark.parametrize(("policy", "pixels", "degrees"), [("nda", 5, 30), ("nda_small", 3, 15)])
def test_nda_draws_one_change_a_sample_within_its_range(policy, pixels, degrees):
    drawn = choose(policy, 3000, np.random.default_rng(0))
    rolled = drawn.rolls.any(1)
    changes = np.stack([rolled, drawn.turns[:, 0] != 0, drawn.turns[:, 1] != 0])
    assert (changes.sum(0) <= 1).all()
    assert np.abs(changes.mean(1) - 1 / 3).max() < 0.04
    assert np.abs(drawn.rolls).max() == pixels
    assert degrees - 0.5 < np.rad2deg(np.abs(drawn.turns)).max() <= degrees
    assert not drawn.moves.any() and not drawn.areas.any()


def test_wide_draws_one_of_six():
    drawn = choose("wide", 6000, np.random.default_rng(0))
    changes = np.stack([*(drawn.moves.T != 0), *(drawn.turns.T != 0), drawn.areas > 0])
    assert (changes.sum(0) <= 1).all()
    expected = np.array([10 / 11, 10 / 11, 1, 1, 1]) / 6  # a shift may be by nothing
    assert np.abs(changes.mean(1) - expected).max() < 0.03
    assert drawn.areas[drawn.areas > 0].min() >= 0.001 and drawn.areas.max() <= 0.11
    assert 0.29 < np.abs(drawn.turns[:, 1]).max() <= 0.3


def test_a_policy_refuses_what_it_draws_itself():
    with pytest.raises(ValueError, match="'nda' draws rotate itself"):
        AugmentConfig(policy="nda", rotate=5)


@given(st.integers(0, 1000), st.floats(0.01, 0.9))
def test_dropped_events_are_lost_and_others_stay_where_they_are(seed, drop):
    sample = random_frames(1, seed=seed)[0] // 16
    found = disturbed(sample, np.random.default_rng(seed), drop=drop)
    assert (found <= sample).all()
    kind = np.random.default_rng(seed)
    kind.random(int(sample.sum()))
    if kind.integers(4) == 0:
        assert (found == sample).all()


def test_as_many_events_are_dropped_as_asked():
    sample = np.full((4, 2, 20, 20), 3, np.uint8)
    kept = [disturbed(sample, np.random.default_rng(i), drop=0.8).sum() / sample.sum() for i in range(400)]
    assert np.mean(kept) == pytest.approx(1 - 0.75 * 0.4, abs=0.03)
    assert np.mean(np.array(kept) == 1) == pytest.approx(0.25, abs=0.07)


@given(st.integers(0, 1000), st.floats(0.05, 5))
def test_jitter_moves_events_in_time_alone(seed, jitter):
    sample = random_frames(1, T=5, seed=seed)[0] // 64
    found = disturbed(sample, np.random.default_rng(seed), jitter=jitter)
    assert (found.sum(0, dtype=int) == sample.sum(0, dtype=int)).all()


def test_jitter_follows_the_normal_distribution():
    """Of events uniform in a frame, s / sqrt(2 pi) leave on each side (for small s)."""
    sample = np.zeros((3, 2, 40, 40), np.uint8)
    sample[1] = 10
    found = disturbed(sample, np.random.default_rng(0), jitter=0.2)
    left, _, right = found.sum((1, 2, 3)) / sample.sum()
    assert left == pytest.approx(0.2 / np.sqrt(2 * np.pi), abs=0.01)
    assert right == pytest.approx(0.2 / np.sqrt(2 * np.pi), abs=0.01)


def mixture(kind, weight, *, lots=(0.5,), corner=(0.0, 0.0), seed=0):
    n = len(lots)
    return Mix(
        np.arange(n),
        np.full(n, kind),
        np.full(n, weight),
        np.tile(corner, (n, 1)),
        np.array(lots),
        np.arange(seed, seed + n),
    )


@given(st.floats(0, 1), st.integers(0, 255), st.integers(0, 255), st.integers(0, 100))
def test_mixup_is_unbiased_and_whole(weight, a, b, seed):
    first, second = (np.full((1, 2, 2, 30, 30), value, np.uint8) for value in (a, b))
    found = mixed(first, second, mixture(1, weight, seed=seed))
    mean = weight * a + (1 - weight) * b
    assert np.abs(found.astype(float) - mean).max() < 1.001
    assert found.mean() == pytest.approx(mean, abs=0.05)


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_cutmix_pastes_one_rectangle_in_all_frames(weight, y, x):
    first, second = np.zeros((1, 2, 2, 10, 8), np.uint8), np.ones((1, 2, 2, 10, 8), np.uint8)
    mix = mixture(2, weight, corner=(y, x))
    found = mixed(first, second, mix)[0]
    assert (found == found[:1, :1]).all()
    rows, columns = found[0, 0].any(1), found[0, 0].any(0)
    assert np.array_equal(found[0, 0], rows[:, None] & columns[None])
    assert found[0, 0].mean() == pytest.approx(1 - weight, abs=0.12)
    outside = 1 - found[0, 0].mean()  # the label's weight is exactly the share of pixels outside
    for lot, label in ((outside - 1e-9, 3), (outside + 1e-9, 7)):
        if 0 <= lot < 1:
            chosen = mixture(2, weight, lots=(lot,), corner=(y, x))
            assert mixed_labels(np.array([3]), np.array([7]), chosen, (10, 8)).tolist() == [label]


def test_labels_of_mixtures_are_drawn_by_their_weight():
    """The mean loss over the draws is that of the soft label, for it is linear in the label."""
    lots = np.random.default_rng(0).random(5000)
    found = mixed_labels(np.zeros(5000, int), np.ones(5000, int), mixture(1, 0.3, lots=lots), (4, 4))
    assert np.mean(found == 0) == pytest.approx(0.3, abs=0.03)


def test_a_share_of_the_samples_is_mixed():
    mix = draw_mix(AugmentConfig(mixup=1.0, cutmix=1.0, mix_share=0.5), 4000, np.random.default_rng(0))
    assert sorted(mix.partners) == list(range(4000))
    assert [np.mean(mix.kinds == kind) for kind in (0, 1, 2)] == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    frames, other = random_frames(2), random_frames(2, seed=1)
    untouched = mixture(0, 0.5, lots=(0.9, 0.1))
    assert (mixed(frames.copy(), other, untouched) == frames).all()
    assert mixed_labels(np.array([3, 4]), np.array([7, 8]), untouched, (4, 4)).tolist() == [3, 4]


def test_a_mixture_is_of_the_samples_and_labels_of_its_step():
    """With the weight drawn next to 1 or 0 (alpha near 0), frames and label are those of one of the two."""
    data = ArrayFrames(np.arange(1, 9, dtype=np.uint8).repeat(8).reshape(8, 1, 2, 2, 2), np.arange(8))
    config = AugmentConfig(mixup=1e-3)
    for x, y in shuffled_batches(data, 4, seed=0, epoch=0, augment=config):
        assert torch.equal(x[0, :, 0, 0, 0].long(), y + 1)


@pytest.mark.parametrize("config", [AugmentConfig(drop=0.5), AugmentConfig(polarity_flip=1.0)])
def test_still_images_refuse_what_is_about_events(config):
    images = np.broadcast_to(random_frames(4, T=1)[:, :, :1], (4, 3, 1, 7, 6))
    data = ArrayFrames(images, np.arange(4))
    with pytest.raises(RecipeError, match=r"still images|1 channels"):
        next(shuffled_batches(data, 4, seed=0, epoch=0, augment=config))
