"""A current in another unit: multiplication by an integer, a rounding shift, a bias."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import (
    INT32_MAX,
    Bounds,
    Kind,
    Op,
    Shape,
    Work,
    accumulator,
    int32_vector,
    whole,
)

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

MOST_SHIFT = 30  # that 32 bits hold
LARGEST_PRODUCT = 1 << 53  # of an input and its gain: 64-bit integers hold it, and so does float64


@dataclass(frozen=True, eq=False)
class Rescale(Op):
    """Events or a current brought to another unit, channel by channel.

    y[c] = floor((x[c] * gain[c] + 2^(gain_shift - 1)) / 2^gain_shift) + bias[c]      (gain_shift 0: x[c] * gain[c] + bias[c])

    Halves round up. The product may pass 32 bits, the result may not.

    Shape: `[C, H, W]` or `[C]` to the same; `gain` and `bias` are int32 `[C]`.
    Raises:
        ProgramError: a field is out of range, or a product passes 2^53.
    """

    gain: NDArray[np.int32]
    bias: NDArray[np.int32]
    gain_shift: int = 0

    kinds: ClassVar[Mapping[Kind, Kind]] = {
        "events": "current",
        "signed": "current",
        "current": "current",
    }

    def __post_init__(self) -> None:
        whole(self.gain_shift, "Rescale gain_shift", 0, 30)
        for what in ("gain", "bias"):
            object.__setattr__(self, what, int32_vector(getattr(self, what), f"Rescale {what}"))
        if len(self.gain) != len(self.bias):
            raise ProgramError(f"Rescale channels differ: gain {len(self.gain)}, bias {len(self.bias)}")

    @property
    def wire(self) -> int | None:
        """K where this is a multiplication by 2^k alone, which moves no bit that is stored; else None."""
        gain = int(self.gain[0])
        power = gain > 0 and gain & (gain - 1) == 0 and not self.gain_shift
        alone = bool((self.gain == gain).all()) and not self.bias.any()
        return gain.bit_length() - 1 if power and alone else None

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if not shape or shape[0] != len(self.gain):
            raise ProgramError(f"Rescale has {len(self.gain)} gains, but its input is {list(shape)}")
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        column = (-1, *[1] * (x.ndim - 3))
        return rescaled(x, self.gain, self.gain_shift, column) + self.bias.astype(np.int64).reshape(column)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """The ends of the range; the product must fit 53 bits."""
        product, low, high = rescaled_bounds(incoming, self.gain, self.gain_shift)
        if product > LARGEST_PRODUCT:
            raise ProgramError(
                f"an input times its gain can reach {product}, beyond 2^53; lower gain and gain_shift"
            )
        low, high = low + self.bias, high + self.bias
        before = max(int(np.abs(end - self.bias).max()) for end in (low, high))
        widest = max(int(np.abs(low).max()), int(np.abs(high).max()), before, incoming.magnitude)
        return Bounds(low, high, widest, accumulator(low, high), product)

    def work(self, x: NDArray[Any]) -> Work:
        """Every input is multiplied, zero or not; a shift is a wire."""
        return Work(int(np.count_nonzero(x)), multiplications=0 if self.wire is not None else prod(x.shape))

    def macs(self, shape: Shape) -> int:
        """None: a dense network folds its scales."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """One pass, in the place of the input where nobody reads it later; nothing for a shift, which readers make."""
        x = emitter.value
        if self.wire is not None and not x.frame_order and x.shift + self.wire <= MOST_SHIFT:
            emitter.alias(replace(x, shift=x.shift + self.wire))
            return
        self.call(emitter, [emitter.constant("gain", self.gain), emitter.constant("bias", self.bias)])

    def call(self, emitter: "Emitter", vectors: list[str]) -> None:
        """Call the kernel with these gains and biases."""
        x = emitter.value
        wide = emitter.product > INT32_MAX
        floor = "floor_shift_wide" if wide else "floor_shift"
        emitter.kernel(floor, floor)
        kernel = emitter.kernel(
            "rescale",
            f"rescale{'_wide' if wide else ''}_{emitter.tag(x.ctype)}_{emitter.tag(emitter.storage)}",
            value=x.ctype,
            out=emitter.storage,
            product="int64_t" if wide else "int32_t",
            floor_shift=floor,
        )
        output = emitter.room(over=[x])
        size, channels = prod(emitter.shape), emitter.shape[0]
        numbers = [size // channels, channels, *x.pitch, 1 << x.shift, *vectors, self.gain_shift]
        emitter.line(f"{kernel}({x.expression}, {output}, {', '.join(map(str, numbers))});")
        emitter.give(output)


def rescaled(
    x: NDArray[Any], gain: NDArray[np.int32], shift: int, column: tuple[int, ...]
) -> NDArray[np.int64]:
    """`floor((x * gain + 2^(shift - 1)) / 2^shift)`, with the gains shaped as `column`."""
    product = x.astype(np.int64) * gain.astype(np.int64).reshape(column) + ((1 << shift) >> 1)
    return product >> shift  # NumPy's shift of a negative integer floors


def rescaled_bounds(
    incoming: Bounds, gain: NDArray[np.int32], shift: int
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Largest product (with its half), and the smallest and largest result by channel."""
    magnitude = np.maximum(np.abs(incoming.low), np.abs(incoming.high))
    product = int((magnitude * np.abs(gain.astype(np.int64))).max()) + ((1 << shift) >> 1)
    ends = [rescaled(end, gain, shift, (-1,)) for end in (incoming.low, incoming.high)]
    return product, np.minimum(*ends), np.maximum(*ends)
