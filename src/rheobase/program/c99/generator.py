"""`write_c`: a program as a folder of C99 that proves itself."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.files import atomic_write
from rheobase.program import ranges, reference
from rheobase.program.c99 import gather
from rheobase.program.c99.emitter import Emitter, Value, fill, number_rows
from rheobase.program.early_exit import NEVER
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import Conv2d, Firing, Op
from rheobase.program.ops.base import INT32_MAX, Shape

FNV_START, FNV_PRIME, WORD = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


@dataclass(frozen=True)
class Source:
    """Generated C and what is known about it without compiling."""

    prefix: str
    model_h: str
    model_c: str
    kernels: dict[str, str]  # by name; one name is one text in every program
    constants: dict[str, int]  # bytes of each constant array, by its C name
    membrane_bytes: int  # live between steps: membranes and logits
    scratch_bytes: int  # dead between steps
    max_steps: int  # steps between resets that overflow no logit and that the network was made for

    @property
    def kernels_h(self) -> str:
        """The kernels as a header."""
        head = f"/* The kernels that {self.prefix} uses. Included by model.c alone. */"
        return "\n".join([head, *self.kernels.values()])


def c_name(name: str) -> str:
    """A program's name as the start of C identifiers: other characters become `_`."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def generate(
    program: Program,
    rates: Mapping[int, float] | None = None,
    margin: int = NEVER,
    *,
    rows: bool | None = None,
) -> Source:
    """The C of a program, in memory.

    `rates`, the share of non-zero inputs of ops by their place, chooses the kernels of those convolutions (see `gather`) and
    products of spikes; without it all scatter. With `rows` neurons follow a convolution row by row, whose sums then take the
    memory of one row; by default so where rates are given. What is computed is the same. `margin` is what the header offers
    for early exit (see `early_exit`).

    Raises:
        ProgramError: the program is not valid.
    """
    program.validate()
    prefix = c_name(program.name)
    emitter = Emitter()
    rows = rates is not None if rows is None else rows
    values = {FRAME: Value("frame", f"{program.input_type}_t", program.input_shape, frame_order=True)}
    analysis, readers = ranges.analyse(program), program.readers()
    for index, (op, shape, found) in enumerate(zip(program.ops, program.shapes(), analysis, strict=True)):
        emitter.index, emitter.shape, emitter.storage = index, shape, found.storage
        emitter.product, emitter.label = found.product, program.label(index)
        emitter.inputs = [values[i] for i in op.inputs]
        emitter.readers, emitter.last = (
            [program.ops[i] for i in readers[index]],
            max(readers[index], default=index),
        )
        emitter.rows = rows and _read_by_row(shape, emitter.readers)
        emitter.steps.append(f"    /* {emitter.label}: {' x '.join(map(str, shape))} */")
        read = op.inputs[0]
        events = None if values[read].frame_order else analysis[read]
        rate = emitter.rate = (rates or {}).get(index)
        emitter.highs = tuple(255 if i == FRAME else analysis[i].high for i in op.inputs)
        if isinstance(op, Conv2d) and (kind := gather.choose(op, events, values[read].shape, rate)):
            gather.emit(op, emitter, kind, analysis[read].high)
        else:
            op.emit(emitter)
        if emitter.result is not None:  # a Readout leaves none
            values[index] = emitter.result
    scratch, pointers = emitter.scratch()
    channels, height, width = program.input_shape
    step = max(-analysis[-1].low, analysis[-1].high, 1)
    max_steps = min(INT32_MAX // step, program.most_steps)
    common = {
        "title": f"rheobase program {program.name}",
        "prefix": prefix,
        "PREFIX": prefix.upper(),
        "classes": program.classes,
        "frame_type": f"{program.input_type}_t",
        "steps": program.T,
    }
    model_h = fill(
        "templates/model.h",
        **common,
        channels=channels,
        height=height,
        width=width,
        frame_size=prod(program.input_shape),
        max_steps=max_steps,
        neuron_layers=emitter.neuron_layers,
        membrane_bytes=emitter.membrane_bytes,
        scratch_bytes=emitter.scratch_bytes(),
        margin=margin,
        state="\n".join([*emitter.state, scratch]),
    )
    model_c = fill(
        "templates/model.c",
        **common,
        constants="\n\n".join(emitter.constants),
        reset="\n".join(emitter.cleared),
        step="\n".join([*pointers, *emitter.steps]),
        version=program.version,
        digest=program.digest(),
    )
    return Source(
        prefix,
        model_h,
        model_c,
        emitter.kernels,
        emitter.sizes,
        emitter.membrane_bytes,
        emitter.scratch_bytes(),
        max_steps,
    )


def _read_by_row(shape: Shape, readers: Sequence[Op]) -> bool:
    """Whether one layer of neurons alone reads a map, and follows its rows."""
    (reader,) = readers if len(readers) == 1 else (None,)
    return len(shape) == 3 and isinstance(reader, Firing) and reader.follows_rows(shape)


def write_c(
    program: Program,
    folder: Path,
    golden_frames: NDArray[Any] | None = None,
    *,
    rates: Mapping[int, float] | None = None,
    margin: int = NEVER,
) -> list[Path]:
    """Write a program's C: the network, a self-test, a CMake file and a readme; return the paths.

    Files: `model.h`, `model.c`, `kernels.h`, `self_test.c`, `CMakeLists.txt`, `README.md`. The self-test
    embeds `golden_frames` (two samples of sparse random counts by default) and the hash of what the reference
    makes of them. `rates` and `margin` as in `generate`: rates are those that `cost.count` measures on recordings.

    Shape: `golden_frames` of the program's `input_type` `[T, N, C, H, W]`.
    Raises:
        ProgramError: the program is not valid.
        DataError: golden frames of another type or shape, none, or more steps than a logit can hold.
        OSError: a file cannot be written.
    """
    source = generate(program, rates, margin)
    frames = (
        default_frames(program) if golden_frames is None else reference.check_frames(program, golden_frames)
    )
    if frames.shape[1] == 0 or len(frames) > source.max_steps:
        raise DataError(
            f"golden frames must be 1 or more samples of 1..{source.max_steps} steps, got {frames.shape}"
        )
    trace = reference.run(program, frames)
    channels, height, width = program.input_shape
    common = {
        "title": f"rheobase program {program.name}",
        "prefix": source.prefix,
        "PREFIX": source.prefix.upper(),
    }
    texts = {
        "model.h": source.model_h,
        "model.c": source.model_c,
        "kernels.h": source.kernels_h,
        "self_test.c": fill(
            "templates/self_test.c",
            **common,
            samples=frames.shape[1],
            steps=frames.shape[0],
            logits_hash=f"0x{logits_hash(trace):016x}",
            spikes_hash=f"0x{spikes_hash(trace):016x}",
            frame_type=f"{program.input_type}_t",
            frames=number_rows(frames.swapaxes(0, 1)),
        ),
        "CMakeLists.txt": fill("templates/CMakeLists.txt", **common),
        "README.md": fill(
            "templates/README.md",
            **common,
            frame_type=f"{program.input_type}_t",
            channels=channels,
            height=height,
            width=width,
            constant_bytes=sum(source.constants.values()),
            membrane_bytes=source.membrane_bytes,
            scratch_bytes=source.scratch_bytes,
        ),
    }
    for name, text in texts.items():
        atomic_write(Path(folder) / name, text)
    return [Path(folder) / name for name in texts]


def default_frames(program: Program) -> NDArray[Any]:
    """Two samples of T steps of random counts, of either sign where frames have one; one in eight is not zero, few are large.

    Shape: uint8 or int8 `[T, 2, C, H, W]`.
    """
    rng = np.random.default_rng(0)
    shape = (program.T, 2, *program.input_shape)
    counts = rng.geometric(0.5, shape) * (rng.random(shape) < 0.125)
    if program.input_type == "int8":
        counts *= rng.choice((-1, 1), shape)
    ends = np.iinfo(program.input_type)
    return counts.clip(ends.min, ends.max).astype(program.input_type)


def fnv1a(data: bytes, state: int = FNV_START) -> int:
    """FNV-1a hash of 64 bits."""
    for byte in data:
        state = (state ^ byte) * FNV_PRIME & WORD
    return state


def logits_hash(trace: reference.Trace) -> int:
    """Hash of the running logits, sample by sample and step by step, as little-endian int32."""
    running = np.cumsum(trace.logits, axis=0).swapaxes(0, 1)
    return fnv1a(np.ascontiguousarray(running).astype("<i4").tobytes())


def spikes_hash(trace: reference.Trace) -> int:
    """Hash of every spike: by sample, step and neuron layer, each map channel-last."""
    state = FNV_START
    layers = [spikes if spikes.ndim == 3 else spikes.transpose(0, 1, 3, 4, 2) for spikes in trace.spikes]
    steps, samples = trace.logits.shape[:2]
    for n in range(samples):
        for t in range(steps):
            for layer in layers:
                state = fnv1a(np.ascontiguousarray(layer[t, n]).tobytes(), state)
    return state
