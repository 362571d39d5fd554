"""The specification: a program run with NumPy integers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.program.ir import Program
from rheobase.program.ops import Neuron

CHUNK = 1 << 22  # window values of the widest layer that are computed at a time


@dataclass(frozen=True, eq=False)
class Trace:
    """What a program did: the spikes of each neuron layer and each step's contribution to the logits.

    The running logits after each step are `np.cumsum(trace.logits, axis=0)`.

    Shape: `spikes[i]` uint8 `[T, N, C, H, W]` (or `[T, N, C]`); `logits` int64 `[T, N, K]`.
    """

    spikes: list[NDArray[np.uint8]]
    logits: NDArray[np.int64]


def run(program: Program, frames: NDArray[np.uint8], *, spikes: bool = True) -> Trace:
    """Run `program` on event-count frames; every membrane starts at 0.

    Shape: `frames` uint8 `[T, N, C, H, W]`, any T.
    Raises:
        DataError: frames of another type or shape.
        ProgramError: the program's ops do not chain.
    """
    frames = check_frames(program, frames)
    if frames.shape[1] == 0:
        return _run(program, frames, spikes)
    parts = [_run(program, frames[:, part], spikes) for part in slices(program, frames)]
    if len(parts) == 1:
        return parts[0]
    return Trace(
        [np.concatenate(layer, axis=1) for layer in zip(*(part.spikes for part in parts), strict=True)],
        np.concatenate([part.logits for part in parts], axis=1),
    )


def slices(program: Program, frames: NDArray[np.uint8]) -> list[slice]:
    """Cuts of the sample axis such that the widest layer's windows fit in memory."""
    step = max(1, CHUNK // _per_sample(program, len(frames)))
    return [slice(first, first + step) for first in range(0, frames.shape[1], step)]


def check_frames(program: Program, frames: NDArray[Any]) -> NDArray[np.uint8]:
    """`frames` if the program can take them.

    Raises:
        DataError: another type or shape.
    """
    frames = np.asarray(frames)
    if (
        frames.dtype != np.uint8
        or frames.ndim != 5
        or frames.shape[2:] != program.input_shape
        or len(frames) == 0
    ):
        wanted = ", ".join(map(str, program.input_shape))
        raise DataError(
            f"program {program.name!r} takes uint8 frames [T, N, {wanted}] with T >= 1, "
            f"got {frames.dtype} {list(frames.shape)}"
        )
    return frames


def _run(program: Program, frames: NDArray[np.uint8], keep: bool) -> Trace:
    program.shapes()
    layers = []
    x: NDArray[Any] = frames
    for op in program.ops:
        x = op.run(x)
        if keep and isinstance(op, Neuron):
            layers.append(x)
    return Trace(layers, x)


def _per_sample(program: Program, steps: int) -> int:
    """Values that the widest layer's windows or outputs take for one sample."""
    widest = 1
    for op, shape in zip(program.ops, program.shapes(), strict=True):
        weight = getattr(op, "weight", None)
        fan_in = int(np.prod(weight.shape[1:])) if weight is not None and len(shape) == 3 else 1
        places = int(np.prod(shape[1:])) if len(shape) == 3 else 1
        widest = max(widest, places * max(fan_in, shape[0]))
    return widest * steps
