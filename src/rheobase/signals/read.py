"""One function that reads a signal of any known format: `[L, C]`, with its sampling rate where the file has one."""

import importlib
import math
import wave
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rheobase.errors import DataError
from rheobase.signals.encoder import LARGEST, Samples


@dataclass(frozen=True)
class Signal:
    """Samples `[L, C]`, samples a second (None: unknown) and the names of the channels."""

    samples: Samples
    rate: float | None
    channels: tuple[str, ...]

    @property
    def x(self) -> Samples:
        """As encoders take it, a batch of one: `[L, 1, C]`."""
        return self.samples[:, None]

    def select(self, *channels: str) -> "Signal":
        """Some channels, by name or number, in this order.

        Raises:
            DataError: there is no such channel.
        """
        chosen = [self._index(channel) for channel in channels]
        names = tuple(self.channels[index] for index in chosen)
        return Signal(np.ascontiguousarray(self.samples[:, chosen]), self.rate, names)

    def _index(self, channel: str) -> int:
        if channel in self.channels:
            return self.channels.index(channel)
        if channel.isdecimal() and int(channel) < len(self.channels):
            return int(channel)
        raise DataError(f"no channel {channel!r}; there are {', '.join(self.channels)}")


def read_signal(path: Path | str, *, rate: float | None = None) -> Signal:
    """The signal in a file, by its suffix: `.wav`, `.flac`/`.ogg` (needs soundfile), `.csv`/`.txt`, `.npy`/`.npz`.

    Integer audio is scaled to [-1, 1). Text is columns of numbers, separated by commas, semicolons or blanks, with or
    without a header of names. NumPy files hold `[L]` or `[L, C]`; `.npz` under the name `x`, with `rate` beside it if
    wanted. `rate` is the sampling rate that is expected, or that of a file that states none.

    Raises:
        DataError: the file is absent, truncated, damaged or empty, of no readable format, holds values that are not
            finite, or states another rate.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise DataError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; readable: {known}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    signal = reader(path)
    if signal.rate is not None and rate is not None and not math.isclose(signal.rate, rate, rel_tol=1e-6):
        raise DataError(
            f"{path}: sampled at {signal.rate:g} Hz, {rate:g} Hz was asked for; resample it first"
        )
    if len(signal.samples) == 0 or not signal.channels:
        raise DataError(f"{path}: holds no samples")
    bad = np.argwhere(~(np.abs(signal.samples) <= LARGEST))
    if len(bad):
        sample, channel = bad[0]
        raise DataError(
            f"{path}: sample {sample} of channel {signal.channels[channel]} is {signal.samples[sample, channel]:g} "
            f"({len(bad)} such values); cut or interpolate the gap"
        )
    found = signal.rate if signal.rate is not None else rate
    return Signal(np.ascontiguousarray(signal.samples), found, signal.channels)


def read_wav(path: Path) -> Signal:
    """PCM of 8, 16, 24 or 32 bits, by the standard library."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, length, *_ = file.getparams()
            data = file.readframes(length)
    except (wave.Error, EOFError) as error:
        raise DataError(
            f"{path}: {str(error) or 'ends within its header'}; PCM WAV of 8 to 32 bits is read, convert others first"
        ) from error
    if len(data) != length * channels * width:
        have = len(data) // (channels * width)
        raise DataError(f"{path}: truncated; the header promises {length} samples, the file holds {have}")
    raw = np.frombuffer(data, np.uint8).reshape(-1, width)
    if width == 1:
        values = raw[:, 0].astype(np.int64) - 128
    else:  # little endian: put the bytes on top of an int32, whose sign is then theirs
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - width :] = raw
        values = wide.view("<i4")[:, 0].astype(np.int64) >> (8 * (4 - width))
    samples = values.reshape(length, channels) / float(1 << (8 * width - 1))
    return Signal(samples, float(rate), _numbered(channels))


def read_compressed(path: Path) -> Signal:
    """FLAC and Ogg, by the package soundfile."""
    try:
        soundfile: Any = importlib.import_module("soundfile")
    except (ImportError, OSError) as error:
        kind = path.suffix.lower()[1:]
        raise DataError(
            f"{path}: reading {kind} needs the package soundfile: pip install soundfile"
        ) from error
    try:
        with soundfile.SoundFile(str(path)) as file:
            promised, rate = file.frames, float(file.samplerate)
            samples = file.read(dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: damaged or not what its name says ({error})") from error
    if len(samples) != promised:
        raise DataError(
            f"{path}: truncated; the header promises {promised} samples, the file holds {len(samples)}"
        )
    return Signal(samples, rate, _numbered(samples.shape[1]))


def read_text(path: Path) -> Signal:
    """Columns of numbers, with or without a header of names."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error.reason})") from error
    rows = [
        (i, _cells(line))
        for i, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise DataError(f"{path}: holds no samples")
    names, first = _numbered(len(rows[0][1])), rows[0][1]
    if all(_float(cell) is None for cell in first):
        names, rows = tuple(first), rows[1:]
    samples = np.empty((len(rows), len(names)))
    for n, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            raise DataError(f"{path}, line {line}: {len(cells)} columns, the first line has {len(names)}")
        values = [_float(cell) for cell in cells]
        for cell, value in zip(cells, values, strict=True):
            if value is None:
                raise DataError(f"{path}, line {line}: {cell[:40]!r} is no number")
        samples[n] = values
    return Signal(samples, None, names)


def read_numpy(path: Path) -> Signal:
    """`.npy` with `[L]` or `[L, C]`, `.npz` with that under `x` and perhaps `rate`."""
    rate = None
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                array = loaded
            elif "x" in loaded:
                array = loaded["x"]
                rate = float(loaded["rate"]) if "rate" in loaded else None
            else:
                held = ", ".join(loaded.files) or "nothing"
                raise DataError(f"{path}: holds {held}; the signal is expected under x")
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, TypeError) as error:
        raise DataError(f"{path}: damaged or no NumPy file ({error})") from error
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: expected real numbers [L] or [L, C], got {array.dtype} of shape {array.shape}"
        )
    samples = array.reshape(len(array), -1).astype(np.float64)
    return Signal(samples, rate, _numbered(samples.shape[1]))


READERS: dict[str, Callable[[Path], Signal]] = {
    ".wav": read_wav,
    ".flac": read_compressed,
    ".ogg": read_compressed,
    ".csv": read_text,
    ".txt": read_text,
    ".npy": read_numpy,
    ".npz": read_numpy,
}


def _cells(line: str) -> list[str]:
    for separator in (",", ";"):
        if separator in line:
            return [cell.strip() for cell in line.split(separator)]
    return line.split()


def _float(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
