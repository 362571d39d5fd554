"""A program as the engine's layers: each convolution or linear layer with the poolings before it and the neurons behind it."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program import ranges
from rheobase.program.ir import Program
from rheobase.program.ops import Conv2d, Flatten, Linear, Neuron, Readout, SumPool
from rheobase.program.ops.base import Op
from rheobase.program.weight import Weight

WINDOW_ROWS = (1 << 16) - 1  # lists hold indices of weight rows in 16 bits, and one more for a row of zeros


@dataclass(frozen=True, eq=False)
class View:
    """What a layer reads: a map of spikes or of frames' counts, summed over windows of `pool`."""

    counts: bool
    channels: int
    raw: tuple[int, int]  # height and width before pooling
    pool: tuple[int, int]
    most: int  # largest count after pooling

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.raw[0] // self.pool[0], self.raw[1] // self.pool[1]

    def pooled(self, op: SumPool) -> "View":
        """The view behind one more pooling: windows of windows."""
        high, wide = op.window((self.channels, *self.size))
        pool = (self.pool[0] * high, self.pool[1] * wide)
        return replace(self, pool=pool, most=self.most * high * wide)


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer of the engine. A linear layer is a convolution whose kernel is its whole map.

    Shape: `codes` uint8 `[Cout, Cin, kh, kw]`; `out` is `(Cout, H, W)`.
    """

    name: str
    view: View
    weight: Weight
    codes: NDArray[np.uint8]
    stride: int
    padding: int
    shift: int
    out: tuple[int, int, int]
    low: int  # smallest and largest sum, bias included
    high: int
    ends: Neuron | Readout

    @property
    def rows(self) -> int:
        """Weights of one output: rows of the event-driven kernels."""
        return prod(self.codes.shape[1:])


def plan(program: Program) -> list[Stage]:
    """Layers of a validated program.

    Raises:
        ProgramError: the program is not valid, or has an op that the engine does not run; names it.
    """
    program.validate()
    bounds, shapes = ranges.analyse(program), program.shapes()
    channels, *size = program.input_shape
    view = View(True, channels, (size[0], size[1]), (1, 1), 255)
    stages: list[Stage] = []
    sums: tuple[int, Conv2d | Linear] | None = None
    for index, (op, shape) in enumerate(zip(program.ops, shapes, strict=True)):
        chained = op.inputs == (index - 1,) and (isinstance(op, (Neuron, Readout)) == (sums is not None))
        if not chained or getattr(op, "groups", 1) != 1:
            raise refusal(program.label(index), op)
        if type(op) is SumPool:
            view = view.pooled(op)
        elif isinstance(op, (Conv2d, Linear)):
            sums = (index, op)
        elif isinstance(op, (Neuron, Readout)) and sums is not None:
            at, weighted = sums
            sums = None
            out = shapes[at]
            low, high = bounds[at].low + int(op.bias.min()), bounds[at].high + int(op.bias.max())
            stages.append(_stage(program.label(at), view, weighted, out, (low, high), op))
            if isinstance(op, Neuron):
                view = View(False, shape[0], _map(shape), (1, 1), 1)
        elif type(op) is not Flatten:
            raise refusal(program.label(index), op)
    return stages


def refusal(label: str, op: Op) -> ProgramError:
    """The error for an op that the engine does not run."""
    return ProgramError(
        f"{label}: the engine runs chains of layers without groups, it has no {type(op).__name__} like this; "
        "run this program with CompiledProgram or reference.run"
    )


def _map(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def _stage(
    name: str,
    view: View,
    op: Conv2d | Linear,
    out: tuple[int, ...],
    reach: tuple[int, int],
    ends: Neuron | Readout,
) -> Stage:
    if isinstance(op, Conv2d):
        stride, padding, codes = op.stride, op.padding, op.weight.codes
    else:
        stride, padding = 1, 0
        codes = op.weight.codes.reshape(-1, view.channels, *view.size)  # features are (C, H, W)
    full = (out[0], *_map(out))
    return Stage(name, view, op.weight, codes, stride, padding, op.shift, full, *reach, ends)
