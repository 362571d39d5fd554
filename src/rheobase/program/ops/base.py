"""What every op of a program has: shapes, a NumPy reference and a range rule."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

Shape = tuple[int, ...]
Kind = Literal["events", "current", "logits"]  # spikes and counts >= 0; signed sums; the end of the chain
INT32_MAX = (1 << 31) - 1
OPTIONAL = {"optional": True}  # metadata of a field that files leave out where it is None


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest value that an op can give, channel by channel, and what that takes to compute.

    Shape: `low`, `high` are int64 `[C]`, the first axis of the op's output.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    widest: int  # largest magnitude of any integer met while computing the op
    storage: str  # C type that holds the result (for weights: the accumulator, before `shift`)


@dataclass(frozen=True)
class Work:
    """What an op does on given input, in all."""

    events: int = 0  # inputs that are not zero
    accumulates: int = 0  # additions of a weight (or of a 1) for an input of 1
    multiply_accumulates: int = 0  # additions of a weight times an input above 1
    neuron_updates: int = 0
    multiplications: int = 0  # of a sum by its channel's gain, where neurons keep rounded membranes

    @property
    def synaptic_operations(self) -> int:
        """Each non-zero input times its fan-out."""
        return self.accumulates + self.multiply_accumulates


@dataclass(frozen=True, eq=False, kw_only=True)
class Op(ABC):
    """One operation of a program. `name` is a label for messages and reports, usually the module's path."""

    name: str = ""
    consumes: ClassVar[Kind]
    produces: ClassVar[Kind]

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one step's output for one step's input `shape`, both without time and batch.

        Raises:
            ProgramError: the op cannot take this shape.
        """

    @abstractmethod
    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """The reference: integers `[T, N, *shape]` to integers `[T, N, *output_shape]`."""

    @abstractmethod
    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Range of the output for input within `incoming`, over `steps` steps.

        Raises:
            ProgramError: a value does not fit the widest type a program has.
        """

    @abstractmethod
    def emit(self, emitter: "Emitter") -> None:
        """Write the op's C: read `emitter.value`, leave the result there."""

    @abstractmethod
    def work(self, x: NDArray[Any]) -> Work:
        """What the op does on input `[T, N, *shape]`, event by event."""

    @abstractmethod
    def macs(self, shape: Shape) -> int:
        """Multiplications of a dense network's same layer in one pass over `shape`, padding included."""


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
    return "uint8_t" if int(high.max()) <= 255 else "uint16_t"
