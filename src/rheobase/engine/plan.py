"""A program as the engine's layers: each a head, a tail of rescalings and additions, and neurons or the readout at its end.

Products of spikes, and ops that run by their own C, are layers without tail and end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.engine.own import Input, Own
from rheobase.program import ranges
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import (
    Add,
    Conv2d,
    Firing,
    Flatten,
    HeadMatMul,
    Linear,
    Neuron,
    Op,
    OrPool,
    Readout,
    Rescale,
    RoundedNeuron,
    SumPool,
)
from rheobase.program.ops.base import Shape
from rheobase.program.weight import Weight

WINDOW_ROWS = (1 << 16) - 1  # lists hold indices of weight rows in 16 bits, and one more for a row of zeros
NATIVE = {Add, Conv2d, Flatten, HeadMatMul, Linear, Neuron, OrPool, Readout, Rescale, RoundedNeuron, SumPool}
MOST_COUNTED = (1 << 16) - 1  # counts have 16 bits
Head = Literal["sums", "load", "sum_pool", "max_pool", "or_pool", "flatten", "conv", "matmul", "own"]


@dataclass(frozen=True, eq=False)
class View:
    """What a layer reads: the frame, or the spikes or the map of another layer, summed over windows of `pool`.

    `flat`: read as a vector (C, H, W), as after Flatten.
    """

    source: Literal["frame", "spikes", "map"]
    stage: int  # whose spikes or map
    channels: int
    raw: tuple[int, int]  # height and width before pooling
    most: int  # largest count after pooling
    events: bool  # never negative, and not a current
    pool: tuple[int, int] = (1, 1)
    flat: bool = False
    below_zero: bool = False  # a frame of int8

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.raw[0] // self.pool[0], self.raw[1] // self.pool[1]

    def pooled(self, op: SumPool) -> "View":
        """The view behind one more pooling: windows of windows."""
        high, wide = op.window((self.channels, *self.size))
        pool = (self.pool[0] * high, self.pool[1] * wide)
        return replace(self, pool=pool, most=self.most * high * wide)


@dataclass(eq=False)
class Stage:
    """One layer of the engine. A linear layer is a convolution whose kernel is its whole map.

    Heads: `sums` of weighted events; `conv`, sums of anything else, in groups or dilated; `load`, what is read as it is;
    `flatten`; the poolings; `matmul` of two maps of spikes, groups being heads; `own`, anything else. `tail` has rescalings
    and values to add. With `keep` what the tail gives is kept as a map; then `ends`.

    Shape: `codes` uint8 `[Cout, Cin / groups, kh, kw]`; `out` is `(Cout, H, W)`.
    """

    name: str
    head: Head
    view: View
    out: tuple[int, int, int]
    weight: Weight | None = None
    codes: NDArray[np.uint8] | None = None
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: int = 0
    shift: int = 0
    groups: int = 1
    dilation: int = 1
    other: View | None = None  # the second value that is read
    turned: tuple[bool, bool] = (False, False)  # factors of a product whose strings of bits run over places
    own: Own | None = None
    tail: list[Rescale | View] = field(default_factory=list)
    keep: bool = False
    ends: Neuron | Readout | None = None
    low: int = 0  # smallest and largest sum, the bias of what ends the layer included
    high: int = 0

    @property
    def fires(self) -> bool:
        """Whether neurons end the layer."""
        return isinstance(self.ends if self.own is None else self.own.op, Firing)

    @property
    def rows(self) -> int:
        """Weights of one output: rows of the event-driven kernels."""
        return 0 if self.codes is None else prod(self.codes.shape[1:])


def plan(program: Program) -> list[Stage]:
    """Layers of a program, each behind those that it reads.

    Raises:
        ProgramError: the program is not valid.
    """
    program.validate()
    planner = _Planner(program)
    for index in range(len(program.ops)):
        planner.read(index)
    return planner.stages


class _Planner:
    """Reads ops in turn. A stage is open while only the next op reads its row, and is closed when anything else does."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.shapes = program.shapes()
        self.kinds = program.kinds()
        self.bounds = ranges.analyse(program)
        self.readers = program.readers()
        self.stages: list[Stage] = []
        channels, *size = program.input_shape
        signed = program.input_type == "int8"
        frame = View("frame", -1, channels, (size[0], size[1]), 255, not signed, below_zero=signed)
        self.views = {FRAME: frame}
        self.open: dict[int, Stage] = {}

    def read(self, index: int) -> None:
        op = self.program.ops[index]
        if type(op) not in NATIVE or (isinstance(op, Neuron) and op.ternary):
            self.by_itself(index, op)
            return
        match op:
            case SumPool():
                self.views[index] = self.view(op.inputs[0]).pooled(op)
            case Flatten():
                self.views[index] = replace(self.view(op.inputs[0]), flat=True)
            case OrPool():
                self.or_pool(index, op)
            case Conv2d() | Linear():
                self.open[index] = self.weighted(index, op)
            case Rescale():
                stage = self.extended(op.inputs[0])
                stage.tail.append(op)
                self.open[index] = stage
            case Add():
                self.open[index] = self.sum(*op.inputs)
            case HeadMatMul():
                self.product(index, op)
            case Neuron() | Readout():
                self.end(index, op)

    def only_reader(self, index: int) -> bool:
        return len(self.readers[index]) == 1

    def close(self, stage: Stage, index: int) -> None:
        """Append a stage whose row is op `index`, and keep the row as a map."""
        self.stages.append(stage)
        stage.keep = True
        self.views[index] = View(
            "map",
            len(self.stages) - 1,
            stage.out[0],
            stage.out[1:],
            self.bounds[index].high,
            events=self.kinds[index] == "events",
        )

    def view(self, index: int) -> View:
        """What op `index` gives, as data that is there when the next stage runs."""
        if index in self.open:
            self.close(self.open.pop(index), index)
        return self.views[index]

    def extended(self, index: int) -> Stage:
        """A stage whose row is what op `index` gives, for more tail."""
        if index in self.open and self.only_reader(index):
            return self.open.pop(index)
        return self.load(index)

    def sum(self, first: int, second: int) -> Stage:
        """A stage that is open goes on with the other value as its tail, rather one that weighs than one that loads."""
        if self.worth(second) > self.worth(first):
            first, second = second, first
        if first == second:
            self.view(first)
        other = self.plain(self.view(second))
        stage = self.extended(first)
        stage.tail.append(other)
        return stage

    def worth(self, index: int) -> int:
        """How much an open stage would gain from more tail: its row need not be kept."""
        if index not in self.open or not self.only_reader(index):
            return 0
        return 1 if self.open[index].head == "load" else 2

    def load(self, index: int) -> Stage:
        view = self.plain(self.view(index))
        return Stage(
            self.program.label(index) if index >= 0 else "frame", "load", view, _map(self.shape(index))
        )

    def shape(self, index: int) -> Shape:
        return self.shapes[index] if index >= 0 else self.program.input_shape

    def end(self, index: int, op: Neuron | Readout) -> None:
        source = op.inputs[0]
        if source in self.open:
            stage = self.open.pop(source)
            if self.only_reader(source):
                self.stages.append(stage)
            else:
                self.close(stage, source)
        else:
            stage = self.load(source)
            self.stages.append(stage)
        stage.ends = op
        reach = self.bounds[source]
        stage.low, stage.high = reach.low + int(op.bias.min()), reach.high + int(op.bias.max())
        if isinstance(op, Neuron):
            self.views[index] = View("spikes", len(self.stages) - 1, stage.out[0], stage.out[1:], 1, True)

    def or_pool(self, index: int, op: OrPool) -> None:
        view = self.plain(self.view(op.inputs[0]))
        head: Head = "or_pool" if view.source == "spikes" else "max_pool"
        view = view if head == "or_pool" else self.as_map(view)
        stage = Stage(self.program.label(index), head, view, _map(self.shapes[index]))
        stage.window, stage.stride, stage.padding = (op.kernel,) * 2, (op.stride,) * 2, op.padding
        if head == "max_pool":
            self.open[index] = stage
        else:
            self.stages.append(stage)
            self.views[index] = replace(view, stage=len(self.stages) - 1, raw=stage.out[1:])

    def product(self, index: int, op: HeadMatMul) -> None:
        """A product of spikes counts ones of strings; any other runs by its own C."""
        first, second = (self.plain(self.view(source)) for source in op.inputs)
        if first.source != "spikes" or second.source != "spikes":
            self.by_itself(index, op)
            return
        stage = Stage(self.program.label(index), "matmul", first, _map(self.shapes[index]))
        stage.groups, stage.other = op.heads, second
        stage.turned = op.kind == "first", op.kind != "second"
        self.close(stage, index)

    def by_itself(self, index: int, op: Op) -> None:
        """An op by its own C: maps of int32 in and out, or counts as they are stored."""
        views = [self.plain(self.view(source)) for source in op.inputs]
        stage = Stage(self.program.label(index), "own", views[0], _map(self.shapes[index]), other=views[-1])
        inputs = tuple(
            Input(view.source, self.ctype(source), self.shape(source))
            for view, source in zip(views, op.inputs, strict=True)
        )
        stage.own = Own(op, index, inputs, self.shapes[index], self.bounds[index])
        self.close(stage, index)

    def ctype(self, index: int) -> str:
        """C type of what op `index` gives: of currents one that holds their shift as well."""
        if index == FRAME:
            return f"{self.program.input_type}_t"
        return self.bounds[index].storage if self.kinds[index] == "events" else "int32_t"

    def weighted(self, index: int, op: Conv2d | Linear) -> Stage:
        view = self.view(op.inputs[0])
        groups, dilation = getattr(op, "groups", 1), getattr(op, "dilation", 1)
        fast = view.events and groups == dilation == 1 and view.most <= MOST_COUNTED
        if not fast:
            view = self.as_map(self.unpooled(view))
        stage = Stage(self.program.label(index), "sums" if fast else "conv", view, _map(self.shapes[index]))
        stage.weight, stage.shift = op.weight, op.shift
        stage.groups, stage.dilation = groups, dilation
        if isinstance(op, Conv2d):
            stage.codes, stage.stride, stage.padding = op.weight.codes, (op.stride,) * 2, op.padding
        else:
            stage.codes = op.weight.codes.reshape(-1, view.channels, *view.size)  # features are (C, H, W)
        stage.window = (stage.codes.shape[2], stage.codes.shape[3])
        return stage

    def add(
        self, head: Head, name: str, view: View, out: tuple[int, int, int], pool: tuple[int, int]
    ) -> View:
        """A stage that only brings a view to another form."""
        self.stages.append(Stage(name, head, view, out, window=pool, stride=pool, keep=True))
        return View("map", len(self.stages) - 1, out[0], out[1:], view.most, view.events)

    def unpooled(self, view: View) -> View:
        """The same values without a pooling to be done."""
        if view.pool == (1, 1):
            return view
        raw = self.as_map(replace(view, pool=(1, 1), flat=False))
        made = self.add("sum_pool", "sums of windows", raw, (view.channels, *view.size), view.pool)
        return replace(made, most=view.most, flat=view.flat)

    def plain(self, view: View) -> View:
        """The same values, place by place and channel by channel as their op's shape has them."""
        view = self.unpooled(view)
        if not view.flat or view.raw == (1, 1):
            return replace(view, flat=False)
        raw = self.as_map(replace(view, flat=False))
        return self.add("flatten", "flattened", raw, (prod((raw.channels, *raw.raw)), 1, 1), (1, 1))

    def as_map(self, view: View) -> View:
        """The same values as a map, flat or not."""
        if view.source == "map":
            return view
        made = self.add("load", "as a map", replace(view, flat=False), (view.channels, *view.raw), (1, 1))
        return replace(made, flat=view.flat)


def _map(shape: Sequence[int]) -> tuple[int, int, int]:
    """Shape as channels, height and width; a vector has one place."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
