"""Feature maps to one vector."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work
from rheobase.program.ops.linear import Linear

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Flatten(Op):
    """Maps read channel by channel, row by row, as torch's `flatten` does: `y[(c*H + i)*W + j] = x[c, i, j]`.

    Shape: `[C, H, W]` to `[C*H*W]`.
    Raises:
        ProgramError: the input is not `[C, H, W]`.
    """

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "events",
        "signed": "signed",
        "current": "current",
    }

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) != 3:
            raise ProgramError(f"Flatten needs an input [C, H, W], got {list(shape)}")
        return (prod(shape),)

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return x.reshape(*x.shape[:2], prod(x.shape[2:]))

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Each channel's range at each of its places."""
        spread = [np.repeat(ends, shape[1] * shape[2]) for ends in (incoming.low, incoming.high)]
        return Bounds(spread[0], spread[1], incoming.widest, incoming.storage)

    def work(self, x: NDArray[Any]) -> Work:
        """Nothing is computed."""
        return Work(int(np.count_nonzero(x)))

    def macs(self, shape: Shape) -> int:
        """None."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Moves nothing where the order is the same, or only Linear reads it, whose rows then follow the map."""
        x = emitter.value
        channels, height, width = x.shape
        same = x.frame_order or channels == 1 or height * width == 1
        if same or all(isinstance(op, Linear) for op in emitter.readers):
            emitter.alias(
                replace(x, shape=emitter.shape, map_shape=() if same else x.shape, frame_order=False)
            )
            return
        kernel = emitter.kernel("flatten", f"flatten_{emitter.tag(x.ctype)}", value=x.ctype)
        emitter.storage = x.ctype
        output = emitter.room()
        emitter.line(f"{kernel}({x.expression}, {output}, {height * width}, {channels});")
        emitter.give(output, shift=x.shift)
