"""Where raw data lives."""

import os
from pathlib import Path

from rheobase.errors import DataError


def data_root(given: Path | None, title: str, holds: str) -> Path:
    """The folder given, else `$RHEOBASE_DATA`.

    Raises:
        DataError: neither is given; the message says what the folder should hold.
    """
    base = given or (Path(named) if (named := os.environ.get("RHEOBASE_DATA")) else None)
    if base is None:
        raise DataError(
            f"{title}: no data root; set RHEOBASE_DATA (or data.root) to the folder that holds {holds}"
        )
    return base


def find_folder(title: str, folders: tuple[str, ...], root: Path | None) -> Path:
    """The first of the folders that is there below `root` (else `$RHEOBASE_DATA`).

    Raises:
        DataError: none is.
    """
    base = data_root(root, title, f"{folders[0]}/")
    for name in folders:
        if (base / name).is_dir():
            return base / name
    raise DataError(
        f"{title}: found no {' nor '.join(folders)} in {base}; `rheobase data list` says where it is from"
    )
