"""Convolution with integer weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import (
    OPTIONAL,
    Bounds,
    Kind,
    Op,
    Shape,
    Work,
    accumulator,
    exact_float,
    magnitude,
    whole,
)
from rheobase.program.weight import Weight

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """Two-dimensional cross-correlation, as torch's, of spikes, counts or a current.

    y[o, i, j] = 2^shift * sum over c, u, v of w[o, c, u, v] * x[first + c, s*i + d*u - p, s*j + d*v - p]

    with stride s, padding p and dilation d; outside its map x is 0. With `groups` G, outputs and inputs are cut into G equal
    parts, and output o reads its own: first = floor(o / (Cout / G)) * (Cin / G). G = Cin is a depthwise convolution.

    Shape: `[Cin, H, W]` to `[Cout, H', W']`, `H' = (H + 2*padding - dilation*(kh - 1) - 1) // stride + 1`, W' likewise;
    weights `[Cout, Cin / G, kh, kw]`.
    Raises:
        ProgramError: a field or the input's shape cannot be used.
    """

    weight: Weight
    stride: int = 1
    padding: int = 0
    shift: int = 0
    groups: int = 1
    dilation: int = field(default=1, kw_only=True, metadata=OPTIONAL)

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "current",
        "signed": "current",
        "current": "current",
    }

    def __post_init__(self) -> None:
        if len(self.weight.shape) != 4:
            raise ProgramError(f"Conv2d needs weights [Cout, Cin, kh, kw], got {list(self.weight.shape)}")
        whole(self.stride, "Conv2d stride", 1, 255)
        whole(self.padding, "Conv2d padding", 0, 255)
        whole(self.shift, "Conv2d shift", 0, 15)
        whole(self.groups, "Conv2d groups", 1, 65535)
        whole(self.dilation, "Conv2d dilation", 1, 255)
        if self.weight.shape[0] % self.groups:
            raise ProgramError(
                f"Conv2d has {self.weight.shape[0]} outputs, which groups={self.groups} does not divide"
            )

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        out, part, kh, kw = self.weight.shape
        channels = part * self.groups
        if len(shape) != 3 or shape[0] != channels:
            raise ProgramError(f"Conv2d has weights for [{channels}, H, W], but its input is {list(shape)}")
        height, width = (
            (n + 2 * self.padding - self.dilation * (k - 1) - 1) // self.stride + 1
            for n, k in zip(shape[1:], (kh, kw), strict=True)
        )
        if height < 1 or width < 1:
            raise ProgramError(
                f"Conv2d kernel {kh}x{kw} with dilation {self.dilation} is larger than its padded input {list(shape)}"
            )
        return out, height, width

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class; exact: the matrix product runs in a float that holds every partial sum."""
        values = self.weight.values()
        largest = int(np.abs(values).sum(axis=(1, 2, 3)).max()) * magnitude(x)
        return self.convolve(x, values, exact_float(largest)) * (1 << self.shift)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Every weight on the end of its input's range that drives the sum furthest; exact at the borders as well."""
        values = self.weight.values()
        positive, negative = np.maximum(values, 0), np.minimum(values, 0)

        def reach(on_high: NDArray[np.int64], on_low: NDArray[np.int64]) -> NDArray[np.int64]:
            ends = (np.maximum(incoming.high, 0), on_high), (np.minimum(incoming.low, 0), on_low)
            full = [(np.broadcast_to(end[:, None, None], shape)[None, None], part) for end, part in ends]
            sums = [self.convolve(x, part, np.float64)[0, 0] for x, part in full]
            return sums[0] + sums[1]

        low, high = reach(negative, positive).min(axis=(1, 2)), reach(positive, negative).max(axis=(1, 2))
        return weighted_bounds(low, high, self.weight, self.shift, incoming)

    def work(self, x: NDArray[Any]) -> Work:
        """Each event reaches the outputs whose window holds it; windows outside the map do not count."""
        sizes = zip(x.shape[3:], self.weight.shape[2:], strict=True)
        rows, columns = (
            windows_of(size, kernel, self.stride, self.padding, self.dilation) for size, kernel in sizes
        )
        ones, many = (
            int(rows @ part.sum(axis=(0, 1, 2)) @ columns) for part in (abs(x) == 1, (x != 0) & (abs(x) != 1))
        )
        outs = self.weight.shape[0] // self.groups
        return Work(int(np.count_nonzero(x)), ones * outs, many * outs)

    def macs(self, shape: Shape) -> int:
        """One for each output and weight of its window."""
        return prod(self.output_shape(shape)) * prod(self.weight.shape[1:])

    def emit(self, emitter: "Emitter") -> None:
        """Scatter: every event adds packed weight rows to the accumulator, of the whole map or of one row after another."""
        x = emitter.value
        out, height, width = emitter.shape
        family = "dilated_" if self.dilation > 1 else "grouped_" if self.groups > 1 else ""
        rows = emitter.rows and not family
        part = "part" if family else "row"
        row, parameters = emitter.row_kernel(emitter.storage, self.weight.bits, part)
        emitter.kernel("conv2d_shape", "conv2d_shape")
        template = "conv2d_row" if rows else f"{family}conv2d"
        name = row.replace(f"add_{part}", f"{template}_{emitter.tag(x.ctype)}")
        kernel = emitter.kernel(template, name, **parameters, **{"in": x.ctype})
        weights = emitter.constant("weights", self.weight.packed())
        kh, kw = self.weight.shape[2:]
        sizes = [*x.shape, *x.strides(), out, height, width, kh, kw, self.stride, self.padding]
        numbers = ", ".join(map(str, [*sizes, self.weight.step, self.weight.offset]))
        emitter.constants.append(f"static const conv2d_shape shape{emitter.index} = {{{numbers}}};")
        if rows:
            sums = emitter.row_room()
            call = f"{kernel}({x.expression}, {sums}, {weights}, &shape{emitter.index}, row);"
            emitter.give_rows(call, sums, shift=self.shift + x.shift)
            return
        sums = emitter.room()
        more = f", {self.groups}" if family else ""
        more += f", {self.dilation}" if self.dilation > 1 else ""
        emitter.line(f"{kernel}({x.expression}, {sums}, {weights}, &shape{emitter.index}{more});")
        emitter.give(sums, shift=self.shift + x.shift)

    def convolve(self, x: NDArray[Any], values: NDArray[np.int64], kind: type[Any]) -> NDArray[np.int64]:
        """Convolution by these values, one matrix product over windows for each group, computed in `kind`.

        Shape: `[T, N, Cin, H, W]` to int64 `[T, N, Cout, H', W']`.
        """
        out, part, kh, kw = values.shape
        groups, stride, dilation, edge = self.groups, self.stride, self.dilation, (self.padding, self.padding)
        flat = np.pad(x.reshape(-1, *x.shape[2:]).astype(kind), ((0, 0), (0, 0), edge, edge))
        reach = dilation * (kh - 1) + 1, dilation * (kw - 1) + 1
        windows = sliding_window_view(flat, reach, axis=(2, 3))[
            :, :, ::stride, ::stride, ::dilation, ::dilation
        ]  # [B, Cin, H', W', kh, kw]
        grouped = windows.reshape(
            len(flat), groups, part, *windows.shape[2:]
        )  # [B, G, Cin/G, H', W', kh, kw]
        columns = grouped.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, -1, part * kh * kw)
        rows = values.reshape(groups, out // groups, -1).astype(kind)
        product = columns @ rows.transpose(0, 2, 1)  # [G, B*H'*W', Cout/G]
        result = product.reshape(groups, len(flat), *windows.shape[2:4], out // groups)
        maps = result.transpose(1, 0, 4, 2, 3).astype(np.int64)  # [B, G, Cout/G, H', W']
        return maps.reshape(*x.shape[:2], out, *windows.shape[2:4])


def windows_of(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> NDArray[np.int64]:
    """Number of places of a kernel, over all windows, at which each input position lies along one axis.

    Place k of window o is input y where `y + padding = stride*o + dilation*k`.

    Shape: int64 `[size]`.
    """
    outs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    at = stride * np.arange(outs)[:, None] + dilation * np.arange(kernel) - padding
    return np.bincount(at[(at >= 0) & (at < size)], minlength=size)


def weighted_bounds(
    low: NDArray[np.int64], high: NDArray[np.int64], weight: Weight, shift: int, incoming: Bounds
) -> Bounds:
    """Bounds of `sum(w * x) << shift` from the bounds of the sum.

    `low..high` holds 0 and every partial sum, in whatever order. `widest` covers as well the two products that
    decode one weight, `step * x * code` and `offset * x`.
    """
    top = (1 << weight.bits) - 1
    decode = (abs(weight.step) * top + abs(weight.offset)) * incoming.magnitude
    scale = 1 << shift
    widest = max(int(-low.min()) * scale, int(high.max()) * scale, decode)
    return Bounds(low * scale, high * scale, widest, accumulator(low, high))
