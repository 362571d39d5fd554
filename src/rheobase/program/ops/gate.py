"""Product of a map with a mask of fewer channels or of one pixel."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Shape, Work
from rheobase.program.ops.product import Product, product_bounds, product_ends

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Gate(Product):
    """Elementwise product, the first input spread over the second: of spikes their AND, with spikes a selection.

    y[c, i, j] = gate[floor(c / (C / G)), i, j] * x[c, i, j]          (a gate of one pixel holds for all places)

    Shape: gate `[G, H, W]` or `[G, 1, 1]`, G dividing C, and `[C, H, W]` to `[C, H, W]`.
    Raises:
        ProgramError: the shapes do not go together.
    """

    def output_shape(self, gate: Shape, shape: Shape) -> Shape:
        """See the class."""
        fits = len(gate) == len(shape) == 3 and shape[0] % gate[0] == 0
        if not fits or (gate[1:] != shape[1:] and gate[1:] != (1, 1)):
            raise ProgramError(
                f"Gate reads a gate {list(gate)} for {list(shape)}: its channels must divide the map's, and its pixels be "
                "the map's or one"
            )
        return shape

    def run(self, gate: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return spread(gate, x.shape).astype(np.int64) * x

    def bounds(self, gate: Bounds, x: Bounds, _: Shape, shape: Shape, steps: int) -> Bounds:
        """The corners of both ranges."""
        each = len(x.low) // len(gate.low)
        ends = np.repeat(gate.low, each), np.repeat(gate.high, each)
        return product_bounds(gate, x, *product_ends(ends, (x.low, x.high)))

    def work(self, gate: NDArray[Any], x: NDArray[Any]) -> Work:
        """Each pair of inputs that are not zero: a multiplication where both are beyond 1, else an addition of the other."""
        mask = spread(gate, x.shape)
        both = (mask != 0) & (x != 0)
        many = int(np.count_nonzero(both & (np.abs(mask) != 1) & (np.abs(x) != 1)))
        events = int(np.count_nonzero(gate)) + int(np.count_nonzero(x))
        return Work(events, int(np.count_nonzero(both)) - many, many)

    def macs(self, gate: Shape, shape: Shape) -> int:
        """One for each output."""
        return prod(shape)

    def emit(self, emitter: "Emitter") -> None:
        """One pass, in the place of the map where nobody reads it later."""
        gate, x = emitter.inputs
        types = [gate.ctype, x.ctype, emitter.storage]
        name = "_".join(["gate", *map(emitter.tag, types)])
        kernel = emitter.kernel("gate", name, gate=types[0], value=types[1], out=types[2])
        output = emitter.room(over=[x])
        place = 0 if prod(gate.shape[1:]) == 1 else gate.pitch[0]
        numbers = [
            prod(x.shape[1:]),
            gate.shape[0],
            x.shape[0] // gate.shape[0],
            place,
            gate.pitch[1],
            *x.pitch,
        ]
        emitter.line(
            f"{kernel}({gate.expression}, {x.expression}, {output}, {', '.join(map(str, numbers))});"
        )
        emitter.give(output, shift=gate.shift + x.shift)


def spread(gate: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A gate `[T, N, G, ...]` repeated to the channels of `[T, N, C, H, W]`; its places broadcast."""
    return np.repeat(gate, shape[2] // gate.shape[2], axis=2)
