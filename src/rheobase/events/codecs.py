"""Records of event-camera files to arrays: in C (`decode.c`), or NumPy where there is no compiler.

A codec is one layout of records. Its NumPy function is what the layout means, and what says where an event lies;
the C function of the same name computes the same, faster. Both carry their state over blocks in the same array.
`RHEOBASE_READING=numpy` chooses NumPy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rheobase.events.decode_native import native
from rheobase.events.room import Room
from rheobase.events.source import Source
from rheobase.events.stream import BLOCK_BYTES, Block, Damage

Ints = NDArray[np.int64]


class Decoded(NamedTuple):
    """Events, and the record that each came from."""

    x: NDArray[Any]
    y: NDArray[Any]
    t: Ints
    p: NDArray[Any]
    at: Ints


@dataclass(frozen=True)
class Codec:
    """A layout of records of `record` bytes that hold up to `most` events each."""

    name: str
    record: int
    most: int
    plain: Callable[[bytes, Ints], Decoded]


class Decoder:
    """Decodes block after block; `state` is carried from one to the next."""

    def __init__(self, codec: Codec, state: list[int], room: Room):
        self.codec, self.state, self.room = codec, np.array(state, dtype=np.int64), room
        library = native()
        self._decode = None if library is None else getattr(library, f"decode_{codec.name}")
        self._state = self.state.ctypes.data

    def block(self, data: bytes, start: int) -> Block:
        """The events of whole records, the first of which lies at byte `start`; valid until the next block."""
        before = self.state.copy()

        def place(i: int) -> str:
            return f"byte {start + self.codec.record * int(self.codec.plain(data, before.copy()).at[i])}"

        if self._decode is None:
            x, y, t, p, _ = self.codec.plain(data, self.state)
            return Block(x, y, t, p, place)
        records = len(data) // self.codec.record
        outputs = self.room.free(records * self.codec.most + 1)
        return self.room.decoded(self._decode(data, records, self._state, *outputs), place)


def records(source: Source, start: int, decoder: Decoder) -> Iterator[Block]:
    """The events of a file that from byte `start` on is records and nothing else.

    Raises:
        Damage: the file ends inside a record.
    """
    size = decoder.codec.record
    offset = start
    while data := source.read(offset, BLOCK_BYTES):
        whole = len(data) // size * size
        if not whole:
            what = f"{len(data)} of its {size} bytes are there, so it is cut short"
            raise Damage(f"byte {offset}", f"the file ends inside a record: {what}")
        yield decoder.block(data[:whole] if whole < len(data) else data, offset)
        offset += whole


# What C computes, in NumPy.


def unwrap32(raw: NDArray[Any], state: Ints) -> Ints:
    """Ticks of a 32-bit counter: where it falls by more than half its range, it has wrapped.

    state[0] is the last raw value, state[1] what the wraps so far add.
    """
    t = raw.astype(np.int64)
    if not len(t):
        return t
    steps = np.diff(t, prepend=state[0])
    wraps = np.cumsum(steps < -(1 << 31))
    state[0] = t[-1]
    t += state[1] + (wraps << 32)
    state[1] += int(wraps[-1]) << 32
    return t


def highs(values: NDArray[Any], bits: int, state: Ints) -> Ints:
    """The high bits of a looping counter: where they fall by more than half their range, it has looped.

    state[0] is the last value (-1: none yet), state[1] the loops so far.
    """
    values = values.astype(np.int64)
    if not len(values):
        return values
    loops = state[1] + np.cumsum(np.diff(values, prepend=state[0]) < -(1 << bits - 1))
    state[0], state[1] = values[-1], loops[-1]
    return (loops << bits) + values


def held(mask: NDArray[np.bool_], values: Ints, before: int) -> Ints:
    """For each record, the latest of the `values` given where `mask` is true; `before` ahead of the first."""
    return np.concatenate([np.array([before], dtype=np.int64), values])[np.cumsum(mask)]


def dat(data: bytes, state: Ints) -> Decoded:
    """Prophesee DAT: 32-bit time; x 14 bits, y 14 bits, polarity 4 bits."""
    raw, word = np.frombuffer(data, "<u4").reshape(-1, 2).T
    return Decoded(
        (word & 0x3FFF).astype(np.uint16),
        (word >> 14 & 0x3FFF).astype(np.uint16),
        unwrap32(raw, state),
        (word >> 28).astype(np.uint8),
        np.arange(len(word)),
    )


def aedat2(data: bytes, state: Ints) -> Decoded:
    """AEDAT 2.0: big-endian address, then time; the state holds the camera's layout of the address."""
    address, raw = np.frombuffer(data, ">u4").reshape(-1, 2).T.astype(np.int64)
    t = unwrap32(raw, state)
    _, _, other, x_shift, x_mask, y_shift, y_mask, p_shift, flip, right, bottom = state.tolist()
    (at,) = np.nonzero(address & other == 0)
    address = address[at]
    return Decoded(
        (right - (address >> x_shift & x_mask)).astype(np.uint16),
        (bottom - (address >> y_shift & y_mask)).astype(np.uint16),
        t[at],
        ((address >> p_shift & 1) ^ flip).astype(np.uint8),
        at,
    )


def aedat3(data: bytes, state: Ints) -> Decoded:
    """AEDAT 3.1 polarity events: valid 1 bit, polarity 1, y 15, x 15; 31-bit time."""
    word, raw = np.frombuffer(data, "<u4").reshape(-1, 2).T
    (at,) = np.nonzero(word & 1)
    word = word[at]
    return Decoded(
        (word >> 17).astype(np.uint16),
        (word >> 2 & 0x7FFF).astype(np.uint16),
        state[0] + (raw[at] & 0x7FFFFFFF).astype(np.int64),
        (word >> 1 & 1).astype(np.uint8),
        at,
    )


def _bases(word: NDArray[Any], kind: NDArray[Any], state: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Of EVT 2.0 and 2.1: the time base at each record, and whether there is one yet."""
    before = -1 if state[0] < 0 else (int(state[1]) << 28) + int(state[0])
    timing = kind == 8
    bases = held(timing, highs(word[timing] & 0xFFFFFFF, 28, state), before)
    return bases << 6, bases >= 0


def evt2(data: bytes, state: Ints) -> Decoded:
    """EVT 2.0: type 4 bits, time low 6, x 11, y 11; or type 8 and the 28 high bits of time."""
    word = np.frombuffer(data, "<u4")
    kind = word >> 28
    base, timed = _bases(word, kind, state)
    (at,) = np.nonzero((kind < 2) & timed)
    word = word[at]
    return Decoded(
        (word >> 11 & 0x7FF).astype(np.uint16),
        (word & 0x7FF).astype(np.uint16),
        base[at] + (word >> 22 & 0x3F),
        kind[at].astype(np.uint8),
        at,
    )


def evt21(data: bytes, state: Ints) -> Decoded:
    """EVT 2.1: as EVT 2.0, and 32 bits that say which of 32 pixels from x on have an event."""
    halves = np.frombuffer(data, "<u4").reshape(-1, 2)
    legacy = bool(state[2])
    word, valid = halves[:, 0 if legacy else 1], halves[:, 1 if legacy else 0]
    kind = word >> 28
    base, timed = _bases(word, kind, state)
    bits = np.unpackbits(np.ascontiguousarray(valid).view(np.uint8), bitorder="little").reshape(-1, 32)
    at, pixel = np.nonzero(bits * ((kind < 2) & timed)[:, None])
    word = word[at]
    return Decoded(
        ((word >> 11 & 0x7FF) + pixel).astype(np.uint16),
        (word & 0x7FF).astype(np.uint16),
        base[at] + (word >> 22 & 0x3F),
        kind[at].astype(np.uint8),
        at,
    )


def evt3(data: bytes, state: Ints) -> Decoded:
    """EVT 3.0: words of type 4 bits that change one field each, and those that hold events.

    0 is y; 2 an event at x with polarity; 3 the x and polarity of vectors; 4 (5) a vector of 12 (8) pixels, after
    which x is 12 (8) further; 6 time low, 8 time high, which begins at time low 0 when it is new.
    """
    word = np.frombuffer(data, "<u2").astype(np.int64)
    kind, value = word >> 12, word & 0xFFF
    row = held(kind == 0, value[kind == 0] & 0x7FF, int(state[3]))
    base, timed = _evt3_time(kind, value, state)
    polarity = held(kind == 3, value[kind == 3] >> 11, int(state[5]))
    width = np.where(kind == 4, 12, np.where(kind == 5, 8, 0))
    moved = np.cumsum(width)
    start = (value & 0x7FF) - moved
    left = (held(kind == 3, start[kind == 3], int(state[4])) + moved - width) & 0xFFFF
    pixels = np.where(width == 8, value & 0xFF, np.where(width == 12, value, kind == 2)) * timed
    at, pixel = np.nonzero(pixels[:, None] >> np.arange(12) & 1)
    single = kind[at] == 2
    if len(word):
        state[3], state[5] = row[-1], polarity[-1]
        state[4] = int(left[-1] + width[-1]) & 0xFFFF
    return Decoded(
        np.where(single, value[at] & 0x7FF, left[at] + pixel).astype(np.uint16),
        row[at].astype(np.uint16),
        base[at],
        np.where(single, value[at] >> 11, polarity[at]).astype(np.uint8),
        at,
    )


def _evt3_time(kind: Ints, value: Ints, state: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The time at each word, and whether there has been a time high; updates state[0] to [2]."""
    timed_before, low_before = state[0] >= 0, int(state[2])
    base_before = ((int(state[1]) << 12) + int(state[0])) << 12 if timed_before else 0
    high = kind == 8
    fresh = high.copy()
    fresh[high] = np.diff(value[high], prepend=state[0]) != 0
    bases = held(fresh, highs(value[fresh], 12, state) << 12, base_before)
    sets_low = fresh | (kind == 6)
    lows = held(sets_low, np.where(fresh, 0, value)[sets_low], low_before)
    if len(kind):
        state[2] = lows[-1]
    return bases + lows, timed_before | (np.cumsum(fresh) > 0)


DAT = Codec("dat", 8, 1, dat)
AEDAT2 = Codec("aedat2", 8, 1, aedat2)
AEDAT3 = Codec("aedat3", 8, 1, aedat3)
EVT2 = Codec("evt2", 4, 1, evt2)
EVT21 = Codec("evt21", 8, 32, evt21)
EVT3 = Codec("evt3", 2, 12, evt3)
