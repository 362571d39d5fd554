"""CSV and NumPy files, and the reader that chooses by suffix."""

import io
import os
import zipfile

import numpy as np
import pytest

from rheobase.errors import DataError
from rheobase.events import (
    Recording,
    read_csv,
    read_npy,
    read_npz,
    read_recording,
    write_csv,
    write_nmnist,
    write_npz,
)
from rheobase.events.read import declares_size

RECORDING = Recording([3, 1], [0, 2], [7, 8], [1, 0], width=5, height=6, label=2, time_unit=1e-3)


def assert_same_events(one, other):
    for name in "xytp":
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_csv_columns_in_any_order_and_signed_polarity(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t, P ,extra,y,x\n7,1,0.5,0,3\n\n8,-1,,2,1\n")
    recording = read_csv(path, width=5, height=6)
    assert_same_events(recording, RECORDING)
    assert (recording.width, recording.height) == (5, 6)


def test_csv_round_trip(tmp_path):
    write_csv(RECORDING, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "x,y,t,p\n3,0,7,1\n1,2,8,0\n"
    recording = read_recording(tmp_path / "a.csv", label=2)
    assert_same_events(recording, RECORDING)
    assert (recording.width, recording.height, recording.label) == (4, 3, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file is empty"),
        ("x,y,t\n1,2,3\n", "line 1: the header must name"),
        ("x,y,t,p,x\n", "line 1: the header must name"),
        ("x,y,t,p\n1,2,3,1\n1,2,3\n", "line 3: 3 columns, the header has 4"),
        ("x,y,t,p\n1,2,3,1\n1,2,oops,1\n", "line 3: .*oops"),
        ("x,y,t,p\n1,2,0.5,1\n", "line 2"),
        ("x,y,t,p\n1,2,5,1\n1,2,4,1\n", "time decreases"),
        ("x,y,t,p\n1,2,5,3\n", "p = 3"),
        ("x,y,t,p\n1,2,5,-2\n", "polarities are 0 and 1, or -1 and 1"),
        (f"x,y,t,p\n1,2,{2**70},1\n", "64 bits"),
        ("x,y,t,p\n-1,2,5,1\n", "x = -1"),
    ],
)
def test_bad_csv_names_file_and_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path)
    assert "bad.csv" in str(caught.value)


def test_binary_csv_and_absent_csv(tmp_path):
    (tmp_path / "bin.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        read_csv(tmp_path / "bin.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "none.csv")


def test_npz_round_trip_keeps_everything(tmp_path):
    write_npz(RECORDING, tmp_path / "a.npz")
    recording = read_npz(tmp_path / "a.npz")
    assert_same_events(recording, RECORDING)
    assert (recording.width, recording.height, recording.label, recording.time_unit) == (5, 6, 2, 1e-3)
    assert read_npz(tmp_path / "a.npz", label=4).label == 4


def test_npy_structured(tmp_path):
    rows = np.array(
        [(1, 3, 0, 7), (-1, 1, 2, 8)], dtype=[("p", "i1"), ("x", "<u2"), ("y", "<u2"), ("t", "<i8")]
    )
    np.save(tmp_path / "a.npy", rows)
    assert_same_events(read_npy(tmp_path / "a.npy"), RECORDING)


def test_bad_numpy_files(tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros((4, 4)))
    with pytest.raises(DataError, match="structured array with fields"):
        read_npy(tmp_path / "plain.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="plain arrays"):
        read_npy(tmp_path / "objects.npy")
    np.savez(tmp_path / "short.npz", x=[1], y=[1], t=[1])
    with pytest.raises(DataError, match="no field p"):
        read_npz(tmp_path / "short.npz")
    np.savez(tmp_path / "wide.npz", x=[1], y=[1], t=[1], p=[1], width=[1, 2])
    with pytest.raises(DataError, match="width must be one number"):
        read_npz(tmp_path / "wide.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "wide.npz").read_bytes()[:100])
    (tmp_path / "noise.npy").write_bytes(b"\x01\x02\x03")
    for name in ("cut.npz", "noise.npy", "none.npz"):
        with pytest.raises(DataError, match=name):
            read_recording(tmp_path / name)


def test_wrong_sensor_size_is_found(tmp_path):
    write_npz(RECORDING, tmp_path / "a.npz")
    with pytest.raises(DataError, match="x = 3, width is 2"):
        read_recording(tmp_path / "a.npz", width=2)


def test_unknown_suffix_lists_the_readable_ones(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"what is this")
    with pytest.raises(DataError, match=r"a\.xyz: .*readable: \.bin, \.csv, \.npy, \.npz, \.h5"):
        read_recording(tmp_path / "a.xyz")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    for name in ("a.csv", "."):
        with pytest.raises(DataError, match="cannot be read"):
            read_recording(tmp_path / name)


def test_npz_that_claims_more_than_it_holds(tmp_path):
    """A header of 10^12 events on a few bytes is refused before anything of that size is made."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in "xytp":
            data = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                data, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)}
            )
            file.writestr(f"{name}.npy", data.getvalue() + bytes(80))
    with pytest.raises(DataError, match=r"array x: its header claims 8000000000128 bytes, the archive 208"):
        read_recording(tmp_path / "a.npz")


def test_npy_cut_short(tmp_path):
    rows = np.zeros(3, dtype=[("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "u1")])
    np.save(tmp_path / "a.npy", rows)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-1])
    place = f"byte {len(data) - 13}"
    with pytest.raises(DataError, match=f"{place}: the file ends inside its array: 2 of 3 events are there"):
        read_npy(tmp_path / "a.npy")
    assert len(read_recording(tmp_path / "a.npy", salvage=True)) == 2


def test_which_files_state_their_sensor(tmp_path):
    write_npz(RECORDING, tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=[1], y=[1], t=[1], p=[1])
    write_nmnist(Recording([1], [1], [1], [1], width=34, height=34), tmp_path / "c.bin")
    names = ("a.npz", "b.npz", "c.bin", "d.csv", "none.npz")
    assert [declares_size(tmp_path / name) for name in names] == [True, False, True, False, False]
