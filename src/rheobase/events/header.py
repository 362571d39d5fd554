"""Text headers of binary recordings: lines with a mark before them, and limits on what numbers in them may be."""

import re

from rheobase.errors import DataError
from rheobase.events.recording import Recording
from rheobase.events.source import Source
from rheobase.events.stream import SIDE_LIMIT, Damage

HEADER_USUAL, HEADER_LIMIT = 1 << 14, 4 << 20


def header_lines(source: Source, mark: bytes, ends: str) -> tuple[list[str], int]:
    """The lines of a header without mark and line end, and the byte after it.

    A header is lines of text that begin with `mark`; after the line `ends` it is over. Bytes that happen to begin
    like a line are told from one by a control character in it, and events have those.

    Raises:
        Damage: the file ends in the header, or the header is larger than 4 MiB.
    """
    data = source.read(0, HEADER_USUAL)
    lines: list[str] = []
    start = 0
    while True:
        stop = data.find(b"\n", start)
        if stop < 0 and len(data) == HEADER_USUAL:
            data = source.read(0, HEADER_LIMIT)
            stop = data.find(b"\n", start)
        if not data.startswith(mark, start):
            break
        line = data[start:stop].removesuffix(b"\r") if stop >= 0 else data[start:]
        if any(byte < 32 and byte != 9 for byte in line):
            break
        if stop < 0:
            what = (
                "ends in its header" if len(data) < HEADER_LIMIT else "has a header above 4 MiB, with no end"
            )
            raise Damage(
                f"byte {start}", f"the file {what}; expected lines that begin with {mark.decode()!r}"
            )
        lines.append(line.removeprefix(mark).decode("utf-8", "replace").strip())
        start = stop + 1
        if lines[-1] == ends:
            break
    return lines, start


def side(text: str, name: str) -> int:
    """A side of the sensor as a header states it.

    Raises:
        Damage: it is no integer of 1 to 65536.
    """
    if not re.fullmatch("[0-9]{1,5}", text.strip()) or not 0 < int(text) <= SIDE_LIMIT:
        raise Damage("byte 0", f"the header states a {name} of {text[:20]!r}; expected 1 to {SIDE_LIMIT}")
    return int(text)


def require(recording: Recording, title: str, *, side_limit: int, time_limit: int) -> None:
    """Check that a format of microseconds can hold a recording.

    Raises:
        DataError: a side of the sensor or a time is too large, a time is negative, or ticks are no microseconds.
    """
    if recording.time_unit != 1e-6:
        raise DataError(
            f"{title} files count microseconds; this recording has time_unit {recording.time_unit}"
        )
    if recording.width > side_limit or recording.height > side_limit:
        raise DataError(
            f"{title} files hold sensors of up to {side_limit} x {side_limit} pixels; this one has "
            f"{recording.width} x {recording.height}"
        )
    t = recording.t
    if len(t) and (t[0] < 0 or t[-1] >= time_limit):
        raise DataError(
            f"{title} files hold times of 0 to {time_limit - 1} us; this recording has {t[0]} to {t[-1]} us; "
            "subtract its first time"
        )
