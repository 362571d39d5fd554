"""Integer weights, and the layers that sum by them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rheobase.compression.lattice.base import LatticeModule, held


@dataclass(frozen=True)
class IntegerWeight:
    """Integer weights `step * code + offset`, code in `0..2^bits - 1`."""

    values: Tensor  # float32 holding integers
    bits: int
    step: int
    offset: int

    def codes(self) -> Tensor:
        """The stored codes, uint8."""
        return ((self.values - self.offset) / self.step).to(torch.uint8)


class LatticeConv2d(LatticeModule):
    """Integer convolution `acc = (W * x) << shift`; `wide`: computed in float64.

    Shape:
        `x [T, N, C_in, H, W] -> acc [T, N, C_out, H', W']`
    """

    weight: Tensor

    def __init__(
        self,
        weight: IntegerWeight,
        stride: tuple[int, int],
        padding: tuple[int, int],
        shift: int,
        groups: int = 1,
        *,
        dilation: tuple[int, int] = (1, 1),
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.values)
        self.bits, self.step, self.offset = weight.bits, weight.step, weight.offset
        self.stride, self.padding, self.shift = stride, padding, shift
        self.groups, self.dilation, self.wide = groups, dilation, wide

    def integer_weight(self) -> IntegerWeight:
        """The weights with their code."""
        return IntegerWeight(self.weight, self.bits, self.step, self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        maps, weight = held(x.flatten(0, 1), self.wide), held(self.weight, self.wide)
        acc = F.conv2d(maps, weight, None, self.stride, self.padding, self.dilation, self.groups)
        return (acc * 2**self.shift).unflatten(0, x.shape[:2])


class LatticeLinear(LatticeModule):
    """Integer matrix product `acc = (x W^T) << shift`; `wide`: computed in float64.

    Shape:
        `x [T, N, F] -> acc [T, N, K]`
    """

    weight: Tensor

    def __init__(self, weight: IntegerWeight, shift: int, *, wide: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight.values)
        self.bits, self.step, self.offset, self.shift = weight.bits, weight.step, weight.offset, shift
        self.wide = wide

    def integer_weight(self) -> IntegerWeight:
        """The weights with their code."""
        return IntegerWeight(self.weight, self.bits, self.step, self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.linear(held(x, self.wide), held(self.weight, self.wide)) * 2**self.shift
