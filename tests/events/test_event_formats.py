"""Every binary format against bytes put together here by hand, word for word from its definition."""

import struct
import sys
import types

import numpy as np
import pytest

from rheobase.errors import DataError
from rheobase.events import Recording, find_format, read_recording, write_recording


def rows(recording):
    return list(zip(*(getattr(recording, name).tolist() for name in "xytp"), strict=True))


@pytest.fixture(params=["c", "numpy"], autouse=True)
def way(request, monkeypatch):
    monkeypatch.setenv("RHEOBASE_READING", request.param)


@pytest.fixture
def read(tmp_path):
    """The recording in bytes, in a file whose suffix says nothing."""

    def read(data, **options):
        path = tmp_path / "file"
        path.write_bytes(data)
        return read_recording(path, **options)

    return read


# AEDAT 2.0

AEDAT2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
DAVIS240 = AEDAT2 + b"# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"


def big(*pairs):
    return b"".join(struct.pack(">II", *pair) for pair in pairs)


def test_aedat2_dvs128_counts_from_the_lower_right_and_0_is_on(read):
    events = big((100 << 8 | 3 << 1, 7), (0x8000, 8), (127 << 8 | 127 << 1 | 1, 9))
    recording = read(AEDAT2 + events)
    assert rows(recording) == [(124, 27, 7, 1), (0, 0, 9, 0)]
    assert (recording.width, recording.height, recording.time_unit) == (128, 128, 1e-6)


def test_aedat2_davis_skips_frames_and_external_events(read):
    on, off = 5 << 22 | 9 << 12 | 1 << 11, 179 << 22 | 239 << 12
    frame, external = 1 << 31 | on, on | 1 << 10
    recording = read(DAVIS240 + big((on, 1), (frame, 2), (external, 3), (off, 4)))
    assert rows(recording) == [(230, 174, 1, 1), (0, 0, 4, 0)]
    assert (recording.width, recording.height) == (240, 180)


def test_aedat2_by_the_size_given_where_the_header_names_no_camera(read):
    events = big((259 << 22 | 345 << 12 | 1 << 11, 5))
    with pytest.raises(DataError, match=r"names no camera.*give width and height.*346 x 260"):
        read(AEDAT2 + events)
    assert rows(read(AEDAT2 + events, width=346, height=260)) == [(0, 0, 5, 1)]


def test_aedat2_of_an_unknown_camera(read):
    with pytest.raises(DataError, match=r"'AEChip: com\.sec\.dvs\.SecDvs640Gen2'; known are DVS128"):
        read(AEDAT2 + b"# AEChip: com.sec.dvs.SecDvs640Gen2\r\n")


def test_aedat2_time_wraps(read):
    recording = read(
        AEDAT2 + big((0, 2**32 - 2), (0, 2**32 - 1), (0, 0), (0, 5), (0x8000, 2**31 + 9), (0, 1))
    )
    assert recording.t.tolist() == [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 5, 2 * 2**32 + 1]


def test_aedat2_an_event_may_begin_like_a_header_line(read):
    """0x23 is `#`: row 140 of a DAVIS. The control characters in it tell it from text."""
    address = 0x23 << 24 | 9 << 12
    recording = read(DAVIS240 + big((address, 10), (address, 11)))
    assert recording.t.tolist() == [10, 11] and recording.y[0] == 179 - 140


def test_aedat2_written_bytes(tmp_path):
    recording = Recording([230], [174], [1], [1], width=240, height=180)
    write_recording(recording, tmp_path / "a", format="aedat2")
    data = (tmp_path / "a").read_bytes()
    assert data.startswith(b"#!AER-DAT2.0\r\n") and b"\r\n# AEChip: DAVIS240\r\n" in data
    assert data.endswith(b"#End Of ASCII Header\r\n" + big((5 << 22 | 9 << 12 | 1 << 11, 1)))


# AEDAT 3.1

AEDAT3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DAVIS346\r\n#Start-Time: now\r\n#!END-HEADER\r\n"


def packet(kind, *events, overflow=0, size=8, offset=4):
    body = b"".join(struct.pack("<II", *event) for event in events)
    n = len(body) // size
    return struct.pack("<hhiiiiii", kind, 1, size, offset, overflow, n, n, n) + body


def polarity(x, y, t, p, valid=1):
    return (x << 17 | y << 2 | p << 1 | valid, t)


def test_aedat3_polarity_packets(read):
    first = packet(1, polarity(345, 259, 5, 1), polarity(1, 2, 6, 0, valid=0), polarity(0, 1, 2**31 - 1, 0))
    frames = packet(2, (1, 2), (3, 4), (5, 6), size=12, offset=4)
    later = packet(1, polarity(7, 8, 3, 1), overflow=2)
    recording = read(AEDAT3 + first + frames + packet(1) + later)
    assert rows(recording) == [(345, 259, 5, 1), (0, 1, 2**31 - 1, 0), (7, 8, 2**32 + 3, 1)]
    assert (recording.width, recording.height) == (346, 260)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packet(1, polarity(1, 1, 1, 1))[:-3], "goes 3 bytes beyond the end"),
        (packet(1, polarity(1, 1, 1, 1))[:20], "20 of its 28 bytes"),
        (
            struct.pack("<hhiiiiii", 2, 1, 2**31 - 1, 4, 0, 2**31 - 1, 2**31 - 1, 0),
            "beyond the end of the file",
        ),
        (struct.pack("<hhiiiiii", 1, 1, 0, 4, 0, 5, 5, 5), "impossible"),
        (struct.pack("<hhiiiiii", 2, 1, 8, 4, 0, -5, -5, 5), "impossible"),
        (packet(1, (1, 2), (3, 4), size=16, offset=12), "polarity events of 16 bytes"),
    ],
)
def test_aedat3_hostile_packets_name_the_byte_of_the_packet(read, data, message):
    good = packet(1, polarity(9, 9, 0, 1))
    with pytest.raises(DataError, match=f"file: byte {len(AEDAT3 + good)}: .*{message}"):
        read(AEDAT3 + good + data)
    assert rows(read(AEDAT3 + good + data, salvage=True))[0] == (9, 9, 0, 1)


def test_aedat3_header_without_end(read):
    with pytest.raises(DataError, match="ends without #!END-HEADER"):
        read(b"#!AER-DAT3.1\r\n#Format: RAW\r\n")


# Prophesee

SIZE = b"% Width 640\n% Height 480\n"


def test_dat(read):
    header = b"% Data file containing CD events\n% Version 2\n" + SIZE + bytes([12, 8])
    events = struct.pack("<IIII", 10, 639 | 479 << 14 | 1 << 28, 11, 3 | 4 << 14)
    recording = read(header + events)
    assert rows(recording) == [(639, 479, 10, 1), (3, 4, 11, 0)]
    assert (recording.width, recording.height) == (640, 480)


def test_dat_wraps(read):
    words = b"".join(struct.pack("<II", t, 0) for t in (2**32 - 5, 2**32 - 5, 3, 2, 1 << 31, 0))
    path_data = b"% Version 2\n" + SIZE + bytes([0, 8]) + words
    with pytest.raises(DataError, match=f"byte {len(path_data) - 24}: time decreases, from {2**32 + 3} to"):
        read(path_data)
    recording = read(path_data, sort=True)
    assert recording.t.tolist() == [2**32 - 5] * 2 + [2**32, 2**32 + 2, 2**32 + 3, 2**32 + 2**31]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"% Version 1\n" + bytes([0, 8]), "DAT of version '1'"),
        (b"% Version 2\n" + bytes([14, 8]), "byte 12: events of type 14 and 8 bytes"),
        (b"% Version 2\n" + bytes([12, 16]), "type 12 and 16 bytes"),
        (b"% Version 2\n" + bytes([12]), "byte 12: events of type 12 and 0 bytes"),
        (b"% Version 2\n% Width 99999\n" + bytes([12, 8]), "a width of '99999'; expected 1 to 65536"),
        (b"% Version 2\n% Height zero\n" + bytes([12, 8]), "a height of 'zero'"),
    ],
)
def test_dat_headers_that_cannot_be_read(read, header, message):
    with pytest.raises(DataError, match=message):
        read(header + bytes(8))


EVT2 = b"% camera_integrator_name Prophesee\n% evt 2.0\n% geometry 640x480\n% end\n"


def evt2(kind, x=0, y=0, low=0):
    return kind << 28 | low << 22 | x << 11 | y


def test_evt2_and_its_loop(read):
    words = [
        evt2(1, 5, 5),  # no time yet
        8 << 28 | 2**28 - 1,
        evt2(1, 639, 479, 63),
        0xA << 28 | 99,  # a trigger
        evt2(0, 1, 2, 63),
        8 << 28,  # the counter has looped
        evt2(0, 3, 4, 1),
    ]
    recording = read(EVT2 + struct.pack("<7I", *words))
    assert rows(recording) == [(639, 479, 2**34 - 1, 1), (1, 2, 2**34 - 1, 0), (3, 4, 2**34 + 1, 0)]
    assert (recording.width, recording.height) == (640, 480)


@pytest.mark.parametrize("endianness", ["little", "legacy"])
def test_evt21_in_both_orders_of_halves(read, endianness):
    header = f"% format EVT21;height=720;width=1280;endianness={endianness}\n% end\n".encode()
    words = [
        (evt2(1, 32, 1), 1),  # no time yet
        (8 << 28 | 3, 0),
        (evt2(1, 64, 700, 2), 1 | 1 << 5 | 1 << 31),
        (evt2(0, 96, 701, 2), 0),
        (0xE << 28, 7),
        (evt2(0, 1248, 702, 3), 1 << 31),
    ]
    halves = [word if endianness == "legacy" else word[::-1] for word in words]
    recording = read(header + b"".join(struct.pack("<II", *pair) for pair in halves))
    t = 3 << 6 | 2
    assert rows(recording) == [(64, 700, t, 1), (69, 700, t, 1), (95, 700, t, 1), (1279, 702, t + 1, 0)]
    assert (recording.width, recording.height) == (1280, 720)


EVT3 = b"% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n"


def evt3(*words):
    return b"".join(struct.pack("<H", kind << 12 | value) for kind, value in words)


def test_evt3_every_word(read):
    on = 1 << 11
    recording = read(
        EVT3
        + evt3(
            (2, 9),  # no time yet
            (8, 4095),
            (6, 17),
            (0, 700 | on),  # y; the bit above is the camera's
            (2, 1279 | on),
            (2, 0),
            (3, 100 | on),
            (4, 0b100000000001),
            (4, 0),
            (5, 0b10000010),
            (7, 5),
            (15, 5),
            (10, 5),
            (14, 5),
            (8, 4095),  # repeated: changes nothing
            (5, 1),
            (6, 18),
            (3, 50),
            (5, 1),
            (8, 0),  # the counter has looped, and low begins at 0
            (2, 1),
        )
    )
    t, loop = 4095 << 12 | 17, 1 << 24
    assert rows(recording) == [
        (1279, 700, t, 1),
        (0, 700, t, 0),
        (100, 700, t, 1),
        (111, 700, t, 1),
        (125, 700, t, 1),
        (131, 700, t, 1),
        (132, 700, t, 1),
        (50, 700, t + 1, 0),
        (1, 700, loop, 0),
    ]
    assert (recording.width, recording.height) == (1280, 720)


def test_evt3_written_words(tmp_path):
    recording = Recording([3, 4, 4], [7, 7, 8], [5, 5, 4096 * 2], [1, 0, 0], width=1280, height=720)
    write_recording(recording, tmp_path / "a.raw")
    words = [(8, 0), (6, 5), (0, 7), (2, 3 | 1 << 11), (2, 4), (8, 1), (8, 2), (6, 0), (0, 8), (2, 4)]
    assert (tmp_path / "a.raw").read_bytes().partition(b"% end\n")[2] == evt3(*words)


def test_raw_outside_the_sensor_names_the_word(read):
    data = EVT3 + evt3((8, 1), (0, 5), (2, 7), (3, 1270), (4, 0xFFF))
    with pytest.raises(DataError, match=f"byte {len(EVT3) + 8}: .*x = 1280, width is 1280"):
        read(data)
    assert rows(read(data, salvage=True))[-1] == (1279, 5, 4096, 0)


def test_raw_that_states_no_encoding(read, tmp_path):
    path = tmp_path / "old.raw"
    path.write_bytes(b"% Date 2014-01-01\n" + struct.pack("<2I", 8 << 28, evt2(1, 2, 3)))
    with pytest.raises(DataError, match="which of evt2, evt21, evt3 it is; name the format"):
        read_recording(path)
    assert rows(read_recording(path, format="evt2")) == [(2, 3, 0, 1)]
    (tmp_path / "evt2.raw").write_bytes(EVT2)
    with pytest.raises(DataError, match=r"expected EVT 3\.0, but its header says EVT 2\.0"):
        read_recording(tmp_path / "evt2.raw", format="evt3")


# HDF5


@pytest.fixture
def hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    return lambda: h5py.File(tmp_path / "file", "w")


EVENTS = {"x": [3, 1], "y": [0, 2], "t": [7, 8], "p": [1, 0]}
ROWS = [(3, 0, 7, 1), (1, 2, 8, 0)]


def test_hdf5_group_of_arrays_with_an_offset_as_dsec_has_it(hdf5, tmp_path):
    with hdf5() as file:
        for name, values in EVENTS.items():
            file[f"events/{name}"] = np.array(values, np.uint32)
        file["ms_to_idx"] = np.zeros(2, np.uint64)
        file["t_offset"] = 50_000_000_000
    recording = read_recording(tmp_path / "file")
    assert rows(recording) == [(x, y, t + 50_000_000_000, p) for x, y, t, p in ROWS]
    assert (recording.width, recording.height) == (4, 3)


def test_hdf5_seconds_signed_polarity_and_other_names(hdf5, tmp_path):
    with hdf5() as file:
        file["events/xs"], file["events/ys"] = EVENTS["x"], EVENTS["y"]
        file["events/ts"], file["events/ps"] = [7e-6, 8e-6], np.array([1, -1], np.int8)
        file.attrs["width"], file.attrs["height"] = 346, 260
    recording = read_recording(tmp_path / "file")
    assert rows(recording) == ROWS
    assert (recording.width, recording.height) == (346, 260)


def test_hdf5_records_as_prophesee_has_them(hdf5, tmp_path):
    kinds = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
    with hdf5() as file:
        file["CD/events"] = np.array([(3, 0, 1, 7), (1, 2, 0, 8)], dtype=kinds)
        file.attrs["geometry"] = "1280x720"
    recording = read_recording(tmp_path / "file")
    assert rows(recording) == ROWS
    assert (recording.width, recording.height) == (1280, 720)


def test_hdf5_that_claims_what_it_does_not_store(hdf5, tmp_path):
    with hdf5() as file:
        for name in "xytp":
            file.create_dataset(f"events/{name}", shape=(10**12,), dtype="u2", chunks=(1000,))
    with pytest.raises(DataError, match="claims 1000000000000 events, but the file stores none"):
        read_recording(tmp_path / "file")


def test_hdf5_of_something_else(hdf5, tmp_path):
    with hdf5() as file:
        file["images"] = np.zeros(3)
    with pytest.raises(DataError, match=r"no array events/x; expected .* found \['images'\]"):
        read_recording(tmp_path / "file")


def test_hdf5_without_its_package(hdf5, tmp_path, monkeypatch):
    hdf5().close()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="pip install h5py"):
        read_recording(tmp_path / "file")
    with pytest.raises(DataError, match="pip install h5py"):
        write_recording(Recording([1], [1], [1], [1], width=2, height=2), tmp_path / "b.h5")


# AEDAT 4


def aedat(packets, streams):
    """A package as `aedat` is, that finds these packets in any file."""

    class Decoder:
        def __init__(self, path):
            self.packets = iter(packets)

        def id_to_stream(self):
            return streams

        def __iter__(self):
            return self

        def __next__(self):
            found = next(self.packets)
            if isinstance(found, BaseException):
                raise found
            return found

    return types.SimpleNamespace(Decoder=Decoder)


def test_aedat4(read, monkeypatch):
    kinds = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]
    events = np.array([(7, 3, 0, True), (8, 1, 2, False)], dtype=kinds)
    packets = [{"stream_id": 1, "frame": 0}, {"stream_id": 0, "events": events}]
    streams = {0: {"type": "events", "width": 346, "height": 260}, 1: {"type": "frame"}}
    monkeypatch.setitem(sys.modules, "aedat", aedat(packets, streams))
    recording = read(b"#!AER-DAT4.0\r\n")
    assert rows(recording) == ROWS and (recording.width, recording.height) == (346, 260)
    monkeypatch.setitem(sys.modules, "aedat", aedat([*packets, BaseException("panic")], streams))
    with pytest.raises(DataError, match="packet 2: the package aedat cannot read it: panic"):
        read(b"#!AER-DAT4.0\r\n")
    assert rows(read(b"#!AER-DAT4.0\r\n", salvage=True)) == ROWS
    monkeypatch.setitem(sys.modules, "aedat", aedat([], {1: {"type": "frame"}}))
    with pytest.raises(DataError, match="no stream of events"):
        read(b"#!AER-DAT4.0\r\n")


def test_aedat4_without_its_package(read, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match="pip install aedat"):
        read(b"#!AER-DAT4.0\r\n")
    with pytest.raises(DataError, match="can be read but not written"):
        write_recording(Recording([1], [1], [1], [1], width=2, height=2), tmp_path / "b.aedat4")


def test_what_formats_cannot_hold_is_refused(tmp_path):
    odd = Recording([1], [1], [1], [1], width=33, height=34)
    with pytest.raises(DataError, match="none has 33 x 34 pixels"):
        write_recording(odd, tmp_path / "a", format="aedat2")
    late = Recording([1], [1], [1 << 40], [1], width=128, height=128)
    for name in ("aedat2", "dat", "evt2", "evt21", "evt3"):
        with pytest.raises(DataError, match="hold times of 0 to"):
            write_recording(late, tmp_path / "a", format=name)
    slow = Recording([1], [1], [1], [1], width=128, height=128, time_unit=1e-3)
    wide = Recording([1], [1], [1], [1], width=40_000, height=128)
    for name in ("aedat3", "dat", "evt2", "evt21", "evt3"):
        with pytest.raises(DataError, match="count microseconds"):
            write_recording(slow, tmp_path / "a", format=name)
        with pytest.raises(DataError, match="sensors of up to"):
            write_recording(wide, tmp_path / "a", format=name)
    assert not (tmp_path / "a").exists()
    with pytest.raises(DataError, match="'evt4'; did you mean"):
        write_recording(odd, tmp_path / "a", format="evt4")
    with pytest.raises(DataError, match="suffix is of no known format"):
        write_recording(odd, tmp_path / "a.xyz")


def test_older_aedat_is_not_mistaken(tmp_path):
    (tmp_path / "a.aedat").write_bytes(b"#!AER-DAT1.0\r\n" + bytes(6))
    with pytest.raises(DataError, match="which of aedat2, aedat3 it is"):
        find_format(tmp_path / "a.aedat")
