"""The channels of two values as those of one."""

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
class Concat(Op):
    """The channels of one value, then those of another of the same kind.

    y[c] = a[c] for c < A, b[c - A] otherwise

    Shape: `[A, H, W]` and `[B, H, W]` to `[A + B, H, W]`, or vectors `[A]` and `[B]` to `[A + B]`.
    Raises:
        ProgramError: the shapes differ in more than their channels.
    """

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "signed", "current": "current"}
    arity: ClassVar[int] = 2

    def output_shape(self, first: Shape, second: Shape) -> Shape:
        """See the class."""
        if first[1:] != second[1:]:
            raise ProgramError(
                f"Concat reads {list(first)} and {list(second)}; both must agree in all but their channels"
            )
        return first[0] + second[0], *first[1:]

    def run(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return np.concatenate([first, second], axis=2)

    def bounds(self, first: Bounds, second: Bounds, *shapes: Shape, steps: int) -> Bounds:
        """Each channel's own."""
        low, high = (np.concatenate(ends) for ends in ((first.low, second.low), (first.high, second.high)))
        return Bounds(low, high, max(first.magnitude, second.magnitude), storage_like(first, low, high))

    def work(self, first: NDArray[Any], second: NDArray[Any]) -> Work:
        """Nothing is computed."""
        return Work(int(np.count_nonzero(first)) + int(np.count_nonzero(second)))

    def macs(self, first: Shape, second: Shape) -> int:
        """None."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Each input is copied into its channels."""
        output = emitter.room()
        before, places = 0, prod(emitter.shape[1:])
        for x in emitter.inputs:
            name = f"concat_{emitter.tag(x.ctype)}_{emitter.tag(emitter.storage)}"
            kernel = emitter.kernel("concat", name, **{"in": x.ctype, "out": emitter.storage})
            numbers = [places, x.shape[0], emitter.shape[0], *x.pitch, 1 << x.shift]
            emitter.line(f"{kernel}({x.expression}, {output} + {before}, {', '.join(map(str, numbers))});")
            before += x.shape[0]
        emitter.give(output)
