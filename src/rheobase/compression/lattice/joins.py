"""Values brought to one unit, added, and joined."""

import torch
from torch import Tensor

from rheobase.compression.lattice.base import LatticeModule


class LatticeAdd(LatticeModule):
    """Sum of two values in one unit.

    Shape:
        `[T, N, ...]` twice `-> [T, N, ...]`
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """See the class."""
        return first + second


class LatticeConcat(LatticeModule):
    """The channels of one value, then those of another.

    Shape:
        `[T, N, A, ...]`, `[T, N, B, ...] -> [T, N, A + B, ...]`
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([first, second], 2)


class LatticeRescale(LatticeModule):
    """Another unit: `floor((x * gain + 2^(gain_shift - 1)) / 2^gain_shift) + bias`, products below 2^53 in float64.

    Shape:
        `x [T, N, C, ...] -> the same`; `gain`, `bias` `[C]`, or `[T', C]` with `T <= T'` where they change from step to step
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, gain: Tensor, bias: Tensor, gain_shift: int) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("bias", bias)
        self.gain_shift = gain_shift

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        by_step = self.gain.dim() > 1
        spread = (*((len(x), 1) if by_step else ()), -1, *[1] * (x.dim() - 3))
        gain, bias = (
            (each[: len(x)] if by_step else each).reshape(spread) for each in (self.gain, self.bias)
        )
        return (shifted_product(x, gain, self.gain_shift) + bias).float()


def rescaled(x: Tensor, gain: Tensor, shift: int, trailing: int) -> Tensor:
    """`floor((x * gain + 2^(shift - 1)) / 2^shift)` in float64; `trailing` axes follow that of the channels."""
    return shifted_product(x, gain.reshape(-1, *[1] * trailing), shift)


def shifted_product(x: Tensor, gain: Tensor, shift: int) -> Tensor:
    """`rescaled` with gains whose axes are those of `x`."""
    return torch.floor((x.double() * gain + ((1 << shift) >> 1)) * 2.0**-shift)
