"""Sum over the channels of each attention head."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, storage_like, whole

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class HeadSum(Op):
    """Sum within heads: spikes and counts give counts, a current gives a current.

    y[h, i, j] = sum over c < C / heads of x[h * (C / heads) + c, i, j]

    Shape: `[C, H, W]` to `[heads, H, W]`.
    Raises:
        ProgramError: the heads do not divide the channels.
    """

    heads: int

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "signed", "current": "current"}

    def __post_init__(self) -> None:
        whole(self.heads, "HeadSum heads", 1, 65535)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) != 3 or shape[0] % self.heads:
            raise ProgramError(
                f"HeadSum needs an input [C, H, W] with C a multiple of {self.heads}, got {list(shape)}"
            )
        return self.heads, shape[1], shape[2]

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return x.reshape(*x.shape[:2], self.heads, -1, *x.shape[3:]).sum(axis=3, dtype=np.int64)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Every channel of a head at its end of the range."""
        low = np.minimum(incoming.low, 0).reshape(self.heads, -1).sum(axis=1)
        high = np.maximum(incoming.high, 0).reshape(self.heads, -1).sum(axis=1)
        widest = max(int(-low.min()), int(high.max()))
        return Bounds(low, high, widest, storage_like(incoming, low, high))

    def work(self, x: NDArray[Any]) -> Work:
        """Each input that is not zero is one addition."""
        events = int(np.count_nonzero(x))
        return Work(events, events)

    def macs(self, shape: Shape) -> int:
        """None: a sum multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Dense sums."""
        x = emitter.value
        name = f"head_sum_{emitter.tag(x.ctype)}_{emitter.tag(emitter.storage)}"
        kernel = emitter.kernel("head_sum", name, **{"in": x.ctype, "out": emitter.storage})
        output = emitter.room()
        numbers = [prod(x.shape[1:]), self.heads, x.shape[0] // self.heads, *x.pitch]
        emitter.line(f"{kernel}({x.expression}, {output}, {', '.join(map(str, numbers))});")
        emitter.give(output, shift=x.shift)
