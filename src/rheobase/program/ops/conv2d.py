"""Convolution of spikes or counts with integer weights."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, accumulator, exact_float, whole
from rheobase.program.weight import Weight

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """Two-dimensional cross-correlation, as torch's, of non-negative integers.

    y[o, i, j] = 2^shift * sum over c, u, v of w[o, c, u, v] * x[c, s*i + u - p, s*j + v - p]

    with stride s and padding p; outside its map x is 0.

    Shape: `[Cin, H, W]` to `[Cout, (H + 2*padding - kh) // stride + 1, (W + 2*padding - kw) // stride + 1]`.
    Raises:
        ProgramError: a field or the input's shape cannot be used.
    """

    weight: Weight
    stride: int = 1
    padding: int = 0
    shift: int = 0
    groups: int = 1

    consumes: ClassVar[Kind] = "events"
    produces: ClassVar[Kind] = "current"

    def __post_init__(self) -> None:
        if len(self.weight.shape) != 4:
            raise ProgramError(f"Conv2d needs weights [Cout, Cin, kh, kw], got {list(self.weight.shape)}")
        whole(self.stride, "Conv2d stride", 1, 255)
        whole(self.padding, "Conv2d padding", 0, 255)
        whole(self.shift, "Conv2d shift", 0, 15)
        if self.groups != 1:
            raise ProgramError(f"Conv2d with groups={self.groups} is not in program version 1; use groups=1")

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        out, channels, kh, kw = self.weight.shape
        if len(shape) != 3 or shape[0] != channels:
            raise ProgramError(f"Conv2d has weights for [{channels}, H, W], but its input is {list(shape)}")
        height, width = (
            (n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(shape[1:], (kh, kw), strict=True)
        )
        if height < 1 or width < 1:
            raise ProgramError(f"Conv2d kernel {kh}x{kw} is larger than its padded input {list(shape)}")
        return out, height, width

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class; exact: the matrix product runs in a float that holds every partial sum."""
        values = self.weight.values()
        largest = int(np.abs(values).sum(axis=(1, 2, 3)).max()) * int(x.max(initial=0))
        return convolve(x, values, self.stride, self.padding, exact_float(largest)) * (1 << self.shift)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Positive weights on the largest input, negative ones on none; exact at the borders as well."""
        values = self.weight.values()
        full = np.broadcast_to(incoming.high[:, None, None], shape)[None, None]
        reach = [
            convolve(full, part, self.stride, self.padding, np.float64)[0, 0]
            for part in (np.minimum(values, 0), np.maximum(values, 0))
        ]
        return weighted_bounds(
            reach[0].min(axis=(1, 2)), reach[1].max(axis=(1, 2)), self.weight, self.shift, incoming
        )

    def work(self, x: NDArray[Any]) -> Work:
        """Each event reaches the outputs whose window holds it; windows outside the map do not count."""
        rows, columns = (self.reach(x.shape[axis], axis - 1) for axis in (3, 4))
        ones, many = (int(rows @ part.sum(axis=(0, 1, 2)) @ columns) for part in (x == 1, x > 1))
        outs = self.weight.shape[0]
        return Work(int(np.count_nonzero(x)), ones * outs, many * outs)

    def reach(self, size: int, axis: int) -> NDArray[np.int64]:
        """Number of outputs along one axis that each input position touches.

        Output o holds input y when `0 <= y + padding - stride*o < k`, so `o` runs from
        `ceil((y + padding - k + 1) / stride)` to `(y + padding) // stride`, both cut at the map.

        Shape: int64 `[size]`.
        """
        kernel = self.weight.shape[axis]
        outs = (size + 2 * self.padding - kernel) // self.stride + 1
        at = np.arange(size) + self.padding
        first = np.maximum(-((kernel - 1 - at) // self.stride), 0)
        last = np.minimum(at // self.stride, outs - 1)
        return np.maximum(last - first + 1, 0)

    def macs(self, shape: Shape) -> int:
        """One for each output and weight of its window."""
        return prod(self.output_shape(shape)) * prod(self.weight.shape[1:])

    def emit(self, emitter: "Emitter") -> None:
        """Scatter: every event adds packed weight rows to the accumulator."""
        x = emitter.value
        out, height, width = emitter.shape
        row, parameters = emitter.row_kernel(emitter.storage, self.weight.bits)
        emitter.kernel("conv2d_shape", "conv2d_shape")
        name = row.replace("add_row", f"conv2d_{emitter.tag(x.ctype)}")
        kernel = emitter.kernel("conv2d", name, **parameters, **{"in": x.ctype})
        weights = emitter.constant("weights", self.weight.packed())
        kh, kw = self.weight.shape[2:]
        sizes = [*x.shape, *x.strides(), out, height, width, kh, kw, self.stride, self.padding]
        numbers = ", ".join(map(str, [*sizes, self.weight.step, self.weight.offset]))
        emitter.constants.append(f"static const conv2d_shape shape{emitter.index} = {{{numbers}}};")
        sums = emitter.accumulate(out * height * width)
        emitter.line(f"{kernel}({x.expression}, {sums}, {weights}, &shape{emitter.index});")
        emitter.give(sums, shift=self.shift)


def convolve(
    x: NDArray[Any], values: NDArray[np.int64], stride: int, padding: int, kind: type[Any]
) -> NDArray[np.int64]:
    """Convolution by one matrix product over windows, computed in `kind`.

    Shape: `[T, N, Cin, H, W]` to int64 `[T, N, Cout, H', W']`.
    """
    out, channels, kh, kw = values.shape
    flat = x.reshape(-1, *x.shape[2:]).astype(kind)
    flat = np.pad(flat, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(flat, (kh, kw), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]  # [B, Cin, H', W', kh, kw]
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels * kh * kw)
    product = columns @ values.reshape(out, -1).astype(kind).T  # [B*H'*W', Cout]
    result = product.reshape(len(flat), *windows.shape[2:4], out).transpose(0, 3, 1, 2)
    return result.astype(np.int64).reshape(*x.shape[:2], *result.shape[1:])


def weighted_bounds(
    low: NDArray[np.int64], high: NDArray[np.int64], weight: Weight, shift: int, incoming: Bounds
) -> Bounds:
    """Bounds of `sum(w * x) << shift` from the bounds of the sum.

    Partial sums stay within `low..high` in any order, because the inputs are not negative. `widest` covers as
    well the two products that decode one weight, `step * x * code` and `offset * x`.
    """
    top = (1 << weight.bits) - 1
    decode = (abs(weight.step) * top + abs(weight.offset)) * int(incoming.high.max())
    scale = 1 << shift
    widest = max(int(-low.min()) * scale, int(high.max()) * scale, decode)
    return Bounds(low * scale, high * scale, widest, accumulator(low, high))
