"""AEDAT 3.1, the files of cAER: packets of events, little-endian.

The header is lines that begin with `#`, from `#!AER-DAT3.1` to `#!END-HEADER`. A packet has a header of 28 bytes,

    type 16 bits, source 16, event size 32, time offset 32, time overflow 32, capacity 32, number 32, valid 32

and `number` events. Those of type 1 are polarity events of 8 bytes: bit 0 valid, bit 1 polarity, y bits 2-16, x
bits 17-31; then 31 bits of time in us, to which the packet's overflow adds 2^31 each. Pixel (0, 0) is the upper
left one. Packets of other types and events that are not valid are skipped. The sensor's size follows from the
`#Source` line, where it names a known camera.

Source: iniVation, "AEDAT 3.1", docs.inivation.com.
"""

import re
import struct
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rheobase.events.codecs import AEDAT3, Decoder
from rheobase.events.format import Format
from rheobase.events.header import header_lines, require, side
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import BLOCK_BYTES, Block, Damage, Stream

VERSION = b"#!AER-DAT3.1"
END = "!END-HEADER"
PACKET = struct.Struct("<hhiiiiii")
POLARITY, EVENT_BYTES, TIME_OFFSET = 1, 8, 4
PACKET_EVENTS = 8192
SENSORS = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
    "DVXPLORER": (640, 480),
}


def _size(lines: list[str]) -> tuple[int | None, int | None]:
    """Width and height by the line `Sensor: 34x34`, which our writer adds, or the camera of the first source."""
    for line in lines:
        if found := re.fullmatch("Sensor: ([0-9]+)x([0-9]+)", line):
            return side(found[1], "width"), side(found[2], "height")
    for line in lines:
        if re.match("Source [0-9]+: ", line):
            name = line.partition(": ")[2].upper()
            return next((size for key, size in SENSORS.items() if name.startswith(key)), (None, None))
    return None, None


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    if not source.read(0, len(VERSION)).startswith(VERSION):
        raise Damage("byte 0", f"expected {VERSION.decode()}, the first line of an AEDAT 3.1 file")
    lines, start = header_lines(source, b"#", END)
    if not lines or lines[-1] != END:
        raise Damage(f"byte {start}", f"the header ends without #{END}")
    wide, high = _size(lines)
    return Stream(
        _blocks(source, start),
        wide if width is None else width,
        high if height is None else height,
        most=source.size // AEDAT3.record,
    )


def _blocks(source: Source, start: int) -> Iterator[Block]:
    decoder = Decoder(AEDAT3, [0], source.room)
    while start < source.size:
        header = source.read(start, PACKET.size)
        if len(header) < PACKET.size:
            what = f"the file ends inside a packet's header: {len(header)} of its 28 bytes are there"
            raise Damage(f"byte {start}", f"{what}, so it is cut short")
        kind, _, size, offset, overflow, _, number, _ = PACKET.unpack(header)
        body, stop = start + PACKET.size, start + PACKET.size + size * number
        if size < 1 or number < 0 or overflow < 0:
            what = f"a packet of {number} events of {size} bytes, overflow {overflow}, is impossible"
            raise Damage(f"byte {start}", what)
        if kind == POLARITY and (size != EVENT_BYTES or offset != TIME_OFFSET):
            what = (
                f"polarity events of {size} bytes with time at byte {offset}; expected 8 bytes with time at 4"
            )
            raise Damage(f"byte {start}", what)
        if kind == POLARITY:
            decoder.state[0] = overflow << 31
            whole = min(stop, body + (source.size - body) // EVENT_BYTES * EVENT_BYTES)
            for at in range(body, whole, BLOCK_BYTES):
                yield decoder.block(source.read(at, min(BLOCK_BYTES, whole - at)), at)
        if stop > source.size:
            what = (
                f"a packet of {number} events of {size} bytes goes {stop - source.size} bytes beyond the end"
            )
            raise Damage(f"byte {start}", f"{what} of the file, so it is cut short")
        start = stop


def _dump(recording: Recording) -> bytes:
    require(recording, "AEDAT 3.1", side_limit=1 << 15, time_limit=1 << 62)
    x, y, t, p = (getattr(recording, name).astype(np.int64) for name in "xytp")
    events = np.stack([1 | p << 1 | y << 2 | x << 17, t & 0x7FFFFFFF], axis=1).astype("<u4")
    lines = [VERSION.decode(), "#Format: RAW", "#Source 1: Unknown"]
    lines += [f"#Sensor: {recording.width}x{recording.height}", f"#{END}"]
    parts = ["".join(f"{line}\r\n" for line in lines).encode()]
    overflows = t >> 31
    (turns,) = np.nonzero(np.diff(overflows))
    edges = [0, *(turns + 1).tolist(), len(t)]
    for first, last in pairwise(edges):
        for start in range(first, last, PACKET_EVENTS):
            stop = min(last, start + PACKET_EVENTS)
            n, overflow = stop - start, int(overflows[start])
            parts.append(PACKET.pack(POLARITY, 1, EVENT_BYTES, TIME_OFFSET, overflow, n, n, n))
            parts.append(events[start:stop].tobytes())
    return b"".join(parts)


AEDAT3_FORMAT = Format(
    "aedat3",
    "AEDAT 3.1",
    (".aedat", ".aedat3", ".aedat31"),
    _open,
    lambda head: head.startswith(b"#!AER-DAT3."),
    _dump,
)
