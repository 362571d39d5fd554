"""Sums and maxima over windows, and maps as vectors."""

import torch.nn.functional as F
from torch import Tensor

from rheobase.compression.lattice.base import LatticeModule, held


class LatticeSumPool(LatticeModule):
    """Sum over windows of `kernel`, stride = kernel: average pooling without its division, which the next unit carries.

    `kernel=None` sums the whole map.

    Shape:
        `x [T, N, C, H, W] -> [T, N, C, H // kh, W // kw]`
    """

    def __init__(self, kernel: tuple[int, int] | None, *, wide: bool = False) -> None:
        super().__init__()
        self.kernel, self.wide = kernel, wide

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        kernel = self.kernel or (x.shape[-2], x.shape[-1])
        sums = F.avg_pool2d(held(x.flatten(0, 1), self.wide), kernel, divisor_override=1)
        return sums.unflatten(0, x.shape[:2])


class LatticeOrPool(LatticeModule):
    """Maximum over windows, of what lies within the map.

    Shape:
        `x [T, N, C, H, W] -> [T, N, C, H', W']`
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        most = F.max_pool2d(x.flatten(0, 1), self.kernel, self.stride, self.padding)
        return most.unflatten(0, x.shape[:2])


class LatticeFlatten(LatticeModule):
    """`[T, N, C, H, W] -> [T, N, C*H*W]`, channel first."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.flatten(2)
