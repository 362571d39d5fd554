"""Recordings in HDF5 files, in the layouts in use; needs the package `h5py`, which is installed apart.

    events/x, y, t, p    arrays, also named xs, ys, ts, ps (or pol, polarity); DSEC adds `t_offset` to all times
    CD/events            Prophesee's array of records x, y, p, t; its codec ECF must be known to HDF5
    events               the same without a group

Times that are no integers are seconds, and become microseconds. The sensor's size is what the attributes `width`
and `height` (or Prophesee's `geometry`, `1280x720`) of the file or the group state. Compressed arrays may need
the package `hdf5plugin` (DSEC: Blosc), which is used where it is installed.

Sources: Gehrig, Aarents, Gehrig and Scaramuzza, "DSEC: A Stereo Event Camera Dataset for Driving Scenarios", IEEE
RA-L 6(3), 2021, and its format page; Prophesee, "HDF5 Event File Format", docs.prophesee.ai.
"""

import contextlib
import importlib
import io
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.fields import BLOCK_EVENTS, FieldBlocks
from rheobase.events.format import Format
from rheobase.events.header import side
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import Block, Damage, Stream, places

MAGIC = b"\x89HDF\r\n\x1a\n"
NAMES = {"x": ("x", "xs"), "y": ("y", "ys"), "t": ("t", "ts"), "p": ("p", "ps", "pol", "polarity")}
CHUNK_LIMIT = 1 << 26
ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
ADVICE = "install hdf5plugin if the arrays are compressed with a filter that is not known here"

Take = Callable[[int, int], NDArray[Any]]


def _package() -> ModuleType | None:
    with contextlib.suppress(ImportError):
        importlib.import_module("hdf5plugin")  # its import makes its filters known
    with contextlib.suppress(ImportError):
        return importlib.import_module("h5py")
    return None


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    h5py = _package()
    if h5py is None:
        raise Damage("", "HDF5 files are read with the package h5py; `pip install h5py`")
    try:
        file = h5py.File(source.path or source.file, "r")
        columns, length = _columns(file, h5py)
        stated = _stated(file)
        offset = int(file["t_offset"][()]) if "t_offset" in file else 0
    except ERRORS as error:
        raise Damage("byte 0", f"not an HDF5 file of events, or damaged ({error})") from error
    return Stream(
        _blocks(file, columns, length, offset),
        side(str(stated["width"]), "width") if width is None and "width" in stated else width,
        side(str(stated["height"]), "height") if height is None and "height" in stated else height,
        int(stated["label"]) if "label" in stated else None,
        float(stated.get("time_unit", 1e-6)),
    )


def _stated(file: Any) -> dict[str, Any]:
    """What the attributes of the file or of its groups say of the recording."""
    places = [file, *(file[name] for name in ("events", "CD", "CD/events") if name in file)]
    stated: dict[str, Any] = {}
    for place in places:
        for name in ("width", "height", "label", "time_unit", "geometry"):
            if name in place.attrs and np.ndim(value := place.attrs[name]) == 0:
                stated.setdefault(name, value.decode() if isinstance(value, bytes) else value)
    if "geometry" in stated:
        wide, _, high = str(stated["geometry"]).partition("x")
        stated.setdefault("width", wide)
        stated.setdefault("height", high)
    return stated


def _columns(file: Any, h5py: ModuleType) -> tuple[dict[str, Take], int]:
    """How to take a range of each field, and how many events there are."""
    for name in ("CD/events", "events"):
        if isinstance(found := file.get(name), h5py.Dataset):
            _check(found, name)
            if found.dtype.names is None or any(field not in found.dtype.names for field in "xytp"):
                raise Damage("", f"{name} holds {found.dtype}; expected records with fields x, y, t, p")
            takes = {field: _taker(found.fields(field)) for field in "xytp"}
            return takes, found.shape[0]
    group = file["events"] if isinstance(file.get("events"), h5py.Group) else file
    arrays = {
        field: next((group[name] for name in names if isinstance(group.get(name), h5py.Dataset)), None)
        for field, names in NAMES.items()
    }
    if missing := [field for field, array in arrays.items() if array is None]:
        raise Damage(
            "",
            f"no array events/{missing[0]}; expected events/x, y, t, p or CD/events, found {sorted(file)[:9]}",
        )
    for name, array in arrays.items():
        _check(array, name)
    lengths = {field: array.shape[0] for field, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        raise Damage("", f"x, y, t and p must have one entry an event; got lengths {lengths}")
    return {field: _taker(array) for field, array in arrays.items()}, lengths["t"]


def _taker(array: Any) -> Take:
    return lambda start, stop: np.asarray(array[start:stop])


def _check(array: Any, name: str) -> None:
    """Refuse what is no list of events, and chunks so large that to read one is to allocate too much."""
    if len(array.shape) != 1 or array.dtype.hasobject:
        raise Damage(
            "", f"{name} holds {array.dtype} of shape {array.shape}; events are one-dimensional arrays"
        )
    chunk = (array.chunks or (1,))[0] * array.dtype.itemsize
    if chunk > CHUNK_LIMIT:
        raise Damage("", f"{name} is stored in pieces of {chunk} bytes; at most {CHUNK_LIMIT} can be read")
    if array.shape[0] and not array.id.get_storage_size():
        raise Damage("", f"{name} claims {array.shape[0]} events, but the file stores none of them")


def _blocks(file: Any, columns: dict[str, Take], length: int, offset: int) -> Iterator[Block]:
    fields = FieldBlocks()
    with file:
        for first in range(0, length, BLOCK_EVENTS):
            try:
                named = {
                    field: take(first, min(first + BLOCK_EVENTS, length)) for field, take in columns.items()
                }
            except ERRORS as error:
                raise Damage(f"event {first}", f"cannot be read ({error}); {ADVICE}") from error
            t = named["t"]
            if t.dtype.kind == "f":
                if not np.isfinite(t).all() or np.abs(t).max(initial=0) > 1e12:
                    raise Damage(f"event {first}", "times of up to 1e12 seconds expected; found others")
                t = np.rint(t * 1e6)
            named["t"] = t.astype(np.int64) + offset
            yield fields.block(named, places("event", first))


def _dump(recording: Recording) -> bytes:
    h5py = _package()
    if h5py is None:
        raise DataError("HDF5 files are written with the package h5py; `pip install h5py`")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in ("width", "height", "time_unit", "label"):
            if getattr(recording, name) is not None:
                file.attrs[name] = getattr(recording, name)
        for name in "xytp":
            file.create_dataset(f"events/{name}", data=getattr(recording, name))
    return buffer.getvalue()


HDF5_FORMAT = Format("hdf5", "HDF5", (".h5", ".hdf5"), _open, lambda head: head.startswith(MAGIC), _dump)
