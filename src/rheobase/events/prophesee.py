"""Prophesee's files: RAW (EVT 2.0, 2.1 and 3.0) and DAT.

All begin with lines `% keyword value`. RAW files state their encoding as `% evt 3.0` or `% format
EVT3;height=720;width=1280`, end the header with `% end` (older ones do not), and go on with little-endian words:

    EVT 2.0  32 bits: type 4, time low 6, x 11, y 11; type 0 OFF, 1 ON, 8 the high 28 bits of time
    EVT 2.1  64 bits: the same in the high half, and in the low half which of 32 pixels from x on have an event
    EVT 3.0  16 bits: type 4, value 12; each changes one field of the event or holds events (see `codecs.evt3`)

Other words (triggers, vendor's extensions) are skipped, as are events before the first time. The counter of
time loops after 2^34 us (EVT 3.0: 2^24); loops are counted. In EVT 2.1 files with `endianness=legacy` the high
half comes first. DAT files have, after their lines, a byte for the type of event (0 or 12), one for its size
(8), and events of 32-bit time, x 14 bits, y 14, polarity 4.

Source: Prophesee, "Data Encoding Formats" and "File Formats", docs.prophesee.ai.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rheobase.events.codecs import DAT, EVT2, EVT3, EVT21, Codec, Decoder, records
from rheobase.events.format import Format
from rheobase.events.header import header_lines, require, side
from rheobase.events.recording import Recording
from rheobase.events.source import Source, bytes_source
from rheobase.events.stream import Damage, Stream

MARK, END = b"% ", "end"
DAT_TYPES, DAT_SIZE = (0, 12), 8
EVT_LIMIT = 1 << 34
EVT3_HIGHS = 1 << 26
"""As many words of time high as an EVT 3.0 file is given: 2^38 us, three days."""
ENCODINGS = {
    "evt2": (EVT2, "EVT 2.0", "2.0", "EVT2"),
    "evt21": (EVT21, "EVT 2.1", "2.1", "EVT21"),
    "evt3": (EVT3, "EVT 3.0", "3.0", "EVT3"),
}
STATES = {"evt2": [-1, 0], "evt21": [-1, 0, 0], "evt3": [-1, 0, 0, 0, 0, 0]}


def _facts(source: Source) -> tuple[dict[str, str], int]:
    """The header's keywords (in lower case) and values, and the byte after the header."""
    lines, start = header_lines(source, MARK, END)
    facts: dict[str, str] = {}
    for line in lines:
        keyword, _, value = line.partition(" ")
        facts[keyword.lower()] = value.strip()
    for option in facts.get("format", "").split(";")[1:]:
        name, _, value = option.partition("=")
        facts[name.strip().lower()] = value.strip()
    if "x" in (geometry := facts.get("geometry", "")):
        facts["width"], _, facts["height"] = geometry.partition("x")
    return facts, start


def _size(facts: dict[str, str], width: int | None, height: int | None) -> tuple[int | None, int | None]:
    wide = side(facts["width"], "width") if width is None and "width" in facts else width
    high = side(facts["height"], "height") if height is None and "height" in facts else height
    return wide, high


def _encoding(facts: dict[str, str]) -> str | None:
    """Which EVT encoding a header states, by our name."""
    stated = facts.get("format", "").partition(";")[0].upper().replace(".", "")
    for name, (_, _, version, word) in ENCODINGS.items():
        if stated == word or (not stated and facts.get("evt") == version):
            return name
    return None


def _sniff(head: bytes) -> str | None:
    """Which of Prophesee's formats a file's first bytes are, by our name."""
    if not head.startswith(MARK):
        return None
    try:
        facts, start = _facts(bytes_source(head, "head"))
    except Damage:
        return None
    if name := _encoding(facts):
        return name
    typed = head[start : start + 2]
    named = "data" in facts or "version" in facts
    return "dat" if named or (len(typed) == 2 and typed[0] in DAT_TYPES and typed[1] == DAT_SIZE) else None


def _opener(name: str, codec: Codec, title: str) -> Callable[[Source, int | None, int | None], Stream]:
    def open_raw(source: Source, width: int | None, height: int | None) -> Stream:
        facts, start = _facts(source)
        stated = _encoding(facts)
        if stated is not None and stated != name:
            raise Damage("", f"expected {title}, but its header says {ENCODINGS[stated][1]}")
        state = list(STATES[name])
        if name == "evt21":
            state[2] = int(facts.get("endianness") == "legacy")
        wide, high = _size(facts, width, height)
        most = source.size // codec.record
        return Stream(records(source, start, Decoder(codec, state, source.room)), wide, high, most=most)

    return open_raw


def _open_dat(source: Source, width: int | None, height: int | None) -> Stream:
    facts, start = _facts(source)
    if facts.get("version", "2") != "2":
        raise Damage("", f"DAT of version {facts['version'][:20]!r}; version 2 can be read")
    typed = source.read(start, 2)
    if len(typed) < 2:
        raise Damage(f"byte {start}", "the file ends before the event type and size; it is cut short")
    if typed[0] not in DAT_TYPES or typed[1] != DAT_SIZE:
        raise Damage(
            f"byte {start}",
            f"events of type {typed[0]} and {typed[1]} bytes; expected type 0 or 12 (CD events) and 8 bytes",
        )
    wide, high = _size(facts, width, height)
    blocks = records(source, start + 2, Decoder(DAT, [0, 0], source.room))
    return Stream(blocks, wide, high, most=source.size // DAT.record)


def _header(recording: Recording, name: str) -> bytes:
    _, _, version, word = ENCODINGS[name]
    wide, high = recording.width, recording.height
    endianness = ";endianness=little" if name == "evt21" else ""
    lines = [f"evt {version}", f"format {word};height={high};width={wide}{endianness}"]
    lines += [f"geometry {wide}x{high}", END]
    return "".join(f"% {line}\n" for line in lines).encode()


def _fields(recording: Recording) -> Iterator[NDArray[np.int64]]:
    return (getattr(recording, name).astype(np.int64) for name in "xytp")


def _changed(array: NDArray[np.int64], first: bool = True) -> NDArray[np.bool_]:
    """Whether an entry differs from the one before it."""
    return np.concatenate([np.array([first]), array[1:] != array[:-1]])[: len(array)]


def _interleaved(parts: list[tuple[NDArray[np.bool_], NDArray[np.int64]]], kind: str) -> bytes:
    """For each event in turn, the words of those parts whose mask is true there."""
    masks = np.stack([mask for mask, _ in parts], axis=1)
    return np.stack([words for _, words in parts], axis=1)[masks].astype(kind).tobytes()


def _dump_dat(recording: Recording) -> bytes:
    require(recording, "DAT", side_limit=1 << 14, time_limit=1 << 32)
    x, y, t, p = _fields(recording)
    lines = ["Data file containing CD events", "Version 2", f"Width {recording.width}"]
    lines += [f"Height {recording.height}"]
    header = "".join(f"% {line}\n" for line in lines).encode() + bytes([DAT_TYPES[1], DAT_SIZE])
    return header + np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4").tobytes()


def _dump_evt2(recording: Recording) -> bytes:
    require(recording, "EVT 2.0", side_limit=1 << 11, time_limit=EVT_LIMIT)
    x, y, t, p = _fields(recording)
    timing, event = 8 << 28 | t >> 6, p << 28 | (t & 0x3F) << 22 | x << 11 | y
    parts = [(_changed(t >> 6), timing), (np.ones(len(t), bool), event)]
    return _header(recording, "evt2") + _interleaved(parts, "<u4")


def _dump_evt21(recording: Recording) -> bytes:
    """Events that share time, row, polarity and 32 pixels are one word, as long as x ascends."""
    require(recording, "EVT 2.1", side_limit=1 << 11, time_limit=EVT_LIMIT)
    x, y, t, p = _fields(recording)
    begins = _changed(t) | _changed(y) | _changed(p) | _changed(x >> 5)
    begins[1:] |= x[1:] <= x[:-1]
    (first,) = np.nonzero(begins)
    valid = np.bitwise_or.reduceat(1 << (x & 31), first) if len(x) else x
    x, y, t, p = (array[first] for array in (x, y, t, p))
    timing = (8 << 28 | t >> 6).astype(np.uint64) << np.uint64(32)
    event = (p << 28 | (t & 0x3F) << 22 | (x & ~31) << 11 | y).astype(np.uint64) << np.uint64(32)
    event |= valid.astype(np.uint64)
    masks = np.stack([_changed(t >> 6), np.ones(len(t), bool)], axis=1)
    return _header(recording, "evt21") + np.stack([timing, event], axis=1)[masks].astype("<u8").tobytes()


def _dump_evt3(recording: Recording) -> bytes:
    """Every value of time high from 0 on is written, as the camera does: only so can its loops be counted."""
    require(recording, "EVT 3.0", side_limit=1 << 11, time_limit=EVT3_HIGHS << 12)
    x, y, t, p = _fields(recording)
    steps = np.diff(t >> 12, prepend=-1)  # words of time high before each event
    fresh = steps > 0
    masks = [fresh | _changed(t & 0xFFF), _changed(y), np.ones(len(t), bool)]
    fields = [6 << 12 | t & 0xFFF, y, 2 << 12 | p << 11 | x]
    sizes = steps + np.sum(masks, axis=0, dtype=np.int64)
    ends = np.cumsum(sizes)
    words = np.empty(int(ends[-1]) if len(t) else 0, dtype="<u2")
    at = ends - sizes + steps
    timing = np.ones(len(words), bool)
    for mask, field in zip(masks, fields, strict=True):
        words[at[mask]] = field[mask]
        timing[at[mask]] = False
        at = at + mask
    words[timing] = 8 << 12 | np.arange(int(steps.sum())) & 0xFFF
    return _header(recording, "evt3") + words.tobytes()


DUMPS = {"evt2": _dump_evt2, "evt21": _dump_evt21, "evt3": _dump_evt3}


def _raw(name: str) -> Format:
    codec, title, _, _ = ENCODINGS[name]
    return Format(
        name,
        f"Prophesee RAW, {title}",
        (".raw",),
        _opener(name, codec, title),
        lambda head: _sniff(head) == name,
        DUMPS[name],
    )


EVT3_FORMAT, EVT2_FORMAT, EVT21_FORMAT = (_raw(name) for name in ("evt3", "evt2", "evt21"))
DAT_FORMAT = Format(
    "dat", "Prophesee DAT", (".dat",), _open_dat, lambda head: _sniff(head) == "dat", _dump_dat
)
