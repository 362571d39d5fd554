"""What the ops write their C into: kernels, constants, state and the step's statements."""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from numpy.typing import NDArray

from rheobase.program.ops.base import Shape

BYTES = {"uint8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4}
TAGS = {"uint8_t": "u8", "uint16_t": "u16", "int16_t": "i16", "int32_t": "i32"}
CTYPES = {"u1": "uint8_t", "i4": "int32_t"}


@dataclass(frozen=True)
class Value:
    """Where an op's result lies while the step runs."""

    expression: str  # C expression of type `ctype *`
    ctype: str
    shape: Shape
    frame_order: bool = False  # [C][H][W] as the caller gave it; otherwise [H][W][C]
    map_shape: Shape = ()  # before a Flatten, which moves nothing
    shift: int = 0  # the value is the stored integer << shift
    buffer: int | None = None  # the scratch buffer it occupies

    def strides(self) -> tuple[int, int, int]:
        """Distance between channels, rows and columns of a map."""
        channels, height, width = self.shape
        return (height * width, width, 1) if self.frame_order else (1, width * channels, channels)


@dataclass
class Emitter:
    """Collects one program's C. An op's `emit` reads `value` and leaves its result there."""

    value: Value
    shape: Shape = ()  # of the op's output
    storage: str = ""  # C type of the op's result, from the interval analysis
    index: int = 0
    label: str = ""
    kernels: dict[str, str] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each constant array
    state: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    buffers: list[dict[str, int]] = field(default_factory=list)  # largest number of elements, by C type
    sums: dict[str, int] = field(default_factory=dict)
    membrane_bytes: int = 0
    neuron_layers: int = 0

    def kernel(self, template: str, name: str, **parameters: Any) -> str:
        """Add a kernel once and return its name."""
        if name not in self.kernels:
            self.kernels[name] = fill(f"kernels/{template}.h", name=name, **parameters)
        return name

    def row_kernel(self, sums: str, bits: int) -> tuple[str, dict[str, Any]]:
        """The kernel that adds one packed weight row, and the parameters that its callers share."""
        parameters = {"sum": sums, "bits": bits, "planes": 8 // bits, "mask": (1 << bits) - 1}
        name = self.kernel("add_row", f"add_row_{TAGS[sums]}_w{bits}", **parameters)
        return name, parameters | {"add_row": name}

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

    def accumulate(self, size: int) -> str:
        """Room for `size` sums of type `storage`, which the kernel clears; return its expression."""
        self.sums[self.storage] = max(size, self.sums.get(self.storage, 0))
        return f"state->sums.{TAGS[self.storage]}"

    def events(self, size: int) -> tuple[str, int]:
        """Room for `size` values of type `storage`, in a buffer that the current value does not occupy."""
        buffer = next((i for i in range(len(self.buffers)) if i != self.value.buffer), len(self.buffers))
        if buffer == len(self.buffers):
            self.buffers.append({})
        self.buffers[buffer][self.storage] = max(size, self.buffers[buffer].get(self.storage, 0))
        return f"state->events{buffer}.{TAGS[self.storage]}", buffer

    def give(self, expression: str, *, shift: int = 0, buffer: int | None = None) -> None:
        """Leave an op's channel-last result of type `storage` and shape `shape` for the next op."""
        self.value = Value(expression, self.storage, self.shape, shift=shift, buffer=buffer)

    def trace(self, spikes: str, size: int) -> None:
        """Show a neuron layer's spikes to whoever traces."""
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
        """Bytes of the buffers that are dead between steps."""
        return sum(_union_bytes(union) for union in [self.sums, *self.buffers])

    def scratch(self) -> list[str]:
        """The buffers as members of the state; each is as large as the largest value it ever holds."""
        unions = [("sums", self.sums), *((f"events{i}", union) for i, union in enumerate(self.buffers))]
        members = [
            " ".join(f"{ctype} {TAGS[ctype]}[{size}];" for ctype, size in union.items())
            for _, union in unions
        ]
        return [
            f"    union {{ {inside} }} {name};" for inside, (name, _) in zip(members, unions, strict=True)
        ]


def _union_bytes(union: dict[str, int]) -> int:
    return max(BYTES[ctype] * size for ctype, size in union.items())


def _rows(values: list[int], length: int) -> list[list[int]]:
    return [values[i : i + length] for i in range(0, len(values), length)]


@cache
def template(name: str) -> Template:
    """A template file of this package."""
    return Template(files("rheobase.program.c99").joinpath(name).read_text())


def fill(path: str, /, **parameters: Any) -> str:
    """A template with its `${parameters}` filled in."""
    return template(path).substitute(parameters)


def byte_rows(data: bytes) -> str:
    """Bytes as the inside of a C array."""
    return ",\n".join("    " + ", ".join(map(str, row)) for row in _rows(list(data), 32))
