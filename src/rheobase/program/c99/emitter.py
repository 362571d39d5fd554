"""What the ops write their C into: kernels, constants, state and the step's statements."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import prod
from string import Template
from typing import Any

from numpy.typing import NDArray

from rheobase.program.c99.arena import Block, plan
from rheobase.program.ops.base import Op, Shape

BYTES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "uint32_t": 4, "int16_t": 2, "int32_t": 4}
TAGS = {
    "uint8_t": "u8",
    "int8_t": "i8",
    "uint16_t": "u16",
    "uint32_t": "u32",
    "int16_t": "i16",
    "int32_t": "i32",
}
CTYPES = {"u1": "uint8_t", "u2": "uint16_t", "u4": "uint32_t", "i4": "int32_t"}


@dataclass(frozen=True)
class Value:
    """Where an op's result lies while the step runs."""

    expression: str  # C expression of type `ctype *`
    ctype: str
    shape: Shape
    frame_order: bool = False  # [C][H][W] as the caller gave it; otherwise [H][W][C]
    map_shape: Shape = ()  # before a Flatten that moved nothing; Linear alone reads such a value
    shift: int = 0  # the value is the stored integer << shift
    block: Block | None = None  # the part of the scratch memory that it occupies; None: the frame
    by_row: str = ""  # statement that computes row `row` of it; `expression` then has room for that row alone

    @property
    def pitch(self) -> tuple[int, int]:
        """Distance between places of a map, in the order of its rows, and between channels."""
        return (1, prod(self.shape[1:])) if self.frame_order else (self.shape[0], 1)

    def strides(self) -> tuple[int, int, int]:
        """Distance between channels, rows and columns of a map."""
        channels, height, width = self.shape
        return (height * width, width, 1) if self.frame_order else (1, width * channels, channels)


@dataclass
class Emitter:
    """Collects one program's C. An op's `emit` reads `inputs`, writes statements and `give`s its result."""

    inputs: Sequence[Value] = ()
    readers: Sequence[Op] = ()  # of the op's result
    rows: bool = False  # whether the op may leave its map row by row, to the one op that reads it
    last: int = 0  # place of the last of them in the program
    result: Value | None = None
    shape: Shape = ()  # of the op's output
    storage: str = ""  # C type of the op's result, from the interval analysis
    product: int = 0  # the largest product in it that may pass 32 bits
    index: int = 0
    label: str = ""
    highs: tuple[int, ...] = ()  # largest values of the op's inputs
    rate: float | None = None  # share of them that is not zero, where it is known
    kernels: dict[str, str] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each constant array
    state: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    pointers: list[tuple[str, str, Block]] = field(default_factory=list)  # name, C type, where it points
    membrane_bytes: int = 0
    neuron_layers: int = 0

    @property
    def value(self) -> Value:
        """The op's first input, for ops that have one."""
        return self.inputs[0]

    def kernel(self, template: str, name: str, **parameters: Any) -> str:
        """Add a kernel once and return its name."""
        if name not in self.kernels:
            self.kernels[name] = fill(f"kernels/{template}.h", name=name, **parameters)
        return name

    def row_kernel(self, sums: str, bits: int, part: str = "row") -> tuple[str, dict[str, Any]]:
        """The kernel that adds one packed weight row, or a part of one, and the parameters that its callers share."""
        parameters = {"sum": sums, "bits": bits, "planes": 8 // bits, "mask": (1 << bits) - 1}
        name = self.kernel(f"add_{part}", f"add_{part}_{TAGS[sums]}_w{bits}", **parameters)
        return name, parameters | {f"add_{part}": name}

    def constant(self, what: str, array: NDArray[Any]) -> str:
        """Add a constant array and return its name."""
        name = f"{what}{self.index}"
        ctype = CTYPES[array.dtype.str[1:]]
        rows = [", ".join(map(str, row)) for row in _rows(array.ravel().tolist(), 24)]
        self.constants.append(
            f"static const {ctype} {name}[{array.size}] = {{ /* {self.label} */\n    "
            + ",\n    ".join(rows)
            + "\n};"
        )
        self.sizes[name] = array.nbytes
        return name

    def membranes(self, ctype: str, size: int) -> str:
        """Add an array that lives from step to step, cleared by reset; return its expression."""
        name = f"v{self.index}"
        self.keep(ctype, name, size)
        return f"state->{name}"

    def keep(self, ctype: str, name: str, size: int) -> None:
        """Add an array of this name to the state."""
        self.state.append(f"    {ctype} {name}[{size}]; /* {self.label} */")
        self.cleared.append(f"    memset(state->{name}, 0, sizeof state->{name});")
        self.membrane_bytes += size * BYTES[ctype]

    def temporary(self, what: str, ctype: str, size: int) -> str:
        """Scratch room that is dead after the op, asked for before the result's; return its expression."""
        name = f"{what}{self.index}"
        self.pointers.append((name, ctype, Block(size * BYTES[ctype], self.index, self.index)))
        return name

    def room(self, over: Sequence[Value] = ()) -> str:
        """Scratch room for the op's result, `shape` of type `storage`; return its expression.

        The room of a value in `over` is used again where nobody reads it later and its elements are as wide.
        """
        name, width = f"x{self.index}", BYTES[self.storage]
        block = Block(prod(self.shape) * width, self.index)
        for value in over:
            if value.block is not None and value.block.last == self.index and BYTES[value.ctype] == width:
                block = value.block
        self.pointers.append((name, self.storage, block))
        return name

    def row_room(self, inputs: Sequence[str] = ()) -> str:
        """Scratch room for one row of the op's result; what computes it (its input, temporaries) lives on until it is read.

        `inputs` names the temporaries.
        """
        _, _, width = self.shape
        block = Block(width * self.shape[0] * BYTES[self.storage], self.index)
        kept = [other for name, _, other in self.pointers if name in inputs]
        for other in [*kept, *(value.block for value in self.inputs if value.block is not None)]:
            other.last = max(other.last, self.last)
        self.pointers.append((f"x{self.index}", self.storage, block))
        return f"x{self.index}"

    def give_rows(self, statement: str, expression: str, *, shift: int) -> None:
        """Leave a map whose rows `statement` computes, one at a time, for the one op that reads it."""
        block = self.pointers[-1][2]
        self.alias(
            Value(expression, self.storage, self.shape, shift=min(shift, 30), block=block, by_row=statement)
        )

    def update(self, kernel: str, kept: str, pitch: int, spikes: str, numbers: Sequence[object]) -> None:
        """Call a neuron's kernel on all places of the op's map, or on one row after another as the sums of each are there.

        `pitch` is the length of a row in `kept`, what the neurons keep between steps.
        """
        x, channels = self.value, self.shape[0]
        more = ", ".join(map(str, numbers))
        if not x.by_row:
            self.line(
                f"{kernel}({kept}, {x.expression}, {spikes}, {prod(self.shape[1:])}, {channels}, {more});"
            )
            return
        _, height, width = self.shape
        places = f"{spikes} + row * {width * channels}, {width}, {channels}"
        call = f"{kernel}({kept} + row * {pitch}, {x.expression}, {places}, {more});"
        self.by_rows(height, x.by_row, call)

    def by_rows(self, height: int, *statements: str) -> None:
        """Statements for one row of a map after another; gathering convolutions count in `listed`."""
        listed = ", listed = 0" if any("&listed" in statement for statement in statements) else ""
        self.steps += [
            "    {",
            f"        int32_t row{listed};",
            f"        for (row = 0; row < {height}; ++row) {{",
            *(f"            {statement}" for statement in statements),
            "        }",
            "    }",
        ]

    def give(self, expression: str, *, shift: int = 0) -> None:
        """Leave an op's channel-last result of type `storage` and shape `shape` for its readers.

        Where an integer of 31 bits has been shifted by more than 30, it is 0.
        """
        block = self.pointers[-1][2]
        self.alias(Value(expression, self.storage, self.shape, shift=min(shift, 30), block=block))

    def alias(self, value: Value) -> None:
        """Leave a value that lies where another one does."""
        if value.block is not None:
            value.block.last = max(value.block.last, self.last)
        self.result = value

    def trace(self, spikes: str, size: int) -> None:
        """Show a neuron layer's spikes, as bytes, to whoever traces."""
        spikes = f"(const uint8_t *){spikes}" if self.storage == "int8_t" else spikes
        self.steps += [
            "#ifdef RHEOBASE_TRACE",
            "    if (state->trace) {",
            f"        state->trace(state->trace_user, {self.neuron_layers}, {spikes}, {size});",
            "    }",
            "#endif",
        ]
        self.neuron_layers += 1

    @staticmethod
    def tag(ctype: str) -> str:
        """Short form of a C type for names."""
        return TAGS[ctype]

    def line(self, statement: str) -> None:
        """Add a statement to the step."""
        self.steps.append(f"    {statement}")

    def scratch_bytes(self) -> int:
        """Bytes of the memory that is dead between steps."""
        return plan([block for _, _, block in self.pointers])

    def scratch(self) -> tuple[str, list[str]]:
        """The scratch memory as a member of the state, and the pointers into it that a step starts with."""
        total = self.scratch_bytes()
        types = sorted({ctype for _, ctype, _ in self.pointers}, key=lambda ctype: (BYTES[ctype], ctype))
        members = " ".join(f"{ctype} {TAGS[ctype]}[{-(-total // BYTES[ctype])}];" for ctype in types)
        pointers = [
            f"    {ctype} *const {name} = state->scratch.{TAGS[ctype]} + {block.offset // BYTES[ctype]};"
            for name, ctype, block in self.pointers
        ]
        return f"    union {{ {members} }} scratch; /* dead between steps */", pointers


def _rows(values: list[int], length: int) -> list[list[int]]:
    return [values[i : i + length] for i in range(0, len(values), length)]


@cache
def template(name: str) -> Template:
    """A template file of this package."""
    return Template(files("rheobase.program.c99").joinpath(name).read_text())


def fill(path: str, /, **parameters: Any) -> str:
    """A template with its `${parameters}` filled in."""
    return template(path).substitute(parameters)


def number_rows(numbers: NDArray[Any]) -> str:
    """Integers as the inside of a C array."""
    return ",\n".join("    " + ", ".join(map(str, row)) for row in _rows(numbers.ravel().tolist(), 32))
