"""Runs of events to frames: `bin.c` compiled on first use, and NumPy where there is no compiler; equal bytes."""

import ctypes
import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, RheobaseError, unknown
from rheobase.events.recording import Recording
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("bin.c")
FLAGS = ("-std=c99", "-O3", "-march=native")
VARIABLE = "RHEOBASE_BINNING"


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `bin.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(compile_shared([SOURCE], FLAGS, "bin-events")))
    except (CompilerError, OSError) as error:
        warnings.warn(f"binning falls back to NumPy, three times slower: {error}", UserWarning, stacklevel=2)
        return None
    arrays, numbers = [ctypes.c_void_p] * 4, [ctypes.c_int64] * 3
    found.bin_events.argtypes = [*arrays, *numbers, ctypes.c_void_p]
    found.bin_events.restype = ctypes.c_int
    return found


def bin_runs(recording: Recording, edges: NDArray[np.int64]) -> NDArray[np.int32]:
    """Counts of the events `edges[b]` to `edges[b + 1]` in frame `b`.

    `RHEOBASE_BINNING=numpy` chooses the plain way, which computes the same.

    Shape: edges [T + 1], not decreasing, within 0 and the number of events -> int32 [T, 2, H, W].
    Raises:
        DataError: an event lies outside the sensor (the recording's arrays were changed after it was made).
        RheobaseError: `RHEOBASE_BINNING` is neither empty, `c` nor `numpy`.
    """
    wanted = os.environ.get(VARIABLE) or "c"
    if wanted not in ("c", "numpy"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("way to bin", wanted, ("c", "numpy")))
    frames = np.zeros((len(edges) - 1, 2, recording.height, recording.width), np.int32)
    native = library() if wanted == "c" and frames[0].size < 1 << 32 else None
    good = _numpy(recording, edges, frames) if native is None else _c(native, recording, edges, frames)
    if not good:
        raise DataError(
            f"events lie outside the sensor of {recording.width} x {recording.height} pixels, or have a polarity "
            "above 1: the arrays were changed after the recording was made; make a new Recording of them"
        )
    return frames


def _c(
    native: ctypes.CDLL, recording: Recording, edges: NDArray[np.int64], frames: NDArray[np.int32]
) -> bool:
    edges = np.ascontiguousarray(edges, dtype=np.int64)
    sources = [array.ctypes.data for array in (recording.x, recording.y, recording.p, edges)]
    sizes = (len(frames), recording.width, recording.height)
    return native.bin_events(*sources, *sizes, frames.ctypes.data) == 0


def _numpy(recording: Recording, edges: NDArray[np.int64], frames: NDArray[np.int32]) -> bool:
    """One bincount a bin: its counts stay in the processor's cache, unlike those of all bins together."""
    x, y, p = (
        array[edges[0] : edges[-1]].astype(np.int64) for array in (recording.x, recording.y, recording.p)
    )
    if len(x) and (x.max() >= recording.width or y.max() >= recording.height or p.max() > 1):
        return False
    cell = (p * recording.height + y) * recording.width + x
    for frame, first, last in zip(frames, edges[:-1] - edges[0], edges[1:] - edges[0], strict=True):
        frame[:] = np.bincount(cell[first:last], minlength=frame.size).reshape(frame.shape)
    return True
