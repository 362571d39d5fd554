"""Recordings as CSV: a header that names `x, y, t, p` in any order, then one event a line."""

from pathlib import Path

import numpy as np

from rheobase.errors import DataError
from rheobase.events.fields import recording_from_fields
from rheobase.events.recording import Recording
from rheobase.files import atomic_write

FIELDS = ("x", "y", "t", "p")


def read_csv(
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float = 1e-6,
) -> Recording:
    """The recording in a CSV file; other columns are ignored, polarities may be 0/1 or -1/1.

    A `width` or `height` of None is the largest coordinate plus one.

    Raises:
        DataError: the file is absent or no text, a column is missing, or a line cannot be read (the message
            has its number).
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error.reason}); a CSV of events is UTF-8") from error
    if not lines:
        raise DataError(f"{path}: the file is empty; the first line names the columns x,y,t,p in any order")
    header = [column.strip().lower() for column in lines[0].split(",")]
    if any(header.count(field) != 1 for field in FIELDS):
        raise DataError(
            f"{path}, line 1: the header must name x, y, t and p once each; it reads {lines[0][:60]!r}"
        )
    columns = [header.index(field) for field in FIELDS]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != len(header):
            raise DataError(f"{path}, line {number}: {len(cells)} columns, the header has {len(header)}")
        try:
            rows.append([int(cells[column]) for column in columns])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {line[:60]!r} ({error}); events are integers") from error
    try:
        table = np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS))
    except OverflowError as error:
        raise DataError(f"{path}: a number does not fit 64 bits") from error
    fields = dict(zip(FIELDS, table.T, strict=True))
    return recording_from_fields(
        fields, str(path), width=width, height=height, label=label, time_unit=time_unit
    )


def write_csv(recording: Recording, path: Path) -> None:
    """Write the events of a recording as CSV, atomically; sensor size, label and time unit are not kept."""
    events = zip(*(getattr(recording, field).tolist() for field in FIELDS), strict=True)
    lines = (",".join(map(str, event)) for event in events)
    atomic_write(Path(path), "\n".join([",".join(FIELDS), *lines]) + "\n")
