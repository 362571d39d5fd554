"""Recordings of EEG as MNE reads them, and trials cut from them at their marks.

MNE (`pip install 'rheobase[eeg]'`) is asked one thing here, `read_eeg`; nothing else knows of it.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError


@dataclass(frozen=True)
class EEG:
    """A recording in microvolts and its marks: sample and description of each, in order. Shape: samples [L, C]."""

    samples: NDArray[np.float64]
    rate: float
    channels: tuple[str, ...]
    marks: tuple[tuple[int, str], ...]


def read_eeg(path: Path) -> EEG:
    """A GDF or EDF+ file.

    Raises:
        DataError: MNE is not installed, or cannot read the file.
    """
    try:
        mne: Any = importlib.import_module("mne")
    except ImportError as error:
        raise DataError(
            f"{path}: EEG files are read by MNE, which is not installed: pip install 'rheobase[eeg]'"
        ) from error
    reader: Callable[..., Any] = mne.io.read_raw_gdf if path.suffix.lower() == ".gdf" else mne.io.read_raw_edf
    try:
        raw = reader(str(path), preload=True, verbose="ERROR")
        samples = np.asarray(raw.get_data(), np.float64).T * 1e6
    except (OSError, ValueError, RuntimeError, AssertionError, IndexError, KeyError) as error:
        raise DataError(f"{path}: MNE cannot read it ({error}); get the file again") from error
    rate, notes = float(raw.info["sfreq"]), raw.annotations
    starts = np.rint(np.asarray(notes.onset, np.float64) * rate).astype(np.int64).tolist()
    marks = sorted(zip(starts, map(str, notes.description), strict=True))
    return EEG(samples, rate, tuple(raw.ch_names), tuple(marks))


def trials(
    eeg: EEG, path: Path, at: list[int], length: int, channels: int, rate: float
) -> NDArray[np.float32]:
    """The `length` samples from each mark on of the first `channels` channels; what was not recorded (NaN) is 0.

    Shape: [trials, length, channels].
    Raises:
        DataError: another rate, too few channels, or a trial goes beyond the end.
    """
    if eeg.rate != rate or eeg.samples.shape[1] < channels:
        raise DataError(
            f"{path}: {eeg.samples.shape[1]} channels at {eeg.rate:g} Hz, expected {channels} or more at {rate:g} Hz"
        )
    if at and not 0 <= min(at) <= max(at) + length <= len(eeg.samples):
        raise DataError(
            f"{path}: a trial of {length} samples from {max(at)} on goes beyond the {len(eeg.samples)} that there are"
        )
    found = np.zeros((len(at), length, channels), np.float32)
    for i, start in enumerate(at):
        found[i] = np.nan_to_num(eeg.samples[start : start + length, :channels])
    return found
