"""Operations of a program on given data, event by event, beside a dense network of the same topology."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, ProgramError
from rheobase.program.ir import Program
from rheobase.program.ops import OPS, Neuron, Op, Work
from rheobase.program.reference import Trace, check_frames, slices


@dataclass(frozen=True)
class Row:
    """One op's work: the mean over samples of the sum over steps; `bytes_weights` and `macs` are constants.

    `synaptic_operations` = non-zero inputs x fan-out inside the map = `accumulates` (inputs of 1) +
    `multiply_accumulates` (larger counts). `multiplications` bring sums to the unit of rounded membranes, one
    for each neuron update. `macs` are the multiplications of one pass of a dense network with
    the same layer, padding included as is usual; T passes would be T times as many.
    """

    layer: str
    op: str
    events: float
    synaptic_operations: float
    accumulates: float
    multiply_accumulates: float
    neuron_updates: float
    multiplications: float
    bytes_weights: int
    macs: int


@dataclass(frozen=True)
class Table:
    """One row an op, in the program's order."""

    samples: int
    steps: int
    rows: list[Row]

    def total(self) -> Row:
        """Sum over all rows."""
        sums = {
            field.name: sum(getattr(row, field.name) for row in self.rows)
            for field in fields(Row)
            if field.name not in ("layer", "op")
        }
        return Row(layer="total", op="", **sums)


def count(program: Program, frames: NDArray[np.uint8], trace: Trace | None = None) -> Table:
    """Count what `program` does on `frames`. With the `trace` of a run on them, nothing is run again.

    Shape: `frames` uint8 `[T, N, C, H, W]`, N >= 1.
    Raises:
        DataError: no samples, or frames or trace of another shape.
        ProgramError: an op that the count does not know; nothing is ever taken as free.
    """
    frames = check_frames(program, frames)
    steps, samples = frames.shape[:2]
    if samples == 0:
        raise DataError("operations are a mean over samples; there are none")
    shapes = [program.input_shape, *program.shapes()]
    for index, op in enumerate(program.ops):
        if type(op) not in OPS.values():
            raise ProgramError(f"{program.label(index)}: the cost of this op is not known")
    if trace is not None:
        _check_trace(program, trace, steps, samples)
    sums = [Work() for _ in program.ops]
    for part in slices(program, frames):
        for index, work in enumerate(_walk(program, frames[:, part], trace, part)):
            sums[index] = _add(sums[index], work)
    rows = [
        _row(program.label(index), op, sums[index], op.macs(shapes[index]), samples)
        for index, op in enumerate(program.ops)
    ]
    return Table(samples, steps, rows)


def _walk(program: Program, frames: NDArray[np.uint8], trace: Trace | None, part: slice) -> list[Work]:
    x: NDArray[Any] = frames
    found = []
    layer = 0
    for op, shape in zip(program.ops, program.shapes(), strict=True):
        found.append(op.work(x))
        if trace is None:
            x = op.run(x)
        elif isinstance(op, Neuron):
            x = trace.spikes[layer][:, part]
            layer += 1
        elif op.kinds.get("events") == "events":
            x = op.run(x)
        else:  # a current: only its shape matters to what follows
            x = np.broadcast_to(np.int64(0), (*frames.shape[:2], *shape))
    return found


def _check_trace(program: Program, trace: Trace, steps: int, samples: int) -> None:
    wanted = [
        (steps, samples, *shape)
        for op, shape in zip(program.ops, program.shapes(), strict=True)
        if isinstance(op, Neuron)
    ]
    if [layer.shape for layer in trace.spikes] != wanted:
        found = [layer.shape for layer in trace.spikes]
        raise DataError(f"the trace's spikes have shapes {found}, the frames need {wanted}")


def _add(a: Work, b: Work) -> Work:
    return Work(*(getattr(a, field.name) + getattr(b, field.name) for field in fields(Work)))


def _row(layer: str, op: Op, work: Work, macs: int, samples: int) -> Row:
    weight = getattr(op, "weight", None)
    return Row(
        layer=layer,
        op=type(op).__name__,
        events=work.events / samples,
        synaptic_operations=work.synaptic_operations / samples,
        accumulates=work.accumulates / samples,
        multiply_accumulates=work.multiply_accumulates / samples,
        neuron_updates=work.neuron_updates / samples,
        multiplications=work.multiplications / samples,
        bytes_weights=0 if weight is None else weight.bytes,
        macs=macs,
    )
