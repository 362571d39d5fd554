"""Binning: every event lands exactly once, and as a slow loop says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError, RheobaseError
from rheobase.events import Recording, bin_by_count, bin_by_time, bin_native


@pytest.fixture(params=["c", "numpy"], autouse=True, scope="module")
def way(request):
    """Everything here holds for the C and for NumPy alike."""
    if request.param == "c" and bin_native.library() is None:
        pytest.skip("no C compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(bin_native.VARIABLE, request.param)
        yield request.param


rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 40), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


def record(events):
    x, y, t, p = np.array(sorted(events, key=lambda row: row[2])).T
    return Recording(x, y, t, p, width=5, height=3)


def slow(recording, T, bins):
    frames = np.zeros((T, 2, recording.height, recording.width), int)
    for x, y, p, b in zip(recording.x, recording.y, recording.p, bins, strict=True):
        frames[b, p, y, x] += 1
    return frames


def test_golden_by_time():
    recording = Recording([0, 1, 0, 1], [0, 0, 0, 0], [0, 4, 5, 9], [1, 1, 0, 0], width=2, height=1)
    frames = bin_by_time(recording, 2)  # [0, 5) and [5, 10): the last event, at 9, is in
    assert frames.tolist() == [[[[0, 0]], [[1, 1]]], [[[1, 1]], [[0, 0]]]]
    assert np.issubdtype(frames.dtype, np.integer)


def test_golden_by_count():
    recording = Recording([0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1], width=2, height=1)
    assert bin_by_count(recording, 2)[:, 1, 0].tolist() == [[2, 0], [0, 1]]
    assert bin_by_count(recording, 5).sum(axis=(1, 2, 3)).tolist() == [1, 1, 0, 1, 0]


@given(rows, st.integers(1, 9))
def test_by_time_agrees_with_a_loop_over_edges(events, T):
    recording = record(events)
    start, stop = int(recording.t[0]), int(recording.t[-1]) + 1
    bins = [max(b for b in range(T) if (int(t) - start) * T >= b * (stop - start)) for t in recording.t]
    frames = bin_by_time(recording, T)
    np.testing.assert_array_equal(frames, slow(recording, T, bins))
    assert frames.sum() == len(recording)


@given(rows, st.integers(1, 9))
def test_by_count_is_even_and_in_order(events, T):
    recording = record(events)
    frames = bin_by_count(recording, T)
    sizes = frames.sum(axis=(1, 2, 3))
    assert sizes.sum() == len(recording)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(frames, slow(recording, T, np.repeat(np.arange(T), sizes)))


@given(rows, st.integers(1, 5), st.integers(-5, 30), st.integers(1, 30))
def test_an_explicit_window_keeps_what_lies_in_it(events, T, start, length):
    recording = record(events)
    inside = (recording.t >= start) & (recording.t < start + length)
    frames = bin_by_time(recording, T, start=start, stop=start + length)
    chosen = recording.select(inside)
    np.testing.assert_array_equal(frames, slow(chosen, T, (chosen.t - start) * T // length))


@given(rows)
def test_one_bin_is_the_same_by_time_and_by_count(events):
    recording = record(events)
    np.testing.assert_array_equal(bin_by_time(recording, 1), bin_by_count(recording, 1))


def test_what_cannot_be_binned():
    empty = Recording([], [], [], [], width=2, height=2)
    one = Recording([0], [0], [5], [0], width=2, height=2)
    for function in (bin_by_time, bin_by_count):
        with pytest.raises(DataError, match="recording has no events"):
            function(empty, 4)
        with pytest.raises(DataError, match="T is 0"):
            function(one, 0)
    with pytest.raises(DataError, match="window from 5 to 5"):
        bin_by_time(one, 2, start=5, stop=5)


@pytest.mark.parametrize("events", [1, 1023, 1024, 1025, 5000])
def test_blocks_and_a_busy_pixel(events, way):
    rng = np.random.default_rng(events)
    x, y = rng.integers(300, size=events), rng.integers(200, size=events)
    x[::2], y[::2] = 299, 199  # half of the events in the last cell
    t, p = np.sort(rng.integers(-(10**12), 10**12, size=events)), rng.integers(2, size=events)
    recording = Recording(x, y, t, p, width=300, height=200)
    bins = (recording.t - int(t[0])) * 7 // (int(t[-1]) + 1 - int(t[0]))
    np.testing.assert_array_equal(bin_by_time(recording, 7), slow(recording, 7, bins))
    np.testing.assert_array_equal(
        bin_by_count(recording, 3), slow(recording, 3, np.arange(events) * 3 // events)
    )


def test_ticks_at_the_ends_of_64_bits():
    ends = np.iinfo(np.int64)
    t = [ends.min, -1, 0, ends.max]
    recording = Recording([0, 1, 2, 3], [0] * 4, t, [1] * 4, width=4, height=1)
    assert bin_by_time(recording, 2)[:, 1, 0].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert bin_by_time(recording, 1, start=-(10**30), stop=10**30).sum() == 4
    assert bin_by_time(recording, 3, start=10**29, stop=10**30).sum() == 0


@pytest.mark.parametrize(("name", "value"), [("x", 2), ("y", 3), ("p", 2)])
def test_arrays_changed_behind_the_recording_are_refused(name, value):
    recording = Recording([0, 1, 1], [0, 1, 2], [0, 1, 2], [0, 1, 0], width=2, height=3)
    getattr(recording, name)[1] = value
    with pytest.raises(DataError, match="changed after the recording was made"):
        bin_by_time(recording, 2)


def test_an_unknown_way(monkeypatch):
    monkeypatch.setenv(bin_native.VARIABLE, "nunpy")
    with pytest.raises(RheobaseError, match=r"RHEOBASE_BINNING: .*did you mean 'numpy'"):
        bin_by_time(Recording([0], [0], [5], [0], width=2, height=2), 1)


def test_without_a_compiler_it_warns_and_works(monkeypatch):
    def refuse(*_):
        raise bin_native.CompilerError("no C compiler found")

    monkeypatch.setenv(bin_native.VARIABLE, "c")
    monkeypatch.setattr(bin_native, "compile_shared", refuse)
    monkeypatch.setattr(bin_native, "library", bin_native.library.__wrapped__)
    with pytest.warns(UserWarning, match=r"falls back to NumPy.*no C compiler found"):
        frames = bin_by_time(Recording([0], [0], [5], [0], width=2, height=2), 1)
    assert frames.tolist() == [[[[1, 0], [0, 0]], [[0, 0], [0, 0]]]]
