"""Recordings in NumPy files: `.npz` with arrays x, y, t, p, or `.npy` with these as fields of one array.

Arrays are read a block at a time, never by the length that a header claims; arrays of Python objects are refused,
for unpickling them could run anything.
"""

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rheobase.events.fields import BLOCK_EVENTS, FieldBlocks, require_fields
from rheobase.events.format import Format
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import Block, Damage, Stream, places

NPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"
DEFLATE_RATIO = 1032
"""No deflated byte becomes more than these."""
HEADER_BYTES = 1 << 16
SCALAR_BYTES = 1 << 12
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Array:
    """An opened array of which nothing but the header has been read."""

    file: IO[bytes]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` entries, or as many as the file has (whole ones)."""
        data = self.file.read(count * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype, len(data) // self.dtype.itemsize)


def _array(file: IO[bytes], name: str) -> Array:
    """Read the header of an array.

    Raises:
        Damage: it is no array, or one of Python objects.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = io.BytesIO(file.read(HEADER_BYTES))  # reads from it are bounded, whatever length it claims
            version = npy.read_magic(head)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(head)
            file.seek(head.tell())
    except Exception as error:  # NumPy evaluates the header as Python, which fails in many ways
        what = f"{name} is not a NumPy file of plain arrays, or damaged ({error})"
        raise Damage("byte 0" if name == "it" else f"array {name}", what) from error
    if dtype.hasobject or not dtype.itemsize or any(side < 0 for side in shape):
        raise Damage("", f"{name} holds {dtype} of shape {shape}: not a NumPy file of plain arrays")
    return Array(file, dtype, shape, head.tell())


def _open_npy(source: Source, width: int | None, height: int | None) -> Stream:
    source.file.seek(0)
    array = _array(source.file, "it")
    if array.dtype.names is None or len(array.shape) != 1:
        raise Damage(
            "",
            "expected a one-dimensional structured array with fields x, y, t, p; "
            f"found {array.dtype} of shape {array.shape}",
        )
    require_fields(array.dtype.names)
    for field in "xytp":
        if array.dtype[field].shape:
            raise Damage(
                "", f"field {field} is an array itself ({array.dtype[field]}); expected one number an event"
            )
    return Stream(_npy_blocks(source, array), width, height)


def _npy_blocks(source: Source, array: Array) -> Iterator[Block]:
    fields, size, total = FieldBlocks(), array.dtype.itemsize, array.shape[0]
    step = max(1, min(BLOCK_EVENTS, (1 << 22) // size))
    for first in range(0, total, step):
        start = array.start + first * size
        source.file.seek(start)
        rows = array.take(min(step, total - first))
        named = {field: rows[field] for field in "xytp"}
        yield fields.block(named, places("byte", start, size))
        if len(rows) < min(step, total - first):
            what = f"the file ends inside its array: {first + len(rows)} of {total} events are there"
            raise Damage(f"byte {start + len(rows) * size}", f"{what}, so it is cut short")


def _open_npz(source: Source, width: int | None, height: int | None) -> Stream:
    source.file.seek(0)
    try:
        file = zipfile.ZipFile(source.file)
        names = {name.removesuffix(".npy") for name in file.namelist()}
    except ZIP_ERRORS as error:
        raise Damage("byte 0", f"not a NumPy file of plain arrays, or damaged ({error})") from error
    require_fields(names)
    stated = {
        name: _scalar(file, name) for name in ("width", "height", "label", "time_unit") if name in names
    }
    return Stream(
        _npz_blocks(file),
        int(stated["width"]) if width is None and "width" in stated else width,
        int(stated["height"]) if height is None and "height" in stated else height,
        int(stated["label"]) if "label" in stated else None,
        float(stated.get("time_unit", 1e-6)),
    )


def _member(file: zipfile.ZipFile, name: str) -> Array:
    """An array of the archive, after checking that its lengths agree and can be.

    Raises:
        Damage: they do not.
    """
    try:
        info = file.getinfo(f"{name}.npy")
        array = _array(file.open(info), name)
    except (*ZIP_ERRORS, KeyError) as error:
        raise Damage(f"array {name}", f"damaged ({error})") from error
    held = array.start + array.dtype.itemsize * int(
        np.prod([int(side) for side in array.shape], dtype=object)
    )
    if held != info.file_size or info.file_size > DEFLATE_RATIO * info.compress_size + SCALAR_BYTES:
        what = f"its header claims {held} bytes, the archive {info.file_size} from {info.compress_size} compressed"
        raise Damage(f"array {name}", f"{what}; these cannot all be true")
    return array


def _scalar(file: zipfile.ZipFile, name: str) -> int | float:
    array = _member(file, name)
    if int(np.prod(array.shape, dtype=object)) != 1 or array.dtype.kind not in "iuf":
        raise Damage("", f"{name} must be one number; found shape {array.shape}")
    try:
        number = array.take(1)
    except ZIP_ERRORS as error:
        raise Damage(f"array {name}", f"damaged ({error})") from error
    if len(number) != 1 or not np.isfinite(number[0]):
        raise Damage("", f"{name} must be one number; found {number.tolist()}")
    return number[0].item()


def _npz_blocks(file: zipfile.ZipFile) -> Iterator[Block]:
    fields = FieldBlocks()
    with ExitStack() as closing:
        arrays = {name: _member(file, name) for name in "xytp"}
        for array in arrays.values():
            closing.enter_context(array.file)
        for name, array in arrays.items():
            if len(array.shape) != 1:
                raise Damage("", f"{name} has shape {array.shape}; events are one-dimensional arrays")
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise Damage("", f"x, y, t and p must have one entry an event; got lengths {lengths}")
        for first in range(0, lengths["t"], BLOCK_EVENTS):
            try:
                named = {name: array.take(BLOCK_EVENTS) for name, array in arrays.items()}
            except (*ZIP_ERRORS, OSError) as error:
                raise Damage(f"event {first}", f"the archive is damaged ({error})") from error
            wanted = min(BLOCK_EVENTS, lengths["t"] - first)
            got = min(len(array) for array in named.values())
            named = {name: array[:got] for name, array in named.items()}
            yield fields.block(named, places("event", first))
            if got < wanted:
                raise Damage(f"event {first + got}", f"the archive ends before its {lengths['t']} events")


def _dump_npz(recording: Recording) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: getattr(recording, name) for name in "xytp"}
    arrays |= {name: getattr(recording, name) for name in ("width", "height", "time_unit")}
    if recording.label is not None:
        arrays["label"] = recording.label
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _dump_npy(recording: Recording) -> bytes:
    kinds = [("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "u1")]
    rows = np.empty(len(recording), dtype=kinds)
    for name, _ in kinds:
        rows[name] = getattr(recording, name)
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


NPZ_FORMAT = Format(
    "npz", "NumPy .npz", (".npz",), _open_npz, lambda head: head.startswith(ZIP_MAGIC), _dump_npz
)
NPY_FORMAT = Format(
    "npy", "NumPy .npy", (".npy",), _open_npy, lambda head: head.startswith(NPY_MAGIC), _dump_npy
)


def read_npz(
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float | None = None,
) -> Recording:
    """The recording in an `.npz`; its `width`, `height`, `label`, `time_unit` serve where none is given.

    Raises:
        DataError: the file is absent, damaged, holds Python objects, or its arrays are no recording.
    """
    return NPZ_FORMAT.read(path, width=width, height=height, label=label, time_unit=time_unit)


def read_npy(
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float = 1e-6,
) -> Recording:
    """The recording in an `.npy` that holds a structured array with fields x, y, t, p (others are ignored).

    Raises:
        DataError: the file is absent, damaged, holds Python objects, or its array is no recording.
    """
    return NPY_FORMAT.read(path, width=width, height=height, label=label, time_unit=time_unit)


def write_npz(recording: Recording, path: Path) -> None:
    """Write a recording, whole, as compressed `.npz`, atomically; `read_npz` gives it back."""
    NPZ_FORMAT.write(recording, path)
