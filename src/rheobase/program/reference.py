"""The specification: a program run with NumPy integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import Firing, Op

CHUNK = 1 << 22  # window values of the widest layer that are computed at a time


@dataclass(frozen=True, eq=False)
class Trace:
    """What a program did: the spikes of each neuron layer and each step's contribution to the logits.

    The running logits after each step are `np.cumsum(trace.logits, axis=0)`.

    Shape: `spikes[i]` uint8 (int8 of ternary neurons; of others zeros and ones, or the integers that they fire)
    `[T, N, C, H, W]` (or `[T, N, C]`); `logits` int64 `[T, N, K]`.
    """

    spikes: list[NDArray[Any]]
    logits: NDArray[np.int64]


def run(program: Program, frames: NDArray[Any], *, spikes: bool = True) -> Trace:
    """Run `program` on event-count frames; every membrane starts at 0.

    Shape: `frames` of the program's `input_type` `[T, N, C, H, W]`, any T.
    Raises:
        DataError: frames of another type or shape.
        ProgramError: the program's ops do not fit each other.
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


def slices(program: Program, frames: NDArray[Any]) -> list[slice]:
    """Cuts of the sample axis such that the widest layer's windows fit in memory."""
    step = max(1, CHUNK // _per_sample(program, len(frames)))
    return [slice(first, first + step) for first in range(0, frames.shape[1], step)]


def check_frames(program: Program, frames: NDArray[Any]) -> NDArray[Any]:
    """`frames` if the program can take them.

    Raises:
        DataError: another type or shape, or more steps than the program is defined for.
    """
    frames = np.asarray(frames)
    if (
        frames.dtype != np.dtype(program.input_type)
        or frames.ndim != 5
        or frames.shape[2:] != program.input_shape
        or len(frames) == 0
    ):
        wanted = ", ".join(map(str, program.input_shape))
        raise DataError(
            f"program {program.name!r} takes {program.input_type} frames [T, N, {wanted}] with T >= 1, "
            f"got {frames.dtype} {list(frames.shape)}"
        )
    if len(frames) > program.most_steps:
        raise DataError(
            f"program {program.name!r} has numbers by step for {program.most_steps} steps, the frames have {len(frames)}"
        )
    return frames


def walk(
    program: Program, frames: NDArray[Any]
) -> Iterator[tuple[Op, tuple[NDArray[Any], ...], NDArray[Any]]]:
    """Each op of a program in turn, with its inputs and its result on `frames`; values are dropped after their last reader.

    Shape: `frames` `[T, N, C, H, W]`; inputs and results `[T, N, *shape]`.
    Raises:
        ProgramError: the ops do not fit each other.
    """
    program.shapes()
    readers = program.readers()
    values: dict[int, NDArray[Any]] = {FRAME: frames}
    for index, op in enumerate(program.ops):
        inputs = tuple(values[source] for source in op.inputs)
        values[index] = op.run(*inputs)
        yield op, inputs, values[index]
        for source in op.inputs:
            if source != FRAME and readers[source][-1] == index:
                values.pop(source, None)


def _run(program: Program, frames: NDArray[Any], keep: bool) -> Trace:
    layers: list[NDArray[Any]] = []
    result: NDArray[Any] = frames
    for op, _, result in walk(program, frames):
        if keep and isinstance(op, Firing):
            layers.append(result)
    return Trace(layers, result)


def _per_sample(program: Program, steps: int) -> int:
    """Values that the widest layer's windows or outputs take for one sample."""
    widest = 1
    for op, shape in zip(program.ops, program.shapes(), strict=True):
        weight = getattr(op, "weight", None)
        fan_in = int(np.prod(weight.shape[1:])) if weight is not None and len(shape) == 3 else 1
        places = int(np.prod(shape[1:])) if len(shape) == 3 else 1
        widest = max(widest, places * max(fan_in, shape[0]))
    return widest * steps
