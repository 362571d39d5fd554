"""Arrays made once and kept: NumPy files in the cache folder, checked at each load, made again when damaged.

An entry is a folder named by the SHA-256 of everything that determines its arrays: one `.npy` an array, and
`index.json`, written last, with the key in full and the digest of each file. An entry whose index or digest
does not fit is rebuilt. Files are replaced atomically, so a process that still reads the old ones is not
disturbed; where the system has file locks, a second process waits for the first instead of doing the work
twice.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.files import atomic_write, atomic_write_json, cache_folder, sha256_file

try:
    import fcntl
except ImportError:  # not POSIX: two processes may then both build, to the same bytes
    fcntl = None  # type: ignore[assignment]

VERSION = 1
"""Part of every key: raise it when the code makes other arrays from the same input."""

Arrays = dict[str, NDArray[Any]]


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_arrays(arrays: Arrays) -> str:
    """SHA-256 of names, dtypes, shapes and bytes (little-endian) of arrays."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        state.update(f"{name} {array.dtype.str} {array.shape};".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def cached(name: str, key: dict[str, Any], build: Callable[[], Arrays], *, keep: bool = True) -> Arrays:
    """The arrays `build()` makes for `key`, from the cache if they are there and whole (unless not `keep`).

    Loaded arrays are mapped copy-on-write: they may be written to, which never reaches the file.
    """
    if not keep:
        return build()
    key = {**key, "version": VERSION}
    folder = cache_folder("datasets", name, digest(key)[:24])
    found = _load(folder)
    if found is not None:
        return found
    with _locked(folder):
        found = _load(folder)  # another process may have made it while this one waited
        if found is None:
            _save(folder, key, build())
            found = _load(folder)
    if found is None:
        raise OSError(
            f"{folder}: the cache cannot be read back; is the disk full? cache=False does without it"
        )
    return found


def _save(folder: Path, key: dict[str, Any], arrays: Arrays) -> None:
    files = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        data = buffer.getvalue()
        atomic_write(folder / f"{name}.npy", data)
        files[name] = hashlib.sha256(data).hexdigest()
    atomic_write_json(folder / "index.json", {"key": key, "files": files})


def _load(folder: Path) -> Arrays | None:
    try:
        files = json.loads((folder / "index.json").read_text())["files"]
        if any(sha256_file(folder / f"{name}.npy") != expected for name, expected in files.items()):
            return None
        return {name: _open(folder / f"{name}.npy") for name in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _open(path: Path) -> NDArray[Any]:
    array = np.load(path, allow_pickle=False) if path.stat().st_size < 4096 else np.load(path, mmap_mode="c")
    return np.asarray(array)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
