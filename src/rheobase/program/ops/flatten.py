"""Feature maps to one vector."""

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Flatten(Op):
    """Maps read channel by channel, row by row, as torch's `flatten` does: `y[(c*H + i)*W + j] = x[c, i, j]`.

    Shape: `[C, H, W]` to `[C*H*W]`.
    Raises:
        ProgramError: the input is not `[C, H, W]`.
    """

    consumes: ClassVar[Kind] = "events"
    produces: ClassVar[Kind] = "events"

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
        """Moves nothing: the Linear that follows has its rows in the order of the map."""
        emitter.value = replace(emitter.value, shape=emitter.shape, map_shape=emitter.value.shape)
