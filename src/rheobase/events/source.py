"""A file opened for reading, or bytes in memory as one."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rheobase.errors import DataError
from rheobase.events.room import Room


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
    room: Room = field(default_factory=Room, repr=False, compare=False)
    """What records are decoded to."""

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
