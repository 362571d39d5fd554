"""A table of recordings: a CSV whose header names `path` and `label`, and if the split is the user's own, `part`.

    path,label,part
    session1/a.raw,wave,train
    session2/b.raw,clap,test

Paths are relative to the table; parts are train, validation and test. Other columns are ignored.
"""

import csv
from pathlib import Path

from rheobase.datasets.split import PARTS
from rheobase.errors import DataError
from rheobase.events.read import READERS


def read_table(path: Path) -> tuple[list[str], list[str], list[str] | None]:
    """Paths, labels, and the part of each (None: the table names none).

    Raises:
        DataError: the table cannot be read, a column or a value is missing, a part is none of the three, a path is
            named twice, leads to no file or to one of no readable format, or lies outside the table's folder.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            rows = list(reader)
            header = [column.strip() for column in reader.fieldnames or []]
            reader.fieldnames = header
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if missing := [column for column in ("path", "label") if column not in header]:
        raise DataError(f"{path}: no column {' and '.join(missing)}; its header names {', '.join(header)}")
    columns: dict[str, list[str]] = {}
    for column in ("path", "label", "part"):
        if column in header:
            columns[column] = [(row[column] or "").strip() for row in rows]
    for column, values in columns.items():
        if "" in values:
            raise DataError(f"{path}: line {values.index('') + 2} has no {column}")
    names = [_name(path, name, line) for line, name in enumerate(columns["path"], start=2)]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"{path}: {twice} is named twice")
    parts = columns.get("part")
    if parts is not None and (missing := sorted(set(PARTS) ^ set(parts))):
        what = "no recording" if missing[0] in PARTS else "unknown"
        raise DataError(
            f"{path}: part {missing[0]!r}: {what}; parts are {', '.join(PARTS)}, and each has some"
        )
    return names, columns["label"], parts


def _name(table: Path, name: str, line: int) -> str:
    """The path of a line, relative to the table's folder, with forward slashes."""
    base = table.parent.resolve()
    file = (base / name).resolve()
    where = f"{table}: line {line}: {name}"
    if not file.is_file():
        raise DataError(f"{where}: no such file (paths are relative to {base})")
    if not file.is_relative_to(base):
        raise DataError(f"{where}: outside {base}; put the table above its recordings")
    if file.suffix.lower() not in READERS:
        raise DataError(f"{where}: not a recording that can be read ({', '.join(READERS)})")
    return file.relative_to(base).as_posix()
