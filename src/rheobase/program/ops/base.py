"""What every op of a program has: shapes, a NumPy reference and a range rule."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

Shape = tuple[int, ...]
# spikes and counts >= 0; ternary spikes and sums of them; weighted sums; the end of the program
Kind = Literal["events", "signed", "current", "logits"]
INT32_MAX = (1 << 31) - 1
MOST_STEPS = 65535  # of a program
OPTIONAL = {"optional": True}  # metadata of a field that files leave out where it has its default


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest value that an op can give, channel by channel, and what that takes to compute.

    Events are stored in unsigned types, signed events in int8 where they fit, currents in signed types of 16 bits and more.

    Shape: `low`, `high` are int64 `[C]`, the first axis of the op's output.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    widest: int  # largest magnitude of any integer met while computing the op
    storage: str  # C type that holds the result (for weights: the accumulator, before `shift`)
    product: int = 0  # largest magnitude of a product that may pass 32 bits

    @property
    def counts(self) -> bool:
        """Whether these are events that are never negative."""
        return self.storage.startswith("u")

    @property
    def magnitude(self) -> int:
        """Largest magnitude of the result."""
        return max(int(np.abs(self.low).max()), int(np.abs(self.high).max()))


@dataclass(frozen=True)
class Work:
    """What an op does on given input, in all."""

    events: int = 0  # inputs that are not zero
    accumulates: int = 0  # additions or subtractions of a weight (or of a 1) for an input of 1 or -1
    multiply_accumulates: int = 0  # additions of a weight times a larger input
    neuron_updates: int = 0
    multiplications: int = 0  # of a sum by its channel's gain

    @property
    def synaptic_operations(self) -> int:
        """Each non-zero input times its fan-out."""
        return self.accumulates + self.multiply_accumulates


@dataclass(frozen=True, eq=False, kw_only=True)
class Op(ABC):
    """One operation of a program. `name` is a label for messages and reports, usually the module's path.

    `inputs` are the ops whose results it reads, by their place in the program, earlier than its own; -1 is the
    frame. Empty stands for the op before, and is filled in by the program. Methods take one array, shape or
    range for each input.
    """

    name: str = ""
    inputs: tuple[int, ...] = ()
    kinds: ClassVar[Mapping[Kind, Kind]]  # what it gives, by what it takes; all inputs are of one kind
    arity: ClassVar[int] = 1

    def output_kind(self, *kinds: Kind) -> Kind:
        """Kind of the output for inputs of these kinds.

        Raises:
            ProgramError: another number of inputs, or a kind that the op cannot take.
        """
        if len(kinds) != self.arity:
            raise ProgramError(
                f"{type(self).__name__} reads {self.arity} values, its inputs are {len(kinds)}"
            )
        if len(set(kinds)) > 1 or kinds[0] not in self.kinds:
            given, taken = " and ".join(kinds), " or ".join(self.kinds)
            raise ProgramError(
                f"{type(self).__name__} takes {taken}, but what it reads gives {given} (Conv2d, Linear and Rescale "
                "turn events into current, Neuron turns current into events; signed events are ternary spikes and int8 frames)"
            )
        return self.kinds[kinds[0]]

    @property
    def most_steps(self) -> int:
        """Steps that it can run from a reset on."""
        return MOST_STEPS

    @abstractmethod
    def output_shape(self, *shapes: Any, **_: Any) -> Shape:
        """Shape of one step's output for one step's inputs of `shapes`, all without time and batch.

        Raises:
            ProgramError: the op cannot take these shapes.
        """

    @abstractmethod
    def run(self, *inputs: Any, **_: Any) -> NDArray[Any]:
        """The reference: integers `[T, N, *shape]` to integers `[T, N, *output_shape]`."""

    @abstractmethod
    def bounds(self, *incoming: Any, **steps: Any) -> Bounds:
        """Range of the output over `steps` steps: takes the bounds of each input, then the shape of each.

        Raises:
            ProgramError: a value does not fit the widest type a program has.
        """

    @abstractmethod
    def emit(self, emitter: "Emitter") -> None:
        """Write the op's C: read `emitter.inputs`, `give` the result."""

    @abstractmethod
    def work(self, *inputs: Any, **_: Any) -> Work:
        """What the op does on inputs `[T, N, *shape]`, event by event."""

    @abstractmethod
    def macs(self, *shapes: Any, **_: Any) -> int:
        """Multiplications of a dense network's same layer in one pass over `shapes`, padding included."""


class Firing(Op):
    """An op whose result are the spikes of neurons, which traces show and costs count."""

    @property
    def spike_type(self) -> type[np.uint8] | type[np.int8]:
        """NumPy type of the spikes."""
        return np.uint8

    def follows_rows(self, shape: Shape) -> bool:
        """Whether C may compute it on one row of its input, a map of `shape`, after another."""
        return False


def whole(value: object, what: str, low: int, high: int) -> int:
    """`value` if it is an integer within `low..high`.

    Raises:
        ProgramError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= int(value) <= high:
        raise ProgramError(f"{what} must be an integer in {low}..{high}, got {value!r}")
    return int(value)


def int32_vector(value: object, what: str) -> NDArray[np.int32]:
    """Read-only int32 copy of a one-dimensional integer array.

    Raises:
        ProgramError: another type, shape or range.
    """
    array = np.asarray(value)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ProgramError(f"{what} must be a 1-d integer array, got {array.dtype} {list(array.shape)}")
    if int(array.max()) > INT32_MAX or int(array.min()) < -INT32_MAX:
        raise ProgramError(f"{what} must fit 32 bits, got {int(array.min())}..{int(array.max())}")
    copy = array.astype(np.int32)
    copy.setflags(write=False)
    return copy


def magnitude(x: NDArray[Any]) -> int:
    """Largest |value| of an integer array; 0 where it is empty."""
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))


def exact_float(largest: int) -> type[np.floating[Any]] | type[np.int64]:
    """Fastest type whose matrix product is exact when every partial sum is at most `largest`."""
    if largest < 1 << 24:
        return np.float32
    return np.float64 if largest < 1 << 53 else np.int64


def accumulator(low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
    """C type of an accumulator whose partial sums stay within `low..high`."""
    return "int16_t" if int(low.min()) >= -32768 and int(high.max()) <= 32767 else "int32_t"


def counter(high: NDArray[np.int64]) -> str:
    """C type of a count that reaches `high`."""
    most = int(high.max())
    return "uint8_t" if most <= 255 else "uint16_t" if most <= 65535 else "uint32_t"


def storage_like(incoming: Bounds, low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
    """C type of a value within `low..high` of the kind of `incoming`."""
    if incoming.counts:
        return counter(high)
    fits = incoming.storage == "int8_t" and int(low.min()) >= -128 and int(high.max()) <= 127
    return "int8_t" if fits else accumulator(low, high)
