"""Reader and writer of N-MNIST `.bin` files.

An event is 40 bits, big-endian: `x` 8 bits, `y` 8 bits, polarity 1 bit, time 23 bits in microseconds. A row
with `y = 240` is no event: the camera marks an overflow of its time stamp with it, and what follows it is
2^13 us later (the rule of the authors' own reader, `Read_Ndataset.m`). Source: Orchard, Jayawant, Cohen and
Thakor, "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in
Neuroscience 9:437, 2015.
"""

from pathlib import Path

import numpy as np

from rheobase.errors import DataError
from rheobase.events.recording import Recording
from rheobase.files import atomic_write

SIZE = 34
EVENT_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_TICKS = 2**13
TIME_LIMIT = 2**23


def read_nmnist(path: Path, *, width: int = SIZE, height: int = SIZE, label: int | None = None) -> Recording:
    """The recording in an N-MNIST file.

    Raises:
        DataError: the file is absent, empty, cut short, or holds something else; the message names file and
            event.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_nmnist(data, name=str(path), width=width, height=height, label=label)


def parse_nmnist(
    data: bytes, *, name: str = "<bytes>", width: int = SIZE, height: int = SIZE, label: int | None = None
) -> Recording:
    """The recording in the bytes of an N-MNIST file (a zip member, say); `name` is what errors call it.

    Raises:
        DataError: no bytes, a size that is no multiple of 5, a coordinate outside the sensor, or time that
            decreases.
    """
    if not data:
        raise DataError(f"{name}: the file is empty; get it again from where it came")
    if len(data) % EVENT_BYTES:
        raise DataError(
            f"{name}: {len(data)} bytes is no multiple of {EVENT_BYTES}, so the file is cut short or "
            "not N-MNIST; get it again from where it came"
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).astype(np.int64)
    x, y, p = rows[:, 0], rows[:, 1], rows[:, 2] >> 7
    t = (rows[:, 2] & 0x7F) << 16 | rows[:, 3] << 8 | rows[:, 4]
    overflow = y == OVERFLOW_Y
    if overflow.any() and height <= OVERFLOW_Y:
        t = t + OVERFLOW_TICKS * np.cumsum(overflow)
        x, y, t, p = (array[~overflow] for array in (x, y, t, p))
    try:
        return Recording(x, y, t, p, width=width, height=height, label=label)
    except DataError as error:
        raise DataError(
            f"{name}: {error}. The file is damaged or not N-MNIST ({width} x {height}); "
            "get it again from where it came"
        ) from error


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


def write_nmnist(recording: Recording, path: Path) -> None:
    """Write a recording as an N-MNIST file, atomically.

    Raises:
        DataError: the format cannot hold it (see `format_nmnist`).
    """
    atomic_write(Path(path), format_nmnist(recording))
