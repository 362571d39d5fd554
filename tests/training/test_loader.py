import threading
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.training import ArrayFrames, AugmentConfig, batches, shuffled_batches
from rheobase.training.augment.geometry import shifted
from rheobase.training.loader import as_input, gathered, plan, prefetched, steps_per_epoch


def numbered(count):
    """Sample i holds the value i everywhere."""
    frames = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None, None], (count, 3, 2, 4, 5))
    return ArrayFrames(np.ascontiguousarray(frames), np.arange(count))


def test_in_order_time_first():
    (first, labels), (last, rest) = batches(numbered(5), 4)
    assert first.shape == (3, 4, 2, 4, 5)
    assert first.dtype == torch.float32
    assert first.is_contiguous()
    assert first[2, :, 1, 3, 4].tolist() == [0, 1, 2, 3] == labels.tolist()
    assert last.shape[1] == 1
    assert rest.tolist() == [4]


def order(count=11, **options):
    return [label for _, y in shuffled_batches(numbered(count), 4, **options) for label in y.tolist()]


def test_order_depends_on_seed_and_epoch_alone():
    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3) != order(seed=2, epoch=2)
    assert sorted(order(seed=1, epoch=2)) == list(range(11))


def test_processes_share_a_batch():
    one, two = (order(12, seed=0, epoch=0, rank=rank, world_size=2) for rank in (0, 1))
    assert [label for pair in zip(one, two, strict=True) for label in pair] == order(12, seed=0, epoch=0)
    one, two = (order(11, seed=0, epoch=0, rank=rank, world_size=2) for rank in (0, 1))
    assert (len(one), len(two)) == (6, 5)  # the last batch of 3 is shared as 2 and 1
    three = [order(10, seed=0, epoch=0, rank=rank, world_size=3) for rank in range(3)]
    assert [len(labels) for labels in three] == [5, 3, 2]  # and one of 2 among three as 1, 1 and 0


def test_labels_stay_with_their_frames():
    for frames, labels in shuffled_batches(numbered(11), 4, seed=0, epoch=0):
        assert torch.equal(frames[0, :, 0, 0, 0].long(), labels)


@given(st.integers(1, 40), st.integers(1, 12))
def test_a_last_batch_of_one_is_left_out(samples, batch):
    sizes = [len(y) for _, y in shuffled_batches(numbered(samples), batch, seed=0, epoch=0)]
    assert len(sizes) == steps_per_epoch(samples, batch)
    left_out = samples - sum(sizes)
    assert left_out == (1 if samples % batch == 1 and batch > 1 and samples > 1 else 0)


def test_shift_by_hand():
    frame = np.array([[1, 2], [3, 4]], np.uint8)
    moved = shifted(np.stack([frame, frame, frame])[:, None, None], np.array([[1, 0], [0, -1], [2, 0]]))
    assert moved[:, 0, 0].tolist() == [[[0, 0], [1, 2]], [[2, 0], [4, 0]], [[0, 0], [0, 0]]]


def test_shift_moves_all_frames_of_a_recording_together():
    frames = np.zeros((6, 3, 2, 9, 9), np.uint8)
    frames[..., 4, 4] = 7
    data = ArrayFrames(frames, np.arange(6))
    places = set()
    for x, _ in shuffled_batches(data, 6, seed=0, epoch=0, augment=AugmentConfig(shift=2)):
        for sample in x.transpose(0, 1):
            where = sample.nonzero()[:, 2:].unique(dim=0)
            assert len(where) == 1
            assert sample.sum() == 7 * 6
            places.add(tuple(where[0].tolist()))
    assert len(places) > 2
    assert all(2 <= y <= 6 and 2 <= x <= 6 for y, x in places)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_same_batches(workers):
    data = numbered(23)

    def stream(workers):
        return prefetched(
            data, plan(23, 6, seed=3, epoch=1, augment=AugmentConfig(shift=1), accumulate=2), workers=workers
        )

    one, two = list(stream(0)), list(stream(workers))
    assert [len(parts) for parts in one] == [2, 2, 2, 2]
    for (x, y, _), (u, v, part) in zip(chain(*one), chain(*two), strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)
        assert v.tolist() == data.labels[part.indices].tolist()


def test_workers_end_with_the_stream_and_hand_on_errors():
    stream = prefetched(numbered(40), plan(40, 4, seed=0, epoch=0), workers=2)
    next(stream)
    assert any(thread.name.startswith("rheobase-loader") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("rheobase-loader") for thread in threading.enumerate())
    with pytest.raises(IndexError):
        list(prefetched(numbered(4), plan(40, 4, seed=0, epoch=0), workers=2))


def test_frames_are_bytes_until_they_are_input():
    frames = gathered(numbered(5), np.array([3, 1]))
    assert frames.dtype == torch.uint8
    assert as_input(frames).dtype == torch.float32
    assert torch.equal(as_input(frames), as_input(frames.numpy()))


def stills(count=6, T=4):
    """Images seen T times, by a view of stride 0 along time."""
    images = np.random.default_rng(0).integers(256, size=(count, 1, 3, 4, 5), dtype=np.uint8)
    return ArrayFrames(np.broadcast_to(images, (count, T, 3, 4, 5)), np.arange(count))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [None, AugmentConfig(shift=1, flip=True, cutout=2)])
def test_a_still_image_stays_one_image(workers, augment):
    """It is gathered and augmented once, reaches the model as a repeated view, and holds the numbers of T copies."""
    data = stills()
    copies = ArrayFrames(np.ascontiguousarray(data.frames), data.labels)
    steps = [plan(6, 3, seed=2, epoch=0, augment=augment) for _ in range(2)]
    found, expected = (
        chain(*prefetched(source, step, workers=workers))
        for source, step in zip((data, copies), steps, strict=True)
    )
    for (x, y, _), (u, v, _) in zip(found, expected, strict=True):
        assert torch.equal(x, u) and torch.equal(y, v)
        assert x.shape == (4, 3, 3, 4, 5) and x.stride(0) == 0 and x[0].is_contiguous()
        assert u.is_contiguous()


def test_still_images_are_evaluated_as_one_image():
    for x, _ in batches(stills(), 4):
        assert x.stride(0) == 0
    (x, _), *_ = batches(stills(T=1), 4)
    assert x.shape[0] == 1
