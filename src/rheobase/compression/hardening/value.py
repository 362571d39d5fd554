"""What a value of the hardened graph stands for, and layers that are not finished yet."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rheobase.compression.accounting import stored_bits
from rheobase.compression.lattice import IntegerWeight, LatticeConv2d, LatticeLinear, LatticeModule
from rheobase.compression.quantisers import Quantiser
from rheobase.errors import LatticeError
from rheobase.program.weight import BITS


@dataclass(eq=False)
class Rows:
    """A layer with weights, whose rows may still be turned and shifted by the one neuron that reads them."""

    name: str
    values: Tensor
    quantiser: Quantiser | None  # None: weights of 0 and 1
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    shift: int = 0
    wide: bool = False

    def turn(self, unit: Tensor) -> None:
        """Turn the sign of the rows whose unit is negative."""
        sign = torch.where(unit < 0, -1.0, 1.0).float()
        self.values *= sign.reshape(-1, *[1] * (self.values.dim() - 1))

    def module(self) -> LatticeModule:
        """The layer as it stands."""
        values = self.values.float()
        weight = (
            _stored(self.name, values, self.quantiser) if self.quantiser else IntegerWeight(values, 1, 1, 0)
        )
        if values.dim() == 2:
            return LatticeLinear(weight, self.shift, wide=self.wide)
        return LatticeConv2d(
            weight,
            self.stride,
            self.padding,
            self.shift,
            self.groups,
            dilation=self.dilation,
            wide=self.wide,
        )


@dataclass(eq=False)
class Value:
    """Integers in the hardened graph that stand for `unit * integer + offset`.

    Shape: `unit`, `offset`, `low` and `high` (the range of the integers) are float64 `[C]`.
    """

    place: int  # of the module that gives them; -1: the input
    shape: tuple[int, ...]  # without time and batch
    events: bool  # frames, spikes, and sums of them; no current
    unit: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    rows: Rows | None = None  # where they come from, if nobody else reads them
    turns: bool = True  # whether those rows may be turned; a maximum over them forbids it

    @property
    def magnitude(self) -> Tensor:
        """Largest |integer| of each channel."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def reach(self) -> Tensor:
        """Largest |float| of each channel."""
        return self.magnitude * self.unit.abs() + self.offset.abs()

    @property
    def signed(self) -> bool:
        """Whether these are events that may be negative: ternary spikes, int8 frames."""
        return self.events and bool((self.low < 0).any())

    @property
    def plain(self) -> bool:
        """Whether one positive unit without offset holds for all channels."""
        return bool((self.unit == self.unit[0]).all() and self.unit[0] > 0 and (self.offset == 0).all())

    @property
    def rising(self) -> bool:
        """Whether larger integers stand for larger floats in every channel."""
        return bool((self.unit > 0).all())


def _stored(name: str, values: Tensor, quantiser: Quantiser) -> IntegerWeight:
    """Integer weights on the quantiser's own codes, on their mirror image, or on signed codes of the next width.

    The last two are for rows whose sign a negative batch-norm gain has turned, where -n has no +n beside it (LSQ).
    """
    bits, step = stored_bits(quantiser.config.bits), quantiser.step
    top = step * (quantiser.levels - 1)
    offsets = (quantiser.offset, -quantiser.offset - top)
    lattices = [(bits, step, offset) for offset in offsets]
    lattices += [(width, step, -step * 2 ** (width - 1)) for width in BITS if width >= bits and step == 1]
    low, high = float(values.min()), float(values.max())
    for width, step, offset in lattices:
        if offset <= low and high <= offset + step * (2**width - 1):
            return IntegerWeight(values, width, step, offset)
    raise LatticeError(
        f"layer {name!r}: batch-norm turns the sign of some channels and not of others, and its weights {low:g}..{high:g} "
        "then need 9 bits: quantise it with symmetric levels (LSQConfig(symmetric=True)), or with fewer bits"
    )
