"""Maximum over windows: of spikes their OR."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, whole
from rheobase.program.ops.conv2d import windows_of

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

Strides = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class OrPool(Op):
    """Largest input of every window: of spikes their OR, of counts the largest count, of a current the largest current.

    y[c, i, j] = max over u, v < kernel of x[c, stride*i + u - padding, stride*j + v - padding]

    What lies outside the map is left out; it is at most half of a window, so that none is empty.

    Shape: `[C, H, W]` to `[C, (H + 2*padding - kernel) // stride + 1, (W + 2*padding - kernel) // stride + 1]`.
    Raises:
        ProgramError: a field is out of range, or the window is larger than the map.
    """

    kernel: int
    stride: int
    padding: int = 0

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "signed", "current": "current"}

    def __post_init__(self) -> None:
        whole(self.kernel, "OrPool kernel", 1, 255)
        whole(self.stride, "OrPool stride", 1, 255)
        whole(self.padding, "OrPool padding", 0, self.kernel // 2)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) != 3:
            raise ProgramError(f"OrPool needs an input [C, H, W], got {list(shape)}")
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in shape[1:])
        if height < 1 or width < 1:
            raise ProgramError(
                f"OrPool window {self.kernel}x{self.kernel} is larger than its input {list(shape)}"
            )
        return shape[0], height, width

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        edge = (self.padding, self.padding)
        padded = np.pad(x, [(0, 0)] * 3 + [edge, edge], constant_values=np.iinfo(x.dtype).min)
        windows = sliding_window_view(padded, (self.kernel, self.kernel), axis=(3, 4))
        return windows[:, :, :, :: self.stride, :: self.stride].max(axis=(5, 6))

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Those of the input."""
        return Bounds(incoming.low, incoming.high, incoming.magnitude, incoming.storage)

    def work(self, x: NDArray[Any]) -> Work:
        """Each input that is not zero is compared once in every window that holds it."""
        rows, columns = (windows_of(n, self.kernel, self.stride, self.padding) for n in x.shape[3:])
        events = x != 0
        return Work(int(events.sum()), int(rows @ events.sum(axis=(0, 1, 2)) @ columns))

    def macs(self, shape: Shape) -> int:
        """None: a maximum multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Dense maxima; a shift changes no order."""
        x = emitter.value
        emitter.storage = x.ctype
        output = emitter.room()
        channels, _, width = emitter.shape
        self.call(emitter, x.shape, (x.strides(), (1, width * channels, channels)), output)
        emitter.give(output, shift=x.shift)

    def call(self, emitter: "Emitter", shape: Shape, strides: tuple[Strides, Strides], output: str) -> None:
        """Call the kernel on a map of `shape`, with the strides of channels, rows and columns before and after."""
        x = emitter.value
        kernel = emitter.kernel("or_pool", f"or_pool_{emitter.tag(x.ctype)}", value=x.ctype)
        given, made = strides
        sizes = [*shape, *given, *self.output_shape(shape)[1:], *made, self.kernel, self.stride, self.padding]
        emitter.line(f"{kernel}({x.expression}, {output}, {', '.join(map(str, sizes))});")
