"""AEDAT 2.0, the files of jAER: events of a 32-bit address and a 32-bit time in us, both big-endian.

The header is lines that begin with `#`: first `#!AER-DAT2.0`, among others `# AEChip: ...` with the camera. What
the bits of an address mean depends on it:

    DVS128  bit 0 is 0 for ON, 1 for OFF; x bits 1-7, y bits 8-14; any bit from 15 on: no polarity event
    DAVIS   bit 11 is 1 for ON; x bits 12-21, y bits 22-30; bit 31 (frame, IMU) or bit 10 (external): no such event

The camera counts from the lower right corner; a recording's pixel (0, 0) is the upper left one, so x becomes
width - 1 - x and y height - 1 - y. Time wraps at 2^32.

Sources: iniVation, "AEDAT 2.0", docs.inivation.com; where it differs from jAER (polarity of the DVS128, direction
of x), jAER, which wrote the files.
"""

from dataclasses import dataclass

import numpy as np

from rheobase.errors import DataError
from rheobase.events.codecs import AEDAT2, Decoder, records
from rheobase.events.format import Format
from rheobase.events.header import header_lines, require
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import BLOCK_BYTES, Damage, Stream

VERSION = b"#!AER-DAT2.0"
END = "End Of ASCII Header"
TIME_LIMIT = 1 << 31


@dataclass(frozen=True)
class Camera:
    """Where an address keeps what, and the sensor's size."""

    name: str
    width: int
    height: int
    other: int
    """Bits that no polarity event has."""
    x: tuple[int, int]
    """Shift and mask."""
    y: tuple[int, int]
    polarity: int
    off: int
    """The bit of an OFF event."""

    def state(self) -> list[int]:
        """For the decoder: last time, wraps, then the layout."""
        layout = [self.other, *self.x, *self.y, self.polarity, self.off]
        return [0, 0, *layout, self.width - 1, self.height - 1]


def _davis(name: str, width: int, height: int) -> Camera:
    return Camera(name, width, height, 1 << 31 | 1 << 10, (12, 0x3FF), (22, 0x1FF), 11, 0)


BEYOND_DVS128 = 0x7FFF0000
DVS128 = Camera("DVS128", 128, 128, 0xFFFF8000, (1, 0x7F), (8, 0x7F), 0, 1)
CAMERAS = (
    DVS128,
    _davis("DAVIS240", 240, 180),
    _davis("DAVIS346", 346, 260),
    _davis("DAVIS640", 640, 480),
)


def _camera(source: Source, width: int | None, height: int | None) -> tuple[Camera, int]:
    """The camera that the header names (without a name, of the size given, else the DVS128), and where events begin."""
    lines, start = header_lines(source, b"#", END)
    chip = next((line for line in lines if line.startswith("AEChip:")), "")
    for camera in CAMERAS:
        if camera.name.lower() in chip.lower():
            return camera, start
    known = ", ".join(f"{camera.name} ({camera.width} x {camera.height})" for camera in CAMERAS)
    sizes = {(camera.width, camera.height): camera for camera in CAMERAS}
    if width is not None and height is not None and (width, height) in sizes:
        return sizes[width, height], start
    if chip and "tmpdiff128" not in chip.lower():
        raise Damage(
            "", f"the header names {chip[:60]!r}; known are {known}: give width and height of one alike"
        )
    data = source.read(start, BLOCK_BYTES)
    addresses = np.frombuffer(data, ">u4", len(data) // 8 * 2)[::2]
    if 2 * np.count_nonzero(addresses & BEYOND_DVS128) > len(addresses):
        raise Damage("", f"the header names no camera, and it is no DVS128; give width and height: {known}")
    return DVS128, start


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    if not source.read(0, len(VERSION)).startswith(VERSION):
        raise Damage("byte 0", f"expected {VERSION.decode()}, the first line of an AEDAT 2.0 file")
    camera, start = _camera(source, width, height)
    blocks = records(source, start, Decoder(AEDAT2, camera.state(), source.room))
    return Stream(
        blocks,
        camera.width if width is None else width,
        camera.height if height is None else height,
        most=source.size // AEDAT2.record,
    )


def _dump(recording: Recording) -> bytes:
    require(recording, "AEDAT 2.0", side_limit=1 << 10, time_limit=TIME_LIMIT)
    for camera in CAMERAS:
        if (camera.width, camera.height) == (recording.width, recording.height):
            break
    else:
        raise DataError(
            f"AEDAT 2.0 files are of the sensors {', '.join(camera.name for camera in CAMERAS)}; none has "
            f"{recording.width} x {recording.height} pixels; write AEDAT 3.1 instead"
        )
    x, y, t, p = (getattr(recording, name).astype(np.int64) for name in "xytp")
    address = (camera.width - 1 - x) << camera.x[0] | (camera.height - 1 - y) << camera.y[0]
    address |= (p ^ camera.off) << camera.polarity
    lines = [VERSION.decode(), "# Data format is int32 address, int32 timestamp (8 bytes total), repeated"]
    lines += ["# Timestamps tick is 1 us", f"# AEChip: {camera.name}", f"#{END}"]
    header = "".join(f"{line}\r\n" for line in lines).encode()
    return header + np.stack([address, t], axis=1).astype(">u4").tobytes()


AEDAT2_FORMAT = Format(
    "aedat2", "AEDAT 2.0", (".aedat", ".aedat2"), _open, lambda head: head.startswith(VERSION), _dump
)
