"""N-MNIST `.bin` files, which N-Caltech101 shares.

An event is 40 bits, big-endian: `x` 8 bits, `y` 8 bits, polarity 1 bit, time 23 bits in microseconds. A row
with `y = 240` is no event: the camera marks an overflow of its time stamp with it, and what follows it is
2^13 us later (the rule of the authors' own reader, `Read_Ndataset.m`). The files do not state the sensor's size:
34 x 34 unless another is given (N-Caltech101: 240 x 180). Source: Orchard, Jayawant, Cohen and Thakor, "Converting
Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in Neuroscience 9:437, 2015.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.format import Format
from rheobase.events.recording import Recording
from rheobase.events.source import Source, bytes_source
from rheobase.events.stream import BLOCK_BYTES, Block, Damage, Stream

SIZE = 34
EVENT_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_TICKS = 2**13
TIME_LIMIT = 2**23


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    wide, high = SIZE if width is None else width, SIZE if height is None else height
    return Stream(_blocks(source, overflows=high <= OVERFLOW_Y), wide, high, most=source.size // EVENT_BYTES)


def _blocks(source: Source, *, overflows: bool) -> Iterator[Block]:
    wrapped = 0
    step = BLOCK_BYTES // EVENT_BYTES * EVENT_BYTES
    for start in range(0, source.size, step):
        data = source.read(start, step)
        rest = len(data) % EVENT_BYTES
        rows = np.frombuffer(data, np.uint8, len(data) - rest).reshape(-1, EVENT_BYTES)
        x, y, high, middle, low = rows.T.astype(np.uint16)
        p = (high >> 7).astype(np.uint8)
        t = wrapped + ((high & 0x7F).astype(np.int64) << 16 | middle << 8 | low)
        at = np.arange(len(rows))
        if overflows and (marks := y == OVERFLOW_Y).any():
            t += OVERFLOW_TICKS * np.cumsum(marks)
            wrapped += OVERFLOW_TICKS * int(marks.sum())
            x, y, t, p, at = (array[~marks] for array in (x, y, t, p, at))
        yield Block(x, y, t, p, _place(at, start))
        if rest:
            what = f"{source.size} bytes is no multiple of {EVENT_BYTES}, so the file is cut short or not N-MNIST"
            raise Damage(f"byte {source.size - rest}", what)


def _place(at: NDArray[np.int64], start: int) -> Callable[[int], str]:
    return lambda i: f"byte {start + EVENT_BYTES * int(at[i])}"


def format_nmnist(recording: Recording) -> bytes:
    """The bytes of a recording in the N-MNIST format; `parse_nmnist` gives the recording back.

    Raises:
        DataError: a coordinate above 255, a row 240 (it means overflow), a time outside 0 to 2^23 - 1, or a
            time unit other than the microsecond.
    """
    x, y, t = (array.astype(np.int64) for array in (recording.x, recording.y, recording.t))
    if recording.time_unit != 1e-6:
        raise DataError(
            f"N-MNIST files count microseconds; this recording has time_unit {recording.time_unit}"
        )
    if len(t) and (t[0] < 0 or t[-1] >= TIME_LIMIT):
        raise DataError(
            f"N-MNIST files hold times of 0 to {TIME_LIMIT - 1} us; this one has {t[0]} to {t[-1]}"
        )
    if len(t) and (x.max() > 255 or y.max() > 255 or (y == OVERFLOW_Y).any()):
        raise DataError(
            "N-MNIST files hold coordinates of 0 to 255, and no event in row 240 (it marks an overflow)"
        )
    rows = np.stack([x, y, recording.p.astype(np.int64) << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF], axis=1)
    return rows.astype(np.uint8).tobytes()


NMNIST_FORMAT = Format(
    "nmnist",
    "N-MNIST and N-Caltech101",
    (".bin",),
    _open,
    lambda head: False,
    format_nmnist,
    "The file is damaged or not N-MNIST of this sensor size; get it again from where it came",
)


def read_nmnist(path: Path, *, width: int = SIZE, height: int = SIZE, label: int | None = None) -> Recording:
    """The recording in an N-MNIST file.

    Raises:
        DataError: the file is absent, empty, cut short, or holds something else; the message names file and
            event.
    """
    return NMNIST_FORMAT.read(path, width=width, height=height, label=label)


def parse_nmnist(
    data: bytes, *, name: str = "<bytes>", width: int = SIZE, height: int = SIZE, label: int | None = None
) -> Recording:
    """The recording in the bytes of an N-MNIST file (a zip member, say); `name` is what errors call it.

    Raises:
        DataError: no bytes, a size that is no multiple of 5, a coordinate outside the sensor, or time that
            decreases.
    """
    return NMNIST_FORMAT.read_source(bytes_source(data, name), width=width, height=height, label=label)


def write_nmnist(recording: Recording, path: Path) -> None:
    """Write a recording as an N-MNIST file, atomically.

    Raises:
        DataError: the format cannot hold it (see `format_nmnist`).
    """
    NMNIST_FORMAT.write(recording, path)
