"""Sum over windows: average pooling whose division is left to the next layer's scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, storage_like, whole

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class SumPool(Op):
    """Sum of non-overlapping `kernel` x `kernel` windows; `kernel=None` sums the whole map.

    y[c, i, j] = sum over u, v < kernel of x[c, kernel*i + u, kernel*j + v]

    Spikes and counts give counts, a current gives a current. Rows and columns that do not fill a window are left
    out, as torch's average pooling leaves them out.

    Shape: `[C, H, W]` to `[C, H // kernel, W // kernel]`, or `[C, 1, 1]`.
    Raises:
        ProgramError: the kernel is larger than the map.
    """

    kernel: int | None

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "events",
        "signed": "signed",
        "current": "current",
    }

    def __post_init__(self) -> None:
        if self.kernel is not None:
            whole(self.kernel, "SumPool kernel", 1, 255)

    def window(self, shape: Shape) -> tuple[int, int]:
        """Height and width of a window on an input of `shape`."""
        return (shape[1], shape[2]) if self.kernel is None else (self.kernel, self.kernel)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) != 3:
            raise ProgramError(f"SumPool needs an input [C, H, W], got {list(shape)}")
        high, wide = self.window(shape)
        if high > shape[1] or wide > shape[2]:
            raise ProgramError(f"SumPool window {high}x{wide} is larger than its input {list(shape)}")
        return shape[0], shape[1] // high, shape[2] // wide

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        high, wide = self.window(x.shape[2:])
        channels, rows, columns = self.output_shape(x.shape[2:])
        cut = x[..., : rows * high, : columns * wide]
        return cut.reshape(*x.shape[:2], channels, rows, high, columns, wide).sum(axis=(4, 6), dtype=np.int64)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Every input of a window at its end of the range."""
        high, wide = self.window(shape)
        least, most = (
            np.minimum(incoming.low, 0) * (high * wide),
            np.maximum(incoming.high, 0) * (high * wide),
        )
        widest = max(int(-least.min()), int(most.max()))
        return Bounds(least, most, widest, storage_like(incoming, least, most))

    def work(self, x: NDArray[Any]) -> Work:
        """Each event inside a window is one addition, whatever its count."""
        high, wide = self.window(x.shape[2:])
        _, rows, columns = self.output_shape(x.shape[2:])
        inside = int(np.count_nonzero(x[..., : rows * high, : columns * wide]))
        return Work(int(np.count_nonzero(x)), inside)

    def macs(self, shape: Shape) -> int:
        """None: a sum multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Dense sums."""
        x = emitter.value
        name = f"sum_pool_{emitter.tag(x.ctype)}_{emitter.tag(emitter.storage)}"
        kernel = emitter.kernel("sum_pool", name, **{"in": x.ctype, "out": emitter.storage})
        output = emitter.room()
        numbers = ", ".join(map(str, [*x.strides(), *emitter.shape, *self.window(x.shape)]))
        emitter.line(f"{kernel}({x.expression}, {output}, {numbers});")
        emitter.give(output, shift=x.shift)
