"""RandAugment: what each change does, that seeds decide, and that images alone are changed."""

import numpy as np
import pytest
from PIL import Image

from rheobase.errors import RecipeError
from rheobase.training import ArrayFrames, AugmentConfig, shuffled_batches
from rheobase.training.augment.rand_augment import CHANGES, RandAugment, rand_augmented


def images(count=6, channels=3, size=32, seed=0):
    """Neither black nor white, so that no change leaves them as they are."""
    return np.random.default_rng(seed).integers(20, 150, (count, 1, channels, size, size), dtype=np.uint8)


def changed(name, pixels, strength, sign=1.0):
    return np.asarray(CHANGES[name](Image.fromarray(pixels), strength, sign))


def test_intensities_by_hand():
    grey = np.array([[0, 100, 127, 128, 255]], np.uint8)
    assert changed("invert", grey, 0.9).tolist() == [[255, 155, 128, 127, 0]]
    assert changed("solarise", grey, 0.5).tolist() == [[0, 100, 127, 127, 0]]
    assert changed("solarise-add", grey, 1.0).tolist() == [[110, 210, 237, 128, 255]]
    assert changed("posterise", grey, 0.5).tolist() == [[0, 64, 64, 128, 192]]
    assert changed("brightness", grey, 1.0, -1.0).tolist() == [[0, 10, 12, 12, 25]]
    assert changed("auto-contrast", grey[:, 1:4], 0.3).tolist() == [[0, 245, 255]]


def test_translations_by_hand():
    grey = np.arange(100, dtype=np.uint8).reshape(10, 10) + 1
    right = changed("translate x", grey, 1 / 4.5, -1.0)
    assert (right[:, 1:] == grey[:, :-1]).all()
    assert (right[:, 0] == 0).all()
    up = changed("translate y", grey, 1 / 4.5, 1.0)
    assert (up[:-1] == grey[1:]).all()
    assert (up[-1] == 0).all()


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        (name, channels)
        for name in sorted(CHANGES)
        for channels in (1, 3)
        if (name, channels) != ("colour", 1)
    ],
)
def test_every_change_keeps_shape_and_does_something(name, channels):
    pixels = images(1, channels)[0, 0].transpose(1, 2, 0).squeeze()
    out = changed(name, pixels, 0.9)
    assert out.shape == pixels.shape
    assert out.dtype == np.uint8
    assert (out != pixels).any()


def test_seeds_decide_sample_by_sample():
    frames, seeds, config = images(), np.arange(6), RandAugment(changes=2)
    whole = rand_augmented(frames, seeds, config)
    parts = [rand_augmented(frames[i : i + 1], seeds[i : i + 1], config) for i in range(6)]
    assert (whole == np.concatenate(parts)).all()
    assert (whole != rand_augmented(frames, seeds + 100, config)).any()


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_so_many_images_change(share):
    frames = images(1).repeat(2000, axis=0)
    config = RandAugment(changes=1, share=share)
    same = (rand_augmented(frames, np.arange(2000), config) == frames).all((1, 2, 3, 4)).mean()
    assert same == pytest.approx(1 - share, abs=0.04)


def test_batches_are_those_of_seed_and_epoch():
    data = ArrayFrames(np.broadcast_to(images(10), (10, 4, 3, 32, 32)), np.arange(10))
    augment = AugmentConfig(rand=RandAugment(changes=1), flip=True)

    def epoch(number, augment=augment):
        return [x for x, _ in shuffled_batches(data, 4, seed=0, epoch=number, augment=augment)]

    assert all((a == b).all() for a, b in zip(epoch(1), epoch(1), strict=True))
    plain = epoch(1, AugmentConfig(flip=True))
    assert any((a != b).any() for a, b in zip(epoch(1), plain, strict=True))
    assert epoch(1)[0].shape == (4, 4, 3, 32, 32)


@pytest.mark.parametrize("shape", [(2, 1, 2, 8, 8), (2, 4, 3, 8, 8)])
def test_events_are_refused(shape):
    with pytest.raises(RecipeError, match=r"still images of 1 or 3 channels.*augment\.policy"):
        rand_augmented(np.zeros(shape, np.uint8), np.arange(2), RandAugment(changes=1))
