"""What holds for every format: round trips, chunks, salvage, telling formats apart, files cut at every byte."""

from pathlib import Path

import fuzz_readers
import numpy as np
import pytest
from fuzz_readers import assert_begins, files, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.events import (
    FORMATS,
    Recording,
    find_format,
    read_chunks,
    read_recording,
    stream,
    write_recording,
)
from rheobase.events.read import READERS, declares_size

NAMES = sorted(files())
STATED = sorted(set(NAMES) - {"csv", "npy"})
SIDES = {"nmnist": (34, 34), "aedat2": (346, 260)}
LATEST = {"nmnist": 2**23, "aedat2": 2**31, "dat": 2**32, "evt2": 2**34, "evt21": 2**34, "evt3": 2**27}


def same(one, other):
    assert len(one) == len(other)
    assert_begins(one, other, "the recordings")


@st.composite
def recordings(draw, name):
    width, height = SIDES.get(name) or (draw(st.integers(1, 2048)), draw(st.integers(1, 2048)))
    latest = LATEST.get(name, 2**40) - 1
    spread = draw(st.sampled_from([3, 5000, latest]))
    start = draw(st.integers(0, latest - spread)) if spread < latest else 0
    corners = st.tuples(
        *(st.one_of(st.sampled_from([0, s - 1]), st.integers(0, s - 1)) for s in (width, height))
    )
    event = st.tuples(corners, st.integers(start, start + spread), st.integers(0, 1))
    events = sorted(draw(st.lists(event, max_size=40)), key=lambda event: event[1])
    x, y = np.array([event[0] for event in events], dtype=np.int64).reshape(-1, 2).T
    t, p = (np.array([event[i] for event in events], dtype=np.int64) for i in (1, 2))
    if name == "nmnist" and not len(t):
        x, y, t, p = np.zeros((4, 1), np.int64)
    return Recording(x, y, t, p, width=width, height=height)


@pytest.mark.parametrize("way", ["c", "numpy"])
@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name, way, tmp_path, monkeypatch):
    monkeypatch.setenv("RHEOBASE_READING", way)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(recordings(name))
    def round_trip(recording):
        write_recording(recording, tmp_path / "file", format=name)
        options = {} if name in STATED else {"width": recording.width, "height": recording.height}
        again = read_recording(tmp_path / "file", format=name, **options)
        same(again, recording)
        assert (again.width, again.height, again.time_unit) == (recording.width, recording.height, 1e-6)

    round_trip()


@pytest.mark.parametrize("name", NAMES)
def test_empty_recordings(name, tmp_path):
    empty = Recording([], [], [], [], width=128, height=128)
    write_recording(empty, tmp_path / "file", format=name)
    if name == "nmnist":
        with pytest.raises(DataError, match="file is empty"):
            read_recording(tmp_path / "file", format=name)
        return
    assert len(read_recording(tmp_path / "file", format=name)) == 0
    assert list(read_chunks(tmp_path / "file", 5, format=name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_empty_files_are_refused(name, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for salvage in (False, True):
        with pytest.raises(DataError, match=str(tmp_path / "file")):
            read_recording(tmp_path / "file", format=name, salvage=salvage)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [40, 1 << 18])
def test_chunks_are_the_whole_in_pieces(name, block, tmp_path, monkeypatch):
    """Also where a block of the file is a few records, so that state is carried from block to block."""
    for module in ("codecs", "aedat3", "nmnist"):
        monkeypatch.setattr(f"rheobase.events.{module}.BLOCK_BYTES", block)
    path = tmp_path / "file"
    path.write_bytes(files()[name])
    same(read_recording(path, format=name), sample())
    for n in (1, 7, 60, 61):
        parts = list(read_chunks(path, n, format=name, label=3))
        assert [len(part) for part in parts] == [n] * (60 // n) + [60 % n] * (60 % n > 0)
        joined = (np.concatenate([getattr(part, field) for part in parts]) for field in "xytp")
        same(Recording(*joined, width=128, height=128), sample())
        assert {(part.width, part.height, part.label) for part in parts} == {
            (*_size(name), 3),
        }
    with pytest.raises(DataError, match="n_events is 0"):
        read_chunks(path, 0, format=name)


def _size(name):
    if name in ("csv", "npy"):
        return int(sample().x.max()) + 1, int(sample().y.max()) + 1
    return (34, 34) if name == "nmnist" else (128, 128)


@pytest.mark.parametrize("name", NAMES)
def test_cut_at_every_byte(name, tmp_path):
    """A prefix of a file gives a prefix of its events or an error, and salvage a prefix whatever is cut."""
    data, whole = files()[name], sample()
    path, best = tmp_path / "file", 0
    step = 1 if len(data) < 2000 else 37
    for size in range(0, len(data), step):
        path.write_bytes(data[:size])
        try:
            part = read_recording(path, format=name)
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert_begins(part, whole, f"{size} bytes")
        try:
            salvaged = read_recording(path, format=name, salvage=True)
        except DataError:
            assert best == 0, f"at {size} bytes nothing is salvaged, of less {best} events"
        else:
            assert_begins(salvaged, whole, f"{size} bytes")
            assert len(salvaged) >= best
            best = len(salvaged)
    assert best >= (0 if name in ("npz", "hdf5") else 55)


@pytest.mark.parametrize("name", NAMES)
def test_out_of_order(name, tmp_path):
    """Events out of order are refused by place, kept up to there by salvage, sorted on demand."""
    late = sample()
    t = late.t.copy()
    t[[30, 40]] = t[[40, 30]]
    object.__setattr__(late, "t", t)
    path = tmp_path / "file"
    path.write_bytes(FORMATS[name].dump(late)) if name != "evt3" else path.write_bytes(_evt3_out_of_order())
    with pytest.raises(DataError, match=r"(byte|line|event) \d+: time decreases, from \d+ to \d+; sort=True"):
        read_recording(path, format=name)
    kept = read_recording(path, format=name, salvage=True)
    assert 0 < len(kept) < 60 and (np.diff(kept.t) >= 0).all()
    by_time = read_recording(path, format=name, sort=True)
    assert (np.diff(by_time.t) >= 0).all()
    if name != "evt3":
        order = np.argsort(t, kind="stable")
        assert by_time.x.tolist() == late.x[order].tolist()
    assert sum(len(part) for part in read_chunks(path, 9, format=name, salvage=True)) == len(kept)


def _evt3_out_of_order():
    words = np.array([8 << 12, 6 << 12 | 9, 2 << 12 | 5, 6 << 12 | 8, 2 << 12 | 6], "<u2")
    return b"% format EVT3;height=9;width=9\n% end\n" + words.tobytes()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"nmnist"}))
def test_content_goes_before_suffix(name, tmp_path):
    for suffix in ("", ".bin", ".csv", ".raw", ".aedat"):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(files()[name])
        assert find_format(path).name == name
        same(read_recording(path), sample())


def test_suffix_where_content_says_nothing(tmp_path):
    (tmp_path / "a.BIN").write_bytes(files()["nmnist"])
    same(read_recording(tmp_path / "a.BIN"), sample())
    for suffix, formats in READERS.items():
        write = tmp_path / f"b{suffix}"
        if formats[0].dump is not None:
            write_recording(sample(), write)
            assert find_format(write) in formats


def test_which_formats_state_their_sensor(tmp_path):
    for name in NAMES:
        path = tmp_path / f"file.{'bin' if name == 'nmnist' else name}"
        path.write_bytes(files()[name])
        assert declares_size(path) == (name in STATED)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_given_goes_before_what_the_file_states(name, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(files()[name])
    wider = read_recording(path, format=name, width=500, height=400, label=7, time_unit=1e-3)
    assert (wider.width, wider.height, wider.label, wider.time_unit) == (500, 400, 7, 1e-3)
    narrow = int(sample().x.max())
    with pytest.raises(DataError, match=rf"(byte|line|event) \d+: .*x = {narrow}, width is {narrow}"):
        read_recording(path, format=name, width=narrow)


def test_memory_of_chunks_does_not_grow_with_the_file(tmp_path):
    import tracemalloc

    many = sample(400_000)
    for name in ("dat", "evt3", "npy"):
        write_recording(many, tmp_path / "file", format=name)
        tracemalloc.start()
        count = sum(len(part) for part in read_chunks(tmp_path / "file", 1000, format=name))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 400_000
        assert peak < 32 * stream.BLOCK_BYTES * (2 if name == "evt3" else 1) + 2**23, (name, peak)


@pytest.mark.parametrize("first", range(0, 3000, 500))
def test_fuzz(first, tmp_path):
    outcomes = {fuzz_readers.case(number, Path(tmp_path) / "file") for number in range(first, first + 500)}
    assert {outcome.split()[1] for outcome in outcomes} == {"read", "salvaged", "refused"}
