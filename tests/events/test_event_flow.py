"""Flows of events: what comes through a pipe is what is in the file, and comes when it comes."""

import io
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.events import Recording, flow, read_recording, windows, write_recording
from rheobase.events.flow import PIPED

SUFFIX = {"aedat2": ".aedat", "csv": ".csv", "dat": ".dat", "evt2": ".raw", "evt21": ".raw", "evt3": ".raw"}


def record(count=3000, seed=0, gap=40):
    rng = np.random.default_rng(seed)
    t = 1000 + np.cumsum(rng.integers(gap, size=count))
    return Recording(
        rng.integers(128, size=count), rng.integers(100, size=count), t, rng.integers(2, size=count), 128, 128
    )


def rows(recordings):
    return [row for r in recordings for row in zip(*(getattr(r, n).tolist() for n in "xytp"), strict=True)]


class Drip(io.RawIOBase):
    """A pipe whose writer is slow: few bytes at a time, of lengths that fit no record."""

    def __init__(self, data, step):
        self.data, self.step, self.at = data, step, 0

    def read1(self, count):
        piece = self.data[self.at : self.at + min(self.step, count)]
        self.at += len(piece)
        return piece


@pytest.mark.parametrize("name", PIPED)
@pytest.mark.parametrize("step", [3, 1000])
def test_a_pipe_gives_what_is_in_the_file(name, step, tmp_path):
    path = tmp_path / f"recording{SUFFIX[name]}"
    write_recording(record(), path, format=name)
    size = {} if name != "csv" else {"width": 128, "height": 128}
    with flow(Drip(path.read_bytes(), step), **size) as found:
        parts = list(found.parts)
    assert found.format == name and (found.width, found.height) == (128, 128)
    assert rows(parts) == rows([read_recording(path, **size)])
    with flow(path) as found:
        assert rows(found.parts) == rows(parts)


@pytest.mark.parametrize("name", ["csv", "evt2", "evt3"])
def test_events_come_before_the_pipe_is_closed(name, tmp_path):
    path = tmp_path / f"recording{SUFFIX[name]}"
    write_recording(record(6000), path, format=name)
    data = path.read_bytes()
    reader, writer = os.pipe()
    half = threading.Event()

    def feed():
        with os.fdopen(writer, "wb", buffering=0) as end:
            end.write(data[: len(data) // 2])
            half.wait(30)
            end.write(data[len(data) // 2 :])

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb") as stream, flow(stream, width=128, height=128) as found:
        parts = [next(found.parts)]
        half.set()
        parts += found.parts
    thread.join()
    assert 0 < len(parts[0]) < 6000
    assert rows(parts) == rows([read_recording(path, width=128, height=128)])


def test_a_pipe_says_what_it_cannot_do():
    buffer = io.BytesIO()
    np.savez(buffer, x=[0], y=[0], t=[0], p=[0])
    for data, options, what in (
        (buffer.getvalue(), {}, "npz cannot be read from front to back"),
        (b"x,y,t,p\n1,2,3,1\n", {}, "states no sensor size"),
        (b"", {}, "no bytes came"),
        (b"\1\2\3" * 99, {}, "tell no format"),
        (b"x,y,t,p\n1,2,3,1\n", {"format": "cvs"}, "did you mean 'csv'"),
    ):
        with pytest.raises(DataError, match=what), flow(io.BytesIO(data), **options):
            pass


def test_a_pipe_that_breaks_off_gives_the_events_before(tmp_path):
    path = tmp_path / "recording.raw"
    write_recording(record(), path, format="evt2")
    data = path.read_bytes()[:-2]
    with flow(io.BytesIO(data)) as found, pytest.raises(DataError, match="inside a record"):
        list(found.parts)
    with flow(io.BytesIO(data), salvage=True) as found:
        assert rows(found.parts) == rows([record()])[:-1]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 400)), min_size=1, max_size=40),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 7),
)
def test_windows_are_their_definition(steps, length, hop, cut):
    t = np.cumsum([gap if i % 5 else far for i, (gap, far) in enumerate(steps)])
    n = len(t)
    whole = Recording(np.arange(n), np.zeros(n, int), t, np.arange(n) % 2, n, 1)
    parts = [whole.select((np.arange(n) >= i) & (np.arange(n) < i + cut)) for i in range(0, n, cut)]
    found = [(start, rows([window])) for start, window in windows(iter(parts), length, hop)]
    first, expected = int(t[0]), []
    for start in range(first, int(t[-1]) + 1, hop):
        inside = rows([whole.select((t >= start) & (t < start + length))])
        if inside:
            expected.append((start, inside))
    assert found == expected


def test_a_window_is_given_when_it_is_over():
    """And not later: the flow behind it may take its time."""

    def parts():
        for t in (0, 5, 12, 1000):
            seen.append(t)
            yield Recording([0], [0], [t], [1], 1, 1)

    seen = []
    found = windows(parts(), 10)
    assert next(found)[0] == 0 and seen == [0, 5, 12]
    assert next(found)[0] == 10 and seen == [0, 5, 12, 1000]
