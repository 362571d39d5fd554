"""Two values joined: where a residual branch meets its shortcut."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, storage_like

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Sum of two values of one kind and shape: spikes and counts give counts, currents (in one unit) a current.

    y = a + b

    Shape: `[C, H, W]` or `[K]`, twice, to the same.
    Raises:
        ProgramError: the shapes differ.
    """

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "events",
        "signed": "signed",
        "current": "current",
    }
    arity: ClassVar[int] = 2

    def output_shape(self, first: Shape, second: Shape) -> Shape:
        """See the class."""
        if first != second:
            raise ProgramError(f"Add reads {list(first)} and {list(second)}; both must have one shape")
        return first

    def run(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return first.astype(np.int64) + second

    def bounds(self, first: Bounds, second: Bounds, shape: Shape, _: Shape, steps: int) -> Bounds:
        """The sums of the ends."""
        low, high = first.low + second.low, first.high + second.high
        widest = max(int(np.abs(low).max()), int(np.abs(high).max()))
        return Bounds(low, high, widest, storage_like(first, low, high))

    def work(self, first: NDArray[Any], second: NDArray[Any]) -> Work:
        """Each input that is not zero is one addition."""
        events = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
        return Work(events, events)

    def macs(self, first: Shape, second: Shape) -> int:
        """None."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """One pass over both, in the place of one that nobody reads later."""
        first, second = emitter.inputs
        types = [first.ctype, second.ctype, emitter.storage]
        kernel = emitter.kernel(
            "add",
            "_".join(["add", *map(emitter.tag, types)]),
            first=types[0],
            second=types[1],
            sum=types[2],
        )
        output = emitter.room(over=[first, second])
        size, channels = prod(emitter.shape), emitter.shape[0]
        numbers = [
            size // channels,
            channels,
            *first.pitch,
            1 << first.shift,
            *second.pitch,
            1 << second.shift,
        ]
        emitter.line(
            f"{kernel}({first.expression}, {second.expression}, {output}, {', '.join(map(str, numbers))});"
        )
        emitter.give(output)
