"""Fully connected layer with integer weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, exact_float, magnitude, whole
from rheobase.program.ops.conv2d import weighted_bounds
from rheobase.program.weight import Weight

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """Matrix product with spikes, counts or a current.

    y[k] = 2^shift * sum over f of w[k, f] * x[f]

    Shape: `[F]` to `[K]`.
    Raises:
        ProgramError: a field or the input's shape cannot be used.
    """

    weight: Weight
    shift: int = 0

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "current",
        "signed": "current",
        "current": "current",
    }

    def __post_init__(self) -> None:
        if len(self.weight.shape) != 2:
            raise ProgramError(f"Linear needs weights [K, F], got {list(self.weight.shape)}")
        whole(self.shift, "Linear shift", 0, 15)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        classes, features = self.weight.shape
        if shape != (features,):
            hint = "; put a Flatten before it" if len(shape) == 3 else ""
            raise ProgramError(f"Linear has weights for [{features}], but its input is {list(shape)}{hint}")
        return (classes,)

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class; exact: the matrix product runs in a float that holds every partial sum."""
        values = self.weight.values()
        kind = exact_float(int(np.abs(values).sum(axis=1).max()) * magnitude(x))
        return (x.astype(kind) @ values.astype(kind).T).astype(np.int64) * (1 << self.shift)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Every weight on the end of its input's range that drives the sum furthest."""
        values = self.weight.values()
        positive, negative = np.maximum(values, 0), np.minimum(values, 0)
        least, most = np.minimum(incoming.low, 0), np.maximum(incoming.high, 0)
        low, high = negative @ most + positive @ least, positive @ most + negative @ least
        return weighted_bounds(low, high, self.weight, self.shift, incoming)

    def work(self, x: NDArray[Any]) -> Work:
        """Each event reaches every output."""
        outs, events, ones = self.weight.shape[0], int(np.count_nonzero(x)), int((abs(x) == 1).sum())
        return Work(events, ones * outs, (events - ones) * outs)

    def macs(self, shape: Shape) -> int:
        """One for each weight."""
        return prod(self.weight.shape)

    def emit(self, emitter: "Emitter") -> None:
        """Scatter: every event adds one packed weight row to the accumulator."""
        x = emitter.value
        row, parameters = emitter.row_kernel(emitter.storage, self.weight.bits)
        name = row.replace("add_row", f"linear_{emitter.tag(x.ctype)}")
        kernel = emitter.kernel("linear", name, **parameters, **{"in": x.ctype})
        packed = self.weight.packed()
        if x.map_shape:
            packed = rows_channel_last(packed, x.map_shape)
        weights = emitter.constant("weights", packed)
        classes, features = self.weight.shape
        sums = emitter.room()
        numbers = f"{features}, {classes}, {self.weight.step}, {self.weight.offset}"
        emitter.line(f"{kernel}({x.expression}, {sums}, {weights}, {numbers});")
        emitter.give(sums, shift=self.shift + x.shift)


def rows_channel_last(packed: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Packed rows `[F, row]` whose features move from (C, H, W) order to (H, W, C), as C keeps its maps."""
    channels, height, width = shape
    rows = packed.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    return np.ascontiguousarray(rows.reshape(packed.shape))
