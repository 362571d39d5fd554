"""Recordings as they arrive: a pipe or a file as a flow of parts, and windows of time over it."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from rheobase.errors import DataError, unknown
from rheobase.events.checking import checked
from rheobase.events.format import Format
from rheobase.events.read import FORMATS, HEAD_BYTES, find_format
from rheobase.events.recording import Recording
from rheobase.events.room import ARRAYS
from rheobase.events.source import Source, opened

PIPED = ("aedat2", "csv", "dat", "evt2", "evt21", "evt3")
"""Formats that are read from front to back."""
HEAD_ROOM, ROOM = 4096, 64
"""Bytes waited for at the start, which must hold the header, and after."""
FETCH = 1 << 16
FEW_ROWS = 16


class Pipe:
    """A stream of bytes read from front to back, of which a short piece can be read again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._bytes = bytearray()
        self._first = self._at = 0  # where in the stream the kept bytes begin, and where is read next

    def seek(self, offset: int) -> int:
        """Read on from this byte."""
        self._at = offset
        del self._bytes[: offset - self._first]
        self._first = max(self._first, offset)
        return offset

    def read(self, count: int) -> bytes:
        """The bytes that are there, `count` at most; waits for a few."""
        if self._at < self._first:
            raise DataError("a pipe cannot be read backwards")
        wanted = min(count, HEAD_ROOM if self._at == 0 else ROOM)
        while len(self._bytes) < wanted and self._fetch():
            pass
        data = bytes(self._bytes[:count])
        self._at += len(data)
        return data

    def readline(self, limit: int) -> bytes:
        """The bytes up to the end of the line, `limit` at most."""
        start = self._at - self._first
        while (stop := self._bytes.find(b"\n", start, start + limit)) < 0:
            if len(self._bytes) - start >= limit or not self._fetch():
                break
        stop = min(stop + 1 if stop >= 0 else len(self._bytes), start + limit)
        line = bytes(self._bytes[start:stop])
        self._at += len(line)
        if stop > FETCH:
            self.seek(self._at)
        return line

    def _fetch(self) -> bool:
        new = cast(Any, self._stream).read1(FETCH)
        self._bytes += new
        return bool(new)


@dataclass(frozen=True)
class Flow:
    """Recordings that follow one another, of one sensor."""

    format: str
    width: int
    height: int
    time_unit: float
    parts: Iterator[Recording]


@contextlib.contextmanager
def flow(
    path: Path | str | BinaryIO,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    salvage: bool = False,
) -> Iterator[Flow]:
    """The events of a file, or of an open pipe (`-` is standard input), in parts as they are decoded.

    A pipe's parts come as soon as their bytes do. Its sensor size must be given or in its header; a file of neither
    is read twice.

    Raises:
        DataError: the format is not known or cannot come through a pipe, the sensor size of a pipe is not known, or
            the bytes are damaged, when the place is reached.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(path, (str, Path)) and str(path) != "-":
            made = find_format(path, format)
            if width is None or height is None:
                width, height = made.size(path, width, height, salvage)
            source = stack.enter_context(opened(path))
        else:
            pipe = Pipe(sys.stdin.buffer if isinstance(path, (str, Path)) else path)
            source = Source("the pipe", cast(BinaryIO, pipe), sys.maxsize, rows=FEW_ROWS)
            made = _piped(source, format)
        stream = made.start(source, width, height)
        wide = stream.width if width is None else width
        high = stream.height if height is None else height
        if wide is None or high is None:
            raise DataError(f"{source.name}: {made.name} states no sensor size; give width and height")

        def parts() -> Iterator[Recording]:
            with made.reporting(source, salvage):
                for block in checked(stream.blocks, wide, high):
                    arrays = {name: getattr(block, name).astype(kind) for name, kind in ARRAYS.items()}
                    yield Recording.of_checked(arrays, width=wide, height=high, time_unit=stream.time_unit)

        yield Flow(made.name, wide, high, stream.time_unit, parts())


def _piped(source: Source, format: str | None) -> Format:
    head = source.read(0, HEAD_BYTES)
    if not head:
        raise DataError(f"{source.name}: no bytes came")
    if format is not None and format not in FORMATS:
        raise DataError(unknown("format", format, FORMATS))
    names = [format] if format else [name for name, made in FORMATS.items() if made.sniff(head)]
    if not names or names[0] not in PIPED:
        what = f"{names[0]} cannot be read from front to back" if names else "its first bytes tell no format"
        raise DataError(
            f"{source.name}: {what}; a pipe takes {', '.join(PIPED)} (name it if it has no header)"
        )
    return FORMATS[names[0]]


def windows(
    parts: Iterable[Recording], length: int, hop: int | None = None
) -> Iterator[tuple[int, Recording]]:
    """Windows of `length` ticks, one every `hop` (default: one after another), and the tick that each begins at.

    Window k holds the events of `[t0 + k hop, t0 + k hop + length)`, t0 the time of the first event, with their times
    as they were. It is given when the first event after it has come, or the flow ends; windows without events are
    left out.

    Raises:
        DataError: a length or hop below 1.
    """
    hop = length if hop is None else hop
    if length < 1 or hop < 1:
        raise DataError(f"windows of {length} ticks every {hop}; both must be 1 or more")
    start: int | None = None
    held: Recording | None = None
    for part in parts:
        if not len(part):
            continue
        held = part if held is None else _joined(held, part)
        start = int(held.t[0]) if start is None else start
        while held.t[-1] >= start + length:
            yield from _window(held, start, length)
            start = _next(held, start, hop, length)
            held = held.select(held.t >= start)
            if not len(held):
                break
    while held is not None and start is not None and len(held):
        yield from _window(held, start, length)
        start = _next(held, start, hop, length)
        held = held.select(held.t >= start)


def _window(held: Recording, start: int, length: int) -> Iterator[tuple[int, Recording]]:
    inside = held.select((held.t >= start) & (held.t < start + length))
    if len(inside):
        yield start, inside


def _next(held: Recording, start: int, hop: int, length: int) -> int:
    """Where the next window begins; those that end before the next event are passed over."""
    start += hop
    later = held.t[held.t >= start]
    missing = int(later[0]) - (start + length) if len(later) else -1
    return start + (missing // hop + 1) * hop if missing >= 0 else start


def _joined(one: Recording, other: Recording) -> Recording:
    x, y, t, p = (np.concatenate([getattr(one, name), getattr(other, name)]) for name in "xytp")
    return replace(one, x=x, y=y, t=t, p=p)
