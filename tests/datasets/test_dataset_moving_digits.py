"""moving-digits-dvs: determinism, boxes that are where the events are, and the frozen split, on few recordings."""

import numpy as np
import pytest

from rheobase.datasets import BoxedFrames, DataConfig, load_dataset, moving_digits_dvs
from rheobase.datasets.cards import CARDS
from rheobase.datasets.moving_digits_dvs import MOST, SIZE, STEPS, cut, generate, make_pool, overlap, render
from rheobase.errors import RecipeError

COUNTS = {"train": 12, "validation": 5, "test": 6}
FROZEN = "26f1f893fd5969826c65cf58609892341f3cb923a314f2008246ac5d101e7b1c"


@pytest.fixture(scope="module")
def made():
    return list(generate("train", 24))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(moving_digits_dvs, "COUNTS", COUNTS)


def load(**options):
    return load_dataset(DataConfig(name="moving-digits-dvs", **options))


def test_batches_and_numbers_change_nothing(made):
    for (one, boxes, kinds), (other, *same) in zip(made, generate("train", 7, batch=3), strict=False):
        for name in "xytp":
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(boxes, same[0])
        np.testing.assert_array_equal(kinds, same[1])
    assert made[0][0].label is not None


def test_boxes_are_on_the_sensor_and_keep_clear(made):
    for recording, boxes, kinds in made:
        count = int((kinds >= 0).sum())
        assert 1 <= count <= MOST and recording.label == count - 1
        assert (kinds[count:] == -1).all() and (boxes[count:] == 0).all() and kinds.max() <= 9
        there = boxes[:count]
        assert there.min() >= 0 and there.max() <= SIZE
        sides = there[..., 2:] - there[..., :2]
        assert (sides[..., 1] >= 14 - 1e-3).all() and (sides[..., 1] <= 24 + 1e-3).all()
        np.testing.assert_allclose(sides, np.broadcast_to(sides[:, :1], sides.shape), atol=1e-4)
        steps = np.abs(np.diff(there, axis=1)).max()
        assert 0 < steps < 1
        for i in range(count):
            for j in range(i):
                assert overlap(boxes[i], boxes[j]).max() <= 0.1 + 1e-5


def test_events_lie_in_the_boxes(made):
    """Strokes fade over half a cell of the 8x8 image beyond the box: up to 24/16 pixels; the rest is noise."""
    inside = total = 0
    for recording, boxes, kinds in made:
        at = boxes[kinds >= 0][:, np.round(recording.t / 10_000).astype(int)]  # [digits, events, 4]
        x, y = recording.x + 0.5, recording.y + 0.5
        x0, y0, x1, y1 = np.moveaxis(at, -1, 0) + np.array([-2, -2, 2, 2])[:, None, None]
        inside += ((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)).any(0).sum()
        total += len(recording)
        noise = 0.0005 * 2 * SIZE * SIZE * (STEPS - 1)
        assert len(recording) > 3 * noise
    assert inside / total > 0.92


def test_boxes_are_tight():
    """A box without a border of ink that the events would show: the rendered strokes fill it to its edges."""
    digit = np.zeros((8, 8))
    digit[2:6, 3:5] = 1
    assert cut(digit).shape == (4, 2)
    boxes = np.tile([10.0, 20.0, 20.0, 40.0], (STEPS, 1))
    seen = np.abs(render([moving_digits_dvs.Digit(cut(digit), 1, boxes)], np.random.default_rng(0)))[0]
    rows, columns = np.flatnonzero((seen > 0.499).any(1)), np.flatnonzero((seen > 0.499).any(0))
    assert (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1) == (10, 20, 20, 40)


def test_overlap_by_hand():
    a, b = np.array([0.0, 0, 2, 2]), np.array([1.0, 1, 3, 3])
    assert overlap(a, b) == pytest.approx(1 / 7)
    assert overlap(a, b + 2) == 0 and overlap(a, a) == 1


def test_parts_and_boxes_at_the_ends_of_frames(small):
    data = load(T=4)
    assert (data.sensor, data.classes[0]) == ((64, 64), "one digit")
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    for part, found in parts.items():
        assert isinstance(found, BoxedFrames) and found.objects == tuple("0123456789")
        assert found.frames.shape == (COUNTS[part], 4, 2, 64, 64)
        assert found.boxes.shape == (COUNTS[part], 4, MOST, 4) and found.kinds.shape == (COUNTS[part], MOST)
        for i, (recording, boxes, kinds) in enumerate(generate(part, COUNTS[part])):
            np.testing.assert_array_equal(found.kinds[i], kinds)
            np.testing.assert_array_equal(found.boxes[i], boxes[:, [8, 16, 24, 32]].swapaxes(0, 1))
            np.testing.assert_array_equal(found.frames[i], found.frames_from(recording))
    odd = load(T=3)  # ends between two instants
    middle = 2 / 3 * 32
    between = (22 - middle) * generated("train", 21) + (middle - 21) * generated("train", 22)
    np.testing.assert_allclose(odd.train.boxes[:, 1], between, atol=1e-4)


def generated(part, instant):
    return np.stack([boxes[:, instant] for _, boxes, _ in generate(part, COUNTS[part])])


def test_down_sampled_and_train_size(small):
    whole, some = load(), load(size=32, train_size=4)
    np.testing.assert_allclose(some.train.boxes, whole.train.boxes[:4] / 2)
    assert len(some.train) == len(some.train.boxes) == len(some.train.kinds) == 4
    np.testing.assert_array_equal(some.train.kinds, whole.train.kinds[:4])


def test_split_is_frozen(small):
    assert load().split_hash == load(T=2, size=16, cache=False).split_hash == FROZEN
    assert make_pool({**COUNTS, "test": 5}, keep=False)[0].content != make_pool(COUNTS)[0].content


def test_refusals_and_card(small):
    with pytest.raises(RecipeError, match="frames of equal time"):
        load(binning="count")
    with pytest.raises(RecipeError, match="did you mean 'official'"):
        load(split="oficial")
    assert "CC BY" in CARDS["moving-digits-dvs"].licence
