"""What all formats of recordings share: an opened file, blocks of decoded events, damage, recordings of blocks.

A format decodes a file to `Block`s, in order and of bounded size, and raises `Damage` where the file is not what
it should be. `Format` makes of them whole recordings (`read`) or recordings of bounded size (`chunks`), so the two
cannot differ, and a damaged file always gives the intact events before the damage.
"""

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.decode_native import native
from rheobase.events.recording import Recording
from rheobase.files import atomic_write

BLOCK_BYTES = 1 << 18
"""Bytes decoded at once: little enough for the processor's cache, also after decoding."""
SIDE_LIMIT = 65536
ARRAYS = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


class Damage(Exception):
    """The file is not what it should be at `place` (`byte 28`, `line 3`; empty: the file as a whole)."""

    def __init__(self, place: str, what: str):
        super().__init__(what)
        self.place, self.what = place, what


@dataclass(frozen=True)
class Block:
    """Events as they were decoded, not yet checked; `place(i)` says where in the file event `i` lies.

    The arrays are good until the next block is decoded, which may reuse their memory.

    Shape: x, y, t, p: [events].
    """

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.t)

    def part(self, start: int, stop: int) -> "Block":
        """The events `start` to `stop`."""
        x, y, t, p = (array[start:stop] for array in (self.x, self.y, self.t, self.p))
        return Block(x, y, t, p, lambda i: self.place(start + i))


def places(unit: str, start: int, step: int = 1) -> Callable[[int], str]:
    """For events that follow each other every `step` units, where event `i` lies."""
    return lambda i: f"{unit} {start + step * i}"


class Buffer:
    """Events gathered from blocks, in a recording's types."""

    def __init__(self, room: int = 1 << 16):
        self.count = 0
        self._arrays = {name: np.empty(max(room, 1), kind) for name, kind in ARRAYS.items()}

    def append(self, block: Block) -> None:
        """Copy the events of a block to the end."""
        stop = self.count + len(block)
        for name, array in self._arrays.items():
            if stop > len(array):
                array.resize(max(stop, len(array) * 3 // 2), refcheck=False)
            array[self.count : stop] = getattr(block, name)
        self.count = stop

    def take(self) -> dict[str, NDArray[Any]]:
        """The events gathered, which the buffer then no longer has."""
        for array in self._arrays.values():
            array.resize(self.count, refcheck=False)
        arrays, self.count = self._arrays, 0
        self._arrays = {name: np.empty(1, kind) for name, kind in ARRAYS.items()}
        return arrays


@dataclass(frozen=True)
class Stream:
    """What the header of an opened file states (None: nothing), and its events."""

    blocks: Iterator[Block]
    width: int | None = None
    height: int | None = None
    label: int | None = None
    time_unit: float = 1e-6
    most: int = 0
    """About as many events as the file can hold, by its size: room to make at once; more is made as needed."""


@dataclass(frozen=True)
class Source:
    """A file opened for reading, of known size; `path` is None where it lies in memory.

    `rows` are the lines of text that are decoded at once: few where they arrive as they happen.
    """

    name: str
    file: BinaryIO
    size: int
    path: Path | None = None
    rows: int = 1 << 15

    def read(self, offset: int, count: int) -> bytes:
        """The bytes from `offset` on: `count` of them, or as many as the file has."""
        self.file.seek(offset)
        return self.file.read(max(0, min(count, self.size - offset)))


def bytes_source(data: bytes, name: str) -> Source:
    """Bytes in memory as a source."""
    return Source(name, io.BytesIO(data), len(data))


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[Source]:
    """The file at `path`.

    Raises:
        DataError: it is absent, not readable, or no regular file (a pipe could be waited for for ever).
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: cannot be read (not a regular file)")
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    with file:
        yield Source(str(path), file, os.fstat(file.fileno()).st_size, path)


@dataclass(frozen=True)
class Format:
    """A format of recordings.

    `open(source, width, height)` reads the header (the sensor size is what the caller gave, None where nothing)
    and returns the events as a stream; `sniff(head)` tells from a file's first bytes whether it is of this
    format; `dump` gives the bytes of a recording (None: the format cannot be written).
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    open: Callable[[Source, int | None, int | None], Stream]
    sniff: Callable[[bytes], bool]
    dump: Callable[[Recording], bytes] | None = None
    advice: str = ""

    def read(
        self,
        path: Path | str,
        *,
        width: int | None = None,
        height: int | None = None,
        label: int | None = None,
        time_unit: float | None = None,
        salvage: bool = False,
        sort: bool = False,
    ) -> Recording:
        """The recording in a file; what is given goes before what the file states.

        A `width` or `height` that neither states is the largest coordinate plus one, which is a guess: the
        border may have been silent. With `salvage`, a damaged file gives the events before the damage. With
        `sort`, events out of order are sorted by time (stably) instead of refused.

        Raises:
            DataError: the file is absent, damaged, or of another format; the message names file and place.
        """
        with opened(path) as source:
            return self.read_source(
                source,
                width=width,
                height=height,
                label=label,
                time_unit=time_unit,
                salvage=salvage,
                sort=sort,
            )

    def read_source(
        self,
        source: Source,
        *,
        width: int | None = None,
        height: int | None = None,
        label: int | None = None,
        time_unit: float | None = None,
        salvage: bool = False,
        sort: bool = False,
    ) -> Recording:
        """The recording in an opened file, as `read`."""
        stream = self.start(source, width, height)
        wide, high = stream.width if width is None else width, stream.height if height is None else height
        buffer = Buffer(stream.most)
        with self.reporting(source, salvage):
            for block in checked(stream.blocks, wide, high, ordered=not sort):
                buffer.append(block)
        arrays = buffer.take()
        if sort and len(arrays["t"]) and (arrays["t"][1:] < arrays["t"][:-1]).any():
            order = np.argsort(arrays["t"], kind="stable")
            arrays = {name: array[order] for name, array in arrays.items()}
        try:
            return Recording(
                **arrays,
                width=int(arrays["x"].max(initial=0)) + 1 if wide is None else wide,
                height=int(arrays["y"].max(initial=0)) + 1 if high is None else high,
                label=stream.label if label is None else label,
                time_unit=stream.time_unit if time_unit is None else time_unit,
            )
        except DataError as error:
            raise DataError(f"{source.name}: {error}") from error

    def start(self, source: Source, width: int | None, height: int | None) -> Stream:
        """Read the header of an opened file.

        Raises:
            DataError: the file is empty, or its header is not that of this format, or damaged.
        """
        with self.reporting(source):
            if not source.size:
                raise Damage("", "the file is empty")
            return self.open(source, width, height)

    def chunks(
        self,
        path: Path | str,
        n_events: int,
        *,
        width: int | None = None,
        height: int | None = None,
        label: int | None = None,
        time_unit: float | None = None,
        salvage: bool = False,
    ) -> Iterator[Recording]:
        """The recording in a file as recordings of `n_events` events (the last one may have fewer), in order.

        Memory is bounded by `n_events`, however large the file. Where neither the caller nor the file states the
        sensor size, the file is read twice. Events damaged or out of order are refused, or with `salvage` end it.

        Raises:
            DataError: as `read`, when the place is reached; or `n_events` is below 1.
        """
        if n_events < 1:
            raise DataError(f"n_events is {n_events}; a chunk has 1 event or more")
        wide, high = width, height
        if wide is None or high is None:
            size = self.size(path, wide, high, salvage)
            wide, high = size[0] if wide is None else wide, size[1] if high is None else high
        return self._chunks(Path(path), n_events, wide, high, label, time_unit, salvage)

    def size(
        self, path: Path | str, width: int | None, height: int | None, salvage: bool = False
    ) -> tuple[int, int]:
        """Width and height that the file states, else its largest coordinates plus one."""
        most_x = most_y = 0
        with opened(path) as source:
            stream = self.start(source, width, height)
            if stream.width is not None and stream.height is not None:
                return stream.width, stream.height
            with self.reporting(source, salvage):
                for block in checked(stream.blocks, stream.width, stream.height):
                    most_x = max(most_x, int(block.x.max(initial=0)))
                    most_y = max(most_y, int(block.y.max(initial=0)))
        return most_x + 1, most_y + 1

    def _chunks(
        self,
        path: Path,
        n_events: int,
        width: int,
        height: int,
        label: int | None,
        time_unit: float | None,
        salvage: bool,
    ) -> Iterator[Recording]:
        with opened(path) as source:
            stream = self.start(source, width, height)
            buffer = Buffer()

            def gathered() -> Recording:
                return Recording(
                    **buffer.take(),
                    width=width,
                    height=height,
                    label=stream.label if label is None else label,
                    time_unit=stream.time_unit if time_unit is None else time_unit,
                )

            with self.reporting(source, salvage):
                for block in checked(stream.blocks, width, height):
                    start = 0
                    while buffer.count + len(block) - start >= n_events:
                        stop = start + n_events - buffer.count
                        buffer.append(block.part(start, stop))
                        yield gathered()
                        start = stop
                    buffer.append(block.part(start, len(block)))
            if buffer.count:
                yield gathered()

    def write(self, recording: Recording, path: Path | str) -> None:
        """Write a recording, atomically.

        Raises:
            DataError: the format cannot be written, or cannot hold this recording.
        """
        if self.dump is None:
            raise DataError(f"{path}: {self.title} can be read but not written; choose another format")
        atomic_write(Path(path), self.dump(recording))

    @contextlib.contextmanager
    def reporting(self, source: Source, salvage: bool | None = None) -> Iterator[None]:
        """Make damage a `DataError`, or with `salvage` the end of the events; None: there are no events yet."""
        try:
            yield
        except Damage as damage:
            if salvage and damage.place:
                return
            place = f": {damage.place}" if damage.place else ""
            advice = f". {self.advice}" if self.advice else ""
            saved = (
                "; salvage=True (--salvage) keeps the events before it"
                if damage.place and salvage is False
                else ""
            )
            raise DataError(f"{source.name}{place}: {damage.what}{saved}{advice}") from damage
        except OSError as error:
            raise DataError(f"{source.name}: cannot be read ({error.strerror or error})") from error


def checked(
    blocks: Iterator[Block], width: int | None, height: int | None, *, ordered: bool = True
) -> Iterator[Block]:
    """The blocks in a recording's types; at the first event that no recording can hold, damage."""
    last: int | None = None
    for block in blocks:
        if not len(block):
            continue
        fault = _fault(block, width, height, last if ordered else None, ordered)
        good = len(block) if fault is None else fault[0]
        if good:
            last = int(block.t[good - 1])
            yield block.part(0, good) if fault is not None else block
        if fault is not None:
            raise Damage(block.place(good), fault[1])


def _fault(
    block: Block, width: int | None, height: int | None, last: int | None, ordered: bool
) -> tuple[int, str] | None:
    """The first event that is wrong, and what is wrong with it."""
    if _all_fine(block, width, height, last, ordered):
        return None
    faults: list[tuple[int, str]] = []
    for name, array in (("x", block.x), ("y", block.y), ("t", block.t), ("p", block.p)):
        if array.dtype.kind not in "iub":
            return (
                0,
                f"{name} holds {array.dtype}; events take integers (scale seconds to ticks of time_unit)",
            )
    for name, array, side, size in (
        ("x", block.x, "width", width),
        ("y", block.y, "height", height),
    ):
        limit = SIDE_LIMIT if size is None else size
        if array.max() >= limit or (array.dtype.kind == "i" and array.min() < 0):
            i = int(((array < 0) | (array >= limit)).argmax())
            what = f"an event outside the sensor: {name} = {int(array[i])}, {side} is {limit}"
            faults.append((i, f"{what} (so 0 to {limit - 1})"))
    if block.p.max() > 1 or (block.p.dtype.kind == "i" and block.p.min() < 0):
        i = int(((block.p < 0) | (block.p > 1)).argmax())
        faults.append((i, f"an event of p = {int(block.p[i])}; polarity is 0 (OFF) or 1 (ON)"))
    if block.t.dtype.kind == "u" and block.t.dtype.itemsize == 8 and block.t.max() >= 1 << 63:
        faults.append((int((block.t >= 1 << 63).argmax()), "an event of a time that does not fit 64 bits"))
    if ordered:
        if last is not None and block.t[0] < last:
            faults.append((0, f"time decreases, from {last} to {int(block.t[0])}; {SORTING}"))
        falls = block.t[1:] < block.t[:-1]
        if falls.any():
            i = int(falls.argmax()) + 1
            faults.append((i, f"time decreases, from {int(block.t[i - 1])} to {int(block.t[i])}; {SORTING}"))
    return min(faults, default=None)


def _all_fine(block: Block, width: int | None, height: int | None, last: int | None, ordered: bool) -> bool:
    """Whether C finds nothing wrong: fast, and of blocks in a recording's types only."""
    arrays = [getattr(block, name) for name in ARRAYS]
    fits = all(
        array.dtype == kind and array.flags.c_contiguous
        for array, kind in zip(arrays, ARRAYS.values(), strict=True)
    )
    checker = native() if fits and ordered else None
    if checker is None:
        return False
    limits = (SIDE_LIMIT if width is None else width, SIDE_LIMIT if height is None else height)
    least = LEAST_TIME if last is None else last
    return bool(checker.all_fine(*(array.ctypes.data for array in arrays), len(block), *limits, least))


LEAST_TIME = -(1 << 63)
SORTING = "sort=True (--sort) sorts the events by time"
