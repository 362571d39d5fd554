"""Recordings in NumPy files: `.npz` with arrays x, y, t, p, or `.npy` with these as fields of one array."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.fields import recording_from_fields
from rheobase.events.recording import Recording
from rheobase.files import atomic_write


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
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise DataError(f"{path}: holds a single array; name it .npy, or save x, y, t and p with np.savez")
    fields = dict(loaded)
    given = {"width": width, "height": height, "label": label, "time_unit": time_unit}
    for name, value in given.items():
        if value is None and name in fields:
            if fields[name].size != 1 or fields[name].dtype.kind not in "iuf":
                raise DataError(f"{path}: {name} must be one number; found shape {fields[name].shape}")
            given[name] = fields[name].item()
    return recording_from_fields(
        fields,
        str(path),
        width=given["width"],  # type: ignore[arg-type]
        height=given["height"],  # type: ignore[arg-type]
        label=None if given["label"] is None else int(given["label"]),
        time_unit=1e-6 if given["time_unit"] is None else given["time_unit"],
    )


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
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path}: holds several arrays; name it .npz")
    if loaded.dtype.names is None or loaded.ndim != 1:
        raise DataError(
            f"{path}: expected a one-dimensional structured array with fields x, y, t, p; "
            f"found {loaded.dtype} of shape {loaded.shape}"
        )
    fields = {name: loaded[name] for name in loaded.dtype.names}
    return recording_from_fields(
        fields, str(path), width=width, height=height, label=label, time_unit=time_unit
    )


def write_npz(recording: Recording, path: Path) -> None:
    """Write a recording, whole, as compressed `.npz`, atomically; `read_npz` gives it back."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: getattr(recording, name) for name in "xytp"}
    arrays |= {name: getattr(recording, name) for name in ("width", "height", "time_unit")}
    if recording.label is not None:
        arrays["label"] = recording.label
    np.savez_compressed(buffer, **arrays)
    atomic_write(Path(path), buffer.getvalue())


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """What a NumPy file holds; object arrays are refused, for unpickling them could run anything."""
    try:
        with Path(path).open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a NumPy file of plain arrays, or damaged ({error})") from error
