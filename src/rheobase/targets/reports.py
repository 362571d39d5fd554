"""What a program takes on a microcontroller, measured on recordings."""

import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.cost import count
from rheobase.errors import ProgramError
from rheobase.program import Program, reference
from rheobase.program.c99.generator import logits_hash, spikes_hash
from rheobase.program.ir import FRAME
from rheobase.targets.image import build
from rheobase.targets.machine import profile, run
from rheobase.targets.registry import Target


@dataclass(frozen=True)
class Report:
    """Bytes and instructions of a program on one target; its spikes and logits were equal to the reference's."""

    target: str
    optimise: str
    samples: int
    steps: int
    bytes_flash: int  # weights, constants and code of the model
    bytes_weights: int
    bytes_code: int
    bytes_state: int
    bytes_stack: int  # deepest use seen, of the harness's printing as well
    instructions_per_inference: float
    instructions_per_dense_mac: float  # of one step
    instructions_by_op: dict[str, float]  # of one step
    logits_hash: str
    spikes_hash: str

    @property
    def bytes_ram(self) -> int:
        """State and stack."""
        return self.bytes_state + self.bytes_stack


def measured_rates(program: Program, frames: NDArray[np.uint8]) -> dict[int, float]:
    """Share of each op's inputs that is not zero, by the op's place: what `write_c` chooses kernels by.

    Shape: uint8 `[T, N, C, H, W]`.
    """
    table, shapes = count(program, frames), program.shapes()
    rates = {}
    for index, (op, row) in enumerate(zip(program.ops, table.rows, strict=True)):
        values = sum(prod(program.input_shape if i == FRAME else shapes[i]) for i in op.inputs)
        rates[index] = row.events / (values * table.steps)
    return rates


def report(
    program: Program,
    target: Target,
    frames: NDArray[np.uint8],
    *,
    optimise: str = "-O2",
    rates: dict[int, float] | None = None,
) -> Report:
    """Build, run on the emulated machine, compare with the reference, and count.

    Shape: uint8 `[T, N, C, H, W]`.
    Raises:
        ProgramError: the target computes something else than the reference.
        ToolError: a tool is missing or failed.
    """
    expected = reference.run(program, frames)
    with tempfile.TemporaryDirectory() as folder:
        image = build(program, target, Path(folder), optimise=optimise, rates=rates)
        done = run(image, frames)
        by_op = profile(image, frames)
    if (done.logits_hash, done.spikes_hash) != (logits_hash(expected), spikes_hash(expected)):
        raise ProgramError(
            f"{target.name} computes other spikes or logits than the reference (compiled with {optimise}). "
            "Please report this: equality is what the program promises"
        )
    macs = sum(row.macs for row in count(program, frames[:, :1]).rows)
    return Report(
        target=target.name,
        optimise=optimise,
        samples=frames.shape[1],
        steps=len(frames),
        bytes_flash=image.bytes_flash,
        bytes_weights=image.bytes_weights,
        bytes_code=image.bytes_code,
        bytes_state=image.bytes_state,
        bytes_stack=done.stack_bytes,
        instructions_per_inference=done.per_inference,
        instructions_per_dense_mac=done.per_inference / (macs * len(frames)),
        instructions_by_op=_by_op(program, by_op),
        logits_hash=f"{done.logits_hash:016x}",
        spikes_hash=f"{done.spikes_hash:016x}",
    )


def _by_op(program: Program, counted: NDArray[np.float64]) -> dict[str, float]:
    """Instructions by op; one without any of its own (it moves nothing, or neurons compute it row by row) goes with the next."""
    found: dict[str, float] = {}
    waiting: list[str] = []
    for index, number in enumerate(counted):
        waiting.append(program.label(index))
        if number > 0:
            found[" + ".join(waiting)] = float(number)
            waiting = []
    return found
