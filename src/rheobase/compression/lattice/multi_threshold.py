"""Neurons that fire integers and keep no membrane."""

import torch
from torch import Tensor

from rheobase.compression.lattice.base import LatticeFiring


class LatticeMultiThreshold(LatticeFiring):
    """How many of its channel's thresholds, which never fall, a value reaches: `y = number of k with x >= threshold[k]`.

    Shape:
        `x [T, N, C, ...] -> the same`; `threshold` `[levels, C]`
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        reached = torch.zeros_like(x)
        for level in self.threshold:
            reached += x >= level.reshape(-1, *[1] * (x.dim() - 3))
        return reached
