"""One function that reads a recording of any known format."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rheobase.errors import DataError
from rheobase.events.csv import read_csv
from rheobase.events.nmnist import read_nmnist
from rheobase.events.numpy_files import read_npy, read_npz
from rheobase.events.recording import Recording

READERS: dict[str, Callable[..., Recording]] = {
    ".bin": read_nmnist,
    ".csv": read_csv,
    ".npy": read_npy,
    ".npz": read_npz,
}


def read_recording(
    path: Path | str, *, width: int | None = None, height: int | None = None, label: int | None = None
) -> Recording:
    """The recording in a file: `.bin` (N-MNIST), `.csv`, `.npy` or `.npz`, by its suffix.

    Where the sensor size is neither given nor in the file, `.bin` is 34 x 34, and the others are as large as
    their largest coordinate.

    Raises:
        DataError: the suffix is of no readable format, or the file is absent or damaged.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: cannot read {path.suffix or 'a file without suffix'}; readable: {', '.join(READERS)}"
        )
    options: dict[str, Any] = {"width": width, "height": height, "label": label}
    return reader(path, **{name: value for name, value in options.items() if value is not None})


def declares_size(path: Path | str) -> bool:
    """Whether a readable file states its sensor size: `.bin` does, `.npz` may, the others leave it open."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        return path.suffix.lower() == ".bin"
    try:
        with zipfile.ZipFile(path) as file:
            return {"width.npy", "height.npy"} <= set(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
