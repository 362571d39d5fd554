"""Operations and bytes of a program on given data, event by event.

Assumptions, the same for every op. Spikes are packed, one bit each (ternary: two); counts have the 8 or 16 bits that
their range needs; frames are bytes. A map is written once by the op that makes it and read once by each op that takes it,
whole, events or not. A membrane is read and written once a step. A current is not stored where the next op alone takes it,
value by value (weights to neurons); else it has 16 or 32 bits. Weights are read in one of three ways: a packed row of the
output channels for each event and output place it touches; every weight once a step; every weight once for all T steps.
Thresholds, biases and scales are not counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.cost.rules import FRAME_BITS, Rule, event_bytes, map_bytes, rules
from rheobase.errors import DataError
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import Firing, Op, Readout
from rheobase.program.ops.base import Shape
from rheobase.program.reference import Trace, check_frames, slices

CONSTANTS = (
    "layer",
    "op",
    "hidden",
    "neurons",
    "factor_bits",
    "bytes_weights",
    "bytes_membranes",
    "bytes_map",
    "macs",
)


@dataclass(frozen=True)
class Row:
    """One op's work: the mean over samples of the sum over steps; `bytes_weights`, `bytes_membranes`, `bytes_map`, `neurons`
    and `macs` are constants.

    `synaptic_operations` = non-zero inputs x fan-out inside the map = `accumulates` (inputs of 1 and -1) +
    `multiply_accumulates` (larger counts). `additions` and `multiplications` are those of neurons, logits and changes of unit.
    `macs` are the multiplications of one pass of a dense network with the same layer, padding included as is usual; T
    passes would be T times as many. `hidden`: what comes in are spikes of this network, not the frames. `factor_bits`: 8
    where the factors of a multiply-accumulate fit 8 bits, else 32.
    """

    layer: str
    op: str
    hidden: bool
    neurons: int
    factor_bits: int
    events: float
    spikes: float
    synaptic_operations: float
    accumulates: float
    multiply_accumulates: float
    neuron_updates: float
    additions: float
    multiplications: float
    bytes_weights: int
    bytes_weights_by_event: float
    bytes_weights_by_step: float
    bytes_membranes: int
    bytes_membranes_read: float
    bytes_membranes_written: float
    bytes_map: int  # of the output where it lies in memory
    bytes_spikes_read: float
    bytes_spikes_written: float
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
            if field.name not in ("layer", "op", "hidden", "factor_bits")
        }
        return Row(layer="total", op="", hidden=False, factor_bits=0, **sums)

    @property
    def rate(self) -> float:
        """Spikes per neuron and step; 0 without neurons."""
        total = self.total()
        return total.spikes / (total.neurons * self.steps) if total.neurons else 0.0


@dataclass(frozen=True)
class Step:
    """One op of a program on given frames, as `walk` meets it."""

    index: int
    taken: list[NDArray[Any]]  # its inputs, [T, N, *shape]
    taken_shapes: list[Shape]
    taken_bits: list[int]
    hidden: bool
    shape: Shape
    given: NDArray[Any]
    rule: Rule


def count(program: Program, frames: NDArray[np.uint8], trace: Trace | None = None) -> Table:
    """Count what `program` does on `frames`. With the `trace` of a run on them, nothing is run again.

    Shape: `frames` uint8 `[T, N, C, H, W]`, N >= 1; T need not be the program's.
    Raises:
        DataError: no samples, or frames or trace of another shape.
        ProgramError: an op that the count does not know; nothing is ever taken as free.
    """
    frames = check_frames(program, frames)
    steps, samples = frames.shape[:2]
    if samples == 0:
        raise DataError("operations are a mean over samples; there are none")
    if trace is not None:
        _check_trace(program, trace, steps, samples)
    parts = [
        Table(
            part.stop - part.start,
            steps,
            [_row(program, step) for step in _walk(program, frames, trace, part)],
        )
        for part in (slice(s.start, min(s.stop, samples)) for s in slices(program, frames))
    ]
    return mean(parts)


def mean(tables: Sequence[Table]) -> Table:
    """One table of the samples of several, on the same program and as many steps.

    Raises:
        DataError: there is no table, or steps or layers differ.
    """
    if not tables or len({(t.steps, tuple(row.layer for row in t.rows)) for t in tables}) != 1:
        raise DataError("a mean needs one or more tables of the same program and as many steps")
    samples = sum(table.samples for table in tables)

    def of(name: str, rows: tuple[Row, ...]) -> Any:
        if name in CONSTANTS:
            return getattr(rows[0], name)
        # sums over samples are integers, so the mean does not depend on how they were cut
        return (
            sum(round(getattr(row, name) * t.samples) for row, t in zip(rows, tables, strict=True)) / samples
        )

    rows = [
        Row(**{field.name: of(field.name, same) for field in fields(Row)})
        for same in zip(*(table.rows for table in tables), strict=True)
    ]
    return Table(samples, tables[0].steps, rows)


def _walk(program: Program, frames: NDArray[np.uint8], trace: Trace | None, part: slice) -> Iterator[Step]:
    """Every op with what it takes and gives on the samples of `part`."""
    known, readers = rules(program), program.readers()
    values: dict[int, NDArray[Any]] = {FRAME: frames[:, part]}
    shapes: dict[int, Shape] = {FRAME: program.input_shape, **dict(enumerate(program.shapes()))}
    bits = {FRAME: FRAME_BITS, **{index: each.out_bits for index, each in enumerate(known)}}
    hidden = {FRAME: False}
    layer = 0
    for index, op in enumerate(program.ops):
        taken = [values[i] for i in op.inputs]
        if isinstance(op, Firing) and trace is not None:
            values[index] = trace.spikes[layer][:, part]
        elif trace is None or not all(_reads_shapes(program.ops[r]) for r in readers[index]):
            values[index] = op.run(*taken)
        else:  # only its shape matters to neurons, whose spikes are known
            values[index] = np.broadcast_to(np.int64(0), (*taken[0].shape[:2], *shapes[index]))
        layer += isinstance(op, Firing)
        from_spikes = all(hidden[i] for i in op.inputs)
        hidden[index] = isinstance(op, Firing) or from_spikes
        yield Step(
            index,
            taken,
            [shapes[i] for i in op.inputs],
            [bits[i] for i in op.inputs],
            from_spikes,
            shapes[index],
            values[index],
            known[index],
        )


def _reads_shapes(op: Op) -> bool:
    """Whether the work of an op follows from the shape of its input alone; that of recurrent neurons is in their spikes."""
    return isinstance(op, Readout) or (isinstance(op, Firing) and op.macs((1,)) == 0)


def _row(program: Program, step: Step) -> Row:
    """The mean over the samples at hand."""
    op, does = program.ops[step.index], step.rule
    steps, samples = step.given.shape[:2]
    work = op.work(*step.taken)
    weight = getattr(op, "weight", None)
    neuron = isinstance(op, Firing)
    weights = 0 if weight is None else weight.bytes
    values = prod(step.shape) * steps
    read = sum(map_bytes(shape, bits) for shape, bits in zip(step.taken_shapes, step.taken_bits, strict=True))
    map_size = map_bytes(step.shape, does.out_bits) if does.writes else 0
    return Row(
        layer=program.label(step.index),
        op=type(op).__name__,
        hidden=step.hidden,
        neurons=step.given[0, 0].size if neuron else 0,
        factor_bits=factor_bits(step.taken_bits),
        events=work.events / samples,
        spikes=int(np.count_nonzero(step.given)) / samples if neuron else 0.0,
        synaptic_operations=work.synaptic_operations / samples,
        accumulates=work.accumulates / samples,
        multiply_accumulates=work.multiply_accumulates / samples,
        neuron_updates=work.neuron_updates / samples,
        additions=float(values * does.additions),
        multiplications=float(values * does.multiplications),
        bytes_weights=weights,
        bytes_weights_by_event=event_bytes(op, work.synaptic_operations) / samples,
        bytes_weights_by_step=float(weights * steps),
        bytes_membranes=does.kept,
        bytes_membranes_read=float(does.kept * steps),
        bytes_membranes_written=float(does.kept * steps),
        bytes_map=map_size,
        bytes_spikes_read=float(read * steps if does.reads else 0),
        bytes_spikes_written=float(map_size * steps),
        macs=op.macs(*step.taken_shapes),
    )


def factor_bits(bits: Sequence[int]) -> int:
    """Bits of the factors of a multiply-accumulate on inputs of so many bits."""
    return 8 if max(bits) <= 8 else 32


def _check_trace(program: Program, trace: Trace, steps: int, samples: int) -> None:
    wanted = [
        (steps, samples, *shape)
        for op, shape in zip(program.ops, program.shapes(), strict=True)
        if isinstance(op, Firing)
    ]
    if [layer.shape for layer in trace.spikes] != wanted:
        found = [layer.shape for layer in trace.spikes]
        raise DataError(f"the trace's spikes have shapes {found}, the frames need {wanted}")
