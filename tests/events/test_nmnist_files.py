"""N-MNIST files: golden bytes, round trip, and every way a file can be broken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.events import Recording, format_nmnist, parse_nmnist, read_nmnist, write_nmnist

GOLDEN = bytes([10, 20, 0x80, 0x00, 0x05, 33, 0, 0x01, 0x02, 0x03])
"""x 10, y 20, ON at 5 us; x 33, y 0, OFF at 0x010203 us."""


def test_golden_bytes():
    recording = parse_nmnist(GOLDEN)
    assert recording.x.tolist() == [10, 33]
    assert recording.y.tolist() == [20, 0]
    assert recording.p.tolist() == [1, 0]
    assert recording.t.tolist() == [5, 66051]
    assert (recording.width, recording.height, recording.time_unit) == (34, 34, 1e-6)
    assert format_nmnist(recording) == GOLDEN


def test_an_overflow_row_is_no_event_and_delays_what_follows():
    data = bytes([1, 1, 0, 0, 9]) + bytes([0, 240, 0, 0, 0]) + bytes([2, 2, 0x80, 0, 3])
    recording = parse_nmnist(data)
    assert recording.x.tolist() == [1, 2]
    assert recording.t.tolist() == [9, 8192 + 3]


events = st.lists(
    st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 2**23 - 1), st.integers(0, 1)),
    min_size=1,
)


@given(events)
def test_round_trip(rows):
    x, y, t, p = np.array(sorted(rows, key=lambda row: row[2])).T
    recording = Recording(x, y, t, p, width=34, height=34)
    again = parse_nmnist(format_nmnist(recording))
    for name in "xytp":
        np.testing.assert_array_equal(getattr(again, name), getattr(recording, name))


@given(st.binary(max_size=200))
def test_random_bytes_give_a_recording_or_a_data_error(data):
    try:
        recording = parse_nmnist(data, name="noise.bin")
    except DataError as error:
        assert str(error).startswith("noise.bin: ")
    else:
        assert recording.x.max(initial=0) < 34


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "file is empty"),
        (GOLDEN[:-1], "9 bytes is no multiple of 5"),
        (bytes([34, 0, 0, 0, 0]), "x = 34, width is 34.*get it again"),
        (bytes([0, 99, 0, 0, 0]), "y = 99, height is 34"),
        (GOLDEN[5:] + GOLDEN[:5], "time decreases"),
    ],
)
def test_broken_files_name_the_file_and_the_fault(tmp_path, data, message):
    path = tmp_path / "00007.bin"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_nmnist(path)
    assert "00007.bin" in str(caught.value)


def test_absent_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.bin: cannot be read"):
        read_nmnist(tmp_path / "none.bin")


def test_write(tmp_path):
    write_nmnist(parse_nmnist(GOLDEN), tmp_path / "a" / "1.bin")
    assert (tmp_path / "a" / "1.bin").read_bytes() == GOLDEN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t": [2**23]}, "times"),
        ({"y": [240]}, "row 240"),
        ({"x": [256]}, "coordinates"),
        ({"time_unit": 1e-3}, "micro"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(changes, message):
    fields = {"x": [0], "y": [0], "t": [0], "p": [0], "time_unit": 1e-6} | changes
    with pytest.raises(DataError, match=message):
        format_nmnist(Recording(**fields, width=300, height=300))
