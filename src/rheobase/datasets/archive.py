"""Raw files in a folder or in zip files, read by name."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from rheobase.datasets.root import data_root
from rheobase.errors import DataError


class Archive:
    """Files below a folder, or in zip files, whose names (with forward slashes) start with a prefix."""

    def __init__(self, *paths: Path, prefixes: tuple[str, ...] = ("",)) -> None:
        self.paths = paths
        self.prefixes = prefixes

    def __repr__(self) -> str:
        return " + ".join(map(str, self.paths))

    def names(self, suffix: str) -> list[str]:
        """Names that end in `suffix`, sorted."""
        return sorted(name for name in self._entries if name.lower().endswith(suffix))

    def digest(self) -> str:
        """SHA-256 over names, sizes and checksums (zip) or times of change (folder); reads no data."""
        return hashlib.sha256(repr(sorted(self._entries.items())).encode()).hexdigest()

    def state(self, names: Sequence[str]) -> str:
        """The same of some files of a folder alone, whatever lies beside them."""
        states = [(name, (self.paths[0] / name).stat()) for name in sorted(names)]
        return hashlib.sha256(repr([(n, s.st_size, s.st_mtime_ns) for n, s in states]).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: it is gone or damaged.
        """
        for path in self.paths:
            try:
                if path.is_dir():
                    return (path / name).read_bytes()
                if name in (archive := _zip(path)).NameToInfo:
                    return archive.read(name)
            except (OSError, zipfile.BadZipFile, EOFError) as error:
                raise DataError(f"{path}: {name} cannot be read ({error}); get the data again") from error
        raise DataError(f"{self!r} holds no {name}")

    @cached_property
    def _entries(self) -> dict[str, tuple[int, int]]:
        entries: dict[str, tuple[int, int]] = {}
        for path in self.paths:
            if path.is_dir():
                for prefix in self.prefixes:
                    for file in (path / prefix).rglob("*"):
                        if file.is_file():
                            state = file.stat()
                            entries[file.relative_to(path).as_posix()] = (state.st_size, state.st_mtime_ns)
            else:
                for info in _zip(path).infolist():
                    if info.filename.startswith(self.prefixes) and not info.is_dir():
                        entries[info.filename] = (info.file_size, info.CRC)
        return entries


def find_archive(title: str, places: tuple[str, ...], holds: str, root: Path | None) -> Archive:
    """The first of the places (zip files or folders) that is there under `root` (else `$RHEOBASE_DATA`).

    Raises:
        DataError: none is; the message says what they hold.
    """
    base = data_root(root, title, " or ".join(places))
    for place in places:
        if (base / place).exists():
            return Archive(base / place)
    raise DataError(f"{title}: found no {' nor '.join(places)} in {base}. It holds {holds}")


def _zip(path: Path) -> zipfile.ZipFile:
    """The open zip file, opened anew where the file has changed: an old handle would list what was once there."""
    try:
        state = path.stat()
        return _open(path, state.st_size, state.st_mtime_ns, os.getpid())
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable zip file ({error}); get the data again") from error


@lru_cache(maxsize=8)
def _open(path: Path, size: int, changed: int, process: int) -> zipfile.ZipFile:
    """One open zip file a process: a handle shared across a fork would share its position."""
    return zipfile.ZipFile(path)
