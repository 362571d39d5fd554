"""A program's cost on many samples, after each of several numbers of steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rheobase import native
from rheobase.cost.operations import Table, count, mean
from rheobase.errors import DataError
from rheobase.program import CompiledProgram, Program, Trace, reference

BATCH = 64


def count_steps(program: Program, frames: NDArray[np.uint8], steps: Sequence[int]) -> list[Table]:
    """One table for each of `steps`: the work of the first so many steps, on all samples.

    The program runs as compiled C where there is a compiler, else by the reference: the spikes are the same.

    Shape: `frames` uint8 `[N, T, C, H, W]`, as data sets hold them.
    Raises:
        DataError: no samples, or a number of steps that is not in 1..T.
        ProgramError: an op whose cost is not known.
    """
    if len(frames) == 0 or not steps or min(steps) < 1 or max(steps) > frames.shape[1]:
        raise DataError(
            f"steps {list(steps)} of frames [N, T, C, H, W] = {list(frames.shape)} cannot be counted"
        )
    run = (
        (lambda x: reference.run(program, x))
        if native.compiler() is None
        else CompiledProgram(program).run_traced
    )
    found: list[list[Table]] = [[] for _ in steps]
    for start in range(0, len(frames), BATCH):
        batch = np.ascontiguousarray(frames[start : start + BATCH, : max(steps)].swapaxes(0, 1))
        trace = run(batch)
        for tables, k in zip(found, steps, strict=True):
            first = Trace([layer[:k] for layer in trace.spikes], trace.logits[:k])
            tables.append(count(program, batch[:k], first))
    return [mean(tables) for tables in found]
