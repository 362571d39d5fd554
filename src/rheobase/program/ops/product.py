"""What products of two values have in common: events times events are events, anything with a current is a current.

Where either kind of events has a sign, so has the product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.program.ops.base import Bounds, Kind, Op, accumulator, counter

FAR = 1 << 36


@dataclass(frozen=True, eq=False)
class Product(Op):
    """Base of the ops that multiply two values of the network, each of them events or a current."""

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "signed", "current": "current"}
    arity: ClassVar[int] = 2

    def output_kind(self, *kinds: Kind) -> Kind:
        """A current if any input is one, else signed if any is.

        Raises:
            ProgramError: another number of inputs, or logits.
        """
        if "logits" in kinds:
            return super().output_kind(*kinds)
        most: Kind = max(kinds, key=list(self.kinds).index)
        return super().output_kind(*[most] * len(kinds))


def product_ends(
    first: tuple[NDArray[np.int64], NDArray[np.int64]], second: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest product of values within two ranges (low, high), elementwise.

    What is far beyond 32 bits is cut, so that sums of it stay within 64.
    """
    corners = [(a * b).clip(-FAR, FAR) for a in first for b in second]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def product_bounds(first: Bounds, second: Bounds, low: NDArray[np.int64], high: NDArray[np.int64]) -> Bounds:
    """Bounds of products (or of sums of them, of which `low..high` holds every partial one)."""
    widest = max(int(np.abs(low).max()), int(np.abs(high).max()), first.magnitude, second.magnitude)
    bytes_alone = {first.storage, second.storage} <= {"int8_t", "uint8_t"}  # so neither is a current
    if first.counts and second.counts:
        storage = counter(high)
    elif bytes_alone and max(-int(low.min()), int(high.max())) <= 127:
        storage = "int8_t"
    else:
        storage = accumulator(low, high)
    return Bounds(low, high, widest, storage)


def with_zero(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A range widened to hold 0, from which sums start."""
    return np.minimum(low, 0), np.maximum(high, 0)
