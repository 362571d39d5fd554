"""The registry of formats, and functions that read a recording of any of them.

A new format is a file with a `Format`, named here.
"""

from collections.abc import Iterator
from pathlib import Path

from rheobase.errors import DataError, unknown
from rheobase.events.aedat2 import AEDAT2_FORMAT
from rheobase.events.aedat3 import AEDAT3_FORMAT
from rheobase.events.aedat4 import AEDAT4_FORMAT
from rheobase.events.csv import CSV_FORMAT
from rheobase.events.format import Format
from rheobase.events.hdf5 import HDF5_FORMAT
from rheobase.events.nmnist import NMNIST_FORMAT
from rheobase.events.numpy_files import NPY_FORMAT, NPZ_FORMAT
from rheobase.events.prophesee import DAT_FORMAT, EVT2_FORMAT, EVT3_FORMAT, EVT21_FORMAT
from rheobase.events.recording import Recording
from rheobase.events.source import opened
from rheobase.events.stream import Damage

FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        NMNIST_FORMAT,
        CSV_FORMAT,
        NPY_FORMAT,
        NPZ_FORMAT,
        HDF5_FORMAT,
        AEDAT2_FORMAT,
        AEDAT3_FORMAT,
        AEDAT4_FORMAT,
        DAT_FORMAT,
        EVT2_FORMAT,
        EVT21_FORMAT,
        EVT3_FORMAT,
    )
}
READERS: dict[str, tuple[Format, ...]] = {
    suffix: tuple(made for made in FORMATS.values() if suffix in made.suffixes)
    for made in FORMATS.values()
    for suffix in made.suffixes
}
"""Suffixes of files that can be read, and the formats that use each."""
HEAD_BYTES = 1 << 16


def find_format(path: Path | str, format: str | None = None) -> Format:
    """The format of a file: the one named, else what its first bytes say, else what its suffix does.

    Raises:
        DataError: no format has that name, the file is absent, or nothing tells its format.
    """
    path = Path(path)
    if format is not None:
        if format not in FORMATS:
            raise DataError(unknown("format", format, FORMATS))
        return FORMATS[format]
    with opened(path) as source:
        head = source.read(0, HEAD_BYTES)
    for made in FORMATS.values():
        if made.sniff(head):
            return made
    meant = READERS.get(path.suffix.lower(), ())
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise DataError(
            f"{path}: neither its first bytes nor its suffix are of a known format; readable: {', '.join(READERS)}"
        )
    names = ", ".join(made.name for made in meant)
    what = (
        "the file is empty"
        if not head
        else f"its first bytes ({head[:24]!r}) do not say which of {names} it is"
    )
    raise DataError(f"{path}: {what}; name the format if you know it")


def read_recording(
    path: Path | str,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float | None = None,
    salvage: bool = False,
    sort: bool = False,
) -> Recording:
    """The recording in a file of any known format, which is told by content first, then by suffix.

    What is given goes before what the file states. Where the sensor size is neither given nor in the file, N-MNIST
    is 34 x 34, and the others are as large as their largest coordinate. With `salvage`, a damaged file gives the
    events before the damage; with `sort`, events out of order are sorted by time instead of refused.

    Raises:
        DataError: the format is not known, or the file is absent or damaged; the message names file and place.
    """
    made = find_format(path, format)
    return made.read(
        path, width=width, height=height, label=label, time_unit=time_unit, salvage=salvage, sort=sort
    )


def read_chunks(
    path: Path | str,
    n_events: int,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float | None = None,
    salvage: bool = False,
) -> Iterator[Recording]:
    """The recording in a file as recordings of `n_events` events (the last may have fewer), in bounded memory.

    Raises:
        DataError: as `read_recording`, when the place is reached; or `n_events` is below 1.
    """
    made = find_format(path, format)
    return made.chunks(
        path, n_events, width=width, height=height, label=label, time_unit=time_unit, salvage=salvage
    )


def write_recording(recording: Recording, path: Path | str, *, format: str | None = None) -> None:
    """Write a recording, atomically, in the format named, else that of the suffix (`.raw`: EVT 3.0).

    Raises:
        DataError: no such format or suffix, or the format cannot hold the recording.
    """
    suffix = Path(path).suffix.lower()
    if format is None and suffix not in READERS:
        raise DataError(f"{path}: the suffix is of no known format; name one of {', '.join(FORMATS)}")
    made = find_format(path, format) if format is not None else WRITERS.get(suffix, READERS[suffix][0])
    made.write(recording, path)


WRITERS = {".raw": EVT3_FORMAT, ".aedat": AEDAT3_FORMAT}
"""What a suffix of several formats is written as."""


def declares_size(path: Path | str) -> bool:
    """Whether a readable file states its sensor size; N-MNIST files, which are all of one, do."""
    try:
        made = find_format(path)
        with opened(path) as source:
            stream = made.open(source, None, None)
            return stream.width is not None and stream.height is not None
    except (DataError, Damage):
        return False
