"""The C decoders and the NumPy ones compute the same, on any words and wherever blocks begin."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rheobase.errors import RheobaseError
from rheobase.events import checking, codecs, decode_native, stream
from rheobase.events.aedat2 import CAMERAS
from rheobase.events.codecs import Decoder
from rheobase.events.room import ARRAYS, Room

CASES = [
    (codecs.DAT, [0, 0]),
    *((codecs.AEDAT2, camera.state()) for camera in CAMERAS[:2]),
    (codecs.AEDAT3, [5 << 31]),
    (codecs.EVT2, [-1, 0]),
    (codecs.EVT21, [-1, 0, 0]),
    (codecs.EVT21, [-1, 0, 1]),
    (codecs.EVT3, [-1, 0, 0, 0, 0, 0]),
]
IDS = [f"{codec.name}-{i}" for i, (codec, _) in enumerate(CASES)]
KINDS = (0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8, 10, 14, 15)


@pytest.fixture(autouse=True)
def compiled():
    if decode_native.library() is None:
        pytest.skip("no C compiler")


@st.composite
def words(draw, record):
    """Records, of which the types that carry time and events are frequent, in few and in extreme values."""
    count = draw(st.integers(0, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if record == 2:
        values = rng.integers(0, draw(st.sampled_from([3, 4096])), count)
        return (rng.choice(KINDS, count) << 12 | values).astype("<u2").tobytes()
    values = rng.integers(0, draw(st.sampled_from([4, 2**32])), count * record // 4, dtype=np.uint32)
    kinds = rng.choice([0, 1, 8, 8, 10, 15], len(values)).astype(np.uint32)
    typed = values & 0xFFFFFFF | kinds << np.uint32(28)
    return np.where(rng.random(len(values)) < 0.7, typed, values).astype("<u4").tobytes()


@pytest.mark.parametrize(("codec", "state"), CASES, ids=IDS)
def test_c_and_numpy_agree_block_by_block(codec, state):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words(codec.record), st.lists(st.integers(0, 300), max_size=3))
    def agree(data, cuts):
        native, plain = Decoder(codec, state, Room()), np.array(state, dtype=np.int64)
        edges = sorted({0, len(data), *(min(cut * codec.record, len(data)) for cut in cuts)})
        for first, last in pairwise(edges):
            block = native.block(data[first:last], first)
            expected = codec.plain(data[first:last], plain)
            for name in "xytp":
                np.testing.assert_array_equal(getattr(block, name), getattr(expected, name), name)
            np.testing.assert_array_equal(native.state, plain)
            if len(block):
                assert block.place(len(block) - 1) == f"byte {first + codec.record * expected.at[-1]}"

    agree()


@pytest.mark.parametrize(("codec", "state"), CASES, ids=IDS)
def test_long_blocks_with_few_skipped_records(codec, state):
    """Beyond the batches that C works in; every record but a few is an event, so both paths of a batch run."""
    rng = np.random.default_rng(3)
    n = 3001
    time = np.sort(rng.integers(0, 2**31, n)).astype(np.uint32)
    if codec is codecs.AEDAT2:
        pairs = np.stack([rng.integers(0, 128 * 256, n), time], axis=1)
        pairs[[700, 2999], 0] |= 1 << 31
        data = pairs.astype(">u4").tobytes()
    elif codec.record == 8:
        pairs = np.stack([rng.integers(0, 2**28, n) | 1, time], axis=1)
        pairs[[700, 2999], 0] &= ~1
        data = pairs.astype("<u4").tobytes()
    else:
        data = rng.integers(0, 2 ** (8 * codec.record), n).astype(f"<u{codec.record}").tobytes()
    block, plain = Decoder(codec, state, Room()).block(data, 0), np.array(state, dtype=np.int64)
    expected = codec.plain(data, plain)
    assert len(block) == len(expected.t)
    for name in "xytp":
        np.testing.assert_array_equal(getattr(block, name), getattr(expected, name), name)


def test_time_high_may_come_first_or_late():
    data = struct.pack("<4I", 1 << 28 | 7, 8 << 28 | 1, 1 << 28 | 7, 8 << 28 | 1)
    block = Decoder(codecs.EVT2, [-1, 0], Room()).block(data, 100)
    assert block.t.tolist() == [64] and block.place(0) == "byte 108"


@pytest.mark.parametrize(
    ("name", "value"), [("x", 9), ("x", 65535), ("y", 9), ("p", 2), ("t", 3), ("t", -(2**62))]
)
@pytest.mark.parametrize("at", [0, 1, 299])
def test_c_finds_what_numpy_finds(name, value, at, monkeypatch):
    arrays = {key: np.full(300, 5 if key == "t" else 1, kind) for key, kind in ARRAYS.items()}
    arrays[name][at] = value
    block = stream.Block(*arrays.values(), stream.places("event", 0))
    faults = []
    for way in ("c", "numpy"):
        monkeypatch.setenv("RHEOBASE_READING", way)
        faults.append(checking._fault(block, 9, 9, 4, True))
    assert faults[0] == faults[1] and faults[0] is not None
    assert faults[0][0] == at


def test_numpy_alone_warns_once_and_an_unknown_way_is_named(monkeypatch):
    monkeypatch.setenv("RHEOBASE_READING", "fortran")
    with pytest.raises(RheobaseError, match="RHEOBASE_READING: unknown way to read 'fortran'"):
        Decoder(codecs.DAT, [0, 0], Room())
    monkeypatch.delenv("RHEOBASE_READING")
    monkeypatch.setattr("rheobase.native.compiler", lambda: None)
    decode_native.library.cache_clear()
    try:
        with pytest.warns(UserWarning, match="falls back to NumPy, several times slower"):
            assert decode_native.library() is None
        assert len(Decoder(codecs.DAT, [0, 0], Room()).block(bytes(16), 0)) == 2
    finally:
        decode_native.library.cache_clear()
