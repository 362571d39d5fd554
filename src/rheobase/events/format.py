"""What all formats of recordings share: whole recordings and recordings of bounded size, made of a stream of blocks.

A format decodes a file to `Block`s, in order and of bounded size, and raises `Damage` where the file is not what
it should be. `Format` makes of them whole recordings (`read`) or recordings of bounded size (`chunks`), so the two
cannot differ, and a damaged file always gives the intact events before the damage.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rheobase.errors import DataError
from rheobase.events.checking import checked
from rheobase.events.recording import Recording
from rheobase.events.room import Room
from rheobase.events.source import Source, opened
from rheobase.events.stream import Damage, Stream
from rheobase.files import atomic_write

ROOM_BYTES = 4
"""Bytes of a file for which room for an event is made at once; more is made as needed."""


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
        room = source.room
        room.reserve(min(stream.most, source.size // ROOM_BYTES))
        with self.reporting(source, salvage):
            for block in checked(stream.blocks, wide, high, ordered=not sort):
                room.append(block)
        arrays = room.take()
        if sort and len(arrays["t"]) and (arrays["t"][1:] < arrays["t"][:-1]).any():
            order = np.argsort(arrays["t"], kind="stable")
            arrays = {name: array[order] for name, array in arrays.items()}
        try:
            return Recording.of_checked(
                arrays,
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
            room = Room(min(n_events, stream.most))

            def gathered() -> Recording:
                return Recording.of_checked(
                    room.take(),
                    width=width,
                    height=height,
                    label=stream.label if label is None else label,
                    time_unit=stream.time_unit if time_unit is None else time_unit,
                )

            with self.reporting(source, salvage):
                for block in checked(stream.blocks, width, height):
                    start = 0
                    while room.count + len(block) - start >= n_events:
                        stop = start + n_events - room.count
                        room.append(block.part(start, stop))
                        yield gathered()
                        start = stop
                    room.append(block.part(start, len(block)))
            if room.count:
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
