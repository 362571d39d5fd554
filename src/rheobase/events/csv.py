"""Recordings as CSV: a header that names `x, y, t, p` in any order, then one event a line.

Other columns and empty lines are ignored; polarities are 0 and 1, or -1 and 1.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.events.fields import FieldBlocks
from rheobase.events.format import Format
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import Block, Damage, Stream, places

FIELDS = ("x", "y", "t", "p")
LINE_LIMIT = 1 << 16
BOM = "\ufeff"


def _lines(source: Source) -> Iterator[str]:
    """The lines of a text, without their ends."""
    source.file.seek(0)
    number = 0
    while line := source.file.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT:
            raise Damage(f"line {number}", f"longer than {LINE_LIMIT} bytes; expected an event a line")
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            what = f"not a text file ({error.reason}); a CSV of events is UTF-8"
            raise Damage(f"line {number}", what) from error
        yield text.removeprefix(BOM) if number == 1 else text


def _header(line: str) -> list[str]:
    return [column.strip().lower() for column in line.split(",")]


def _names_fields(line: str) -> bool:
    header = _header(line)
    return all(header.count(field) == 1 for field in FIELDS)


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    lines = _lines(source)
    first = next(lines, "")
    if not _names_fields(first):
        raise Damage("line 1", f"the header must name x, y, t and p once each; it reads {first[:60]!r}")
    return Stream(_blocks(lines, _header(first), source.rows), width, height)


def _blocks(lines: Iterator[str], header: list[str], most: int) -> Iterator[Block]:
    fields = FieldBlocks()
    number, damage = 2, None
    while damage is None:
        rows: list[str] = []
        try:
            rows.extend(islice(lines, most))
        except Damage as found:
            damage = found
        if not rows and damage is None:
            return
        block, fault = _block(fields, rows, number, header)
        yield block
        damage = fault or damage
        number += len(rows)
    raise damage


def _table(rows: list[str], header: list[str]) -> list[NDArray[np.int64]] | None:
    """The fields of rows none of which is empty or wrong, at once; None where one may be."""
    if any(row.count(",") != len(header) - 1 for row in rows):
        return None
    cells = ",".join(rows).split(",")
    try:
        columns = [cells[header.index(field) :: len(header)] for field in FIELDS]
        return [np.array(list(map(int, column)), dtype=np.int64) for column in columns]
    except (ValueError, OverflowError):
        return None


def _block(
    fields: FieldBlocks, rows: list[str], number: int, header: list[str]
) -> tuple[Block, Damage | None]:
    """The events of the rows from line `number` on, up to the first that cannot be read, and what is wrong there."""
    if (whole := _table(rows, header)) is not None:
        return fields.block(dict(zip(FIELDS, whole, strict=True)), places("line", number)), None
    numbers = [number + i for i, row in enumerate(rows) if row.strip()]
    cells = [row.split(",") for row in rows if row.strip()]
    columns = [header.index(field) for field in FIELDS]
    events: list[list[int]] = []
    fault = None
    for line, row in zip(numbers, cells, strict=True):
        if len(row) != len(header):
            fault = Damage(f"line {line}", f"{len(row)} columns, the header has {len(header)}")
            break
        try:
            event = [int(row[column]) for column in columns]
        except ValueError as error:
            text = ",".join(row)[:60]
            fault = Damage(f"line {line}", f"{text!r} ({error}); events are integers")
            break
        if not -(1 << 63) <= min(event) <= max(event) < 1 << 63:
            fault = Damage(f"line {line}", "a number does not fit 64 bits")
            break
        events.append(event)
    table = np.array(events, dtype=np.int64).reshape(-1, len(FIELDS))
    named = dict(zip(FIELDS, table.T, strict=True))
    return fields.block(named, lambda i: f"line {numbers[i]}"), fault


def _dump(recording: Recording) -> bytes:
    events = zip(*(getattr(recording, field).tolist() for field in FIELDS), strict=True)
    lines = (",".join(map(str, event)) for event in events)
    return ("\n".join([",".join(FIELDS), *lines]) + "\n").encode()


def _sniff(head: bytes) -> bool:
    line = head[:LINE_LIMIT].partition(b"\n")[0].decode("utf-8", "replace")
    return _names_fields(line.removeprefix(BOM))


CSV_FORMAT = Format("csv", "CSV", (".csv",), _open, _sniff, _dump)


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
    return CSV_FORMAT.read(path, width=width, height=height, label=label, time_unit=time_unit)


def write_csv(recording: Recording, path: Path) -> None:
    """Write the events of a recording as CSV, atomically; sensor size, label and time unit are not kept."""
    CSV_FORMAT.write(recording, path)
