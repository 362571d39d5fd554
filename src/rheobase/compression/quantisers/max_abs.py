"""Symmetric integers scaled by the largest weight: what Q-SNN gives the first and the last layer.

    W_hat = round(W/m * n) / n * m,    m = max|W|,    n = 2^(bits-1) - 1
    dL/dW = dL/dW_hat

`m` carries no gradient. The levels -n..n have a zero. The authors' code takes m = max(W), which overflows where the
largest weight is negative.

Source: Q-SNN (ACM MM 2024, arXiv 2406.13672), 8-bit layers; m = max|W| is a correction.
"""

from typing import Literal

import torch
from torch import Tensor

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase


class MaxAbsConfig(QuantiserBase):
    """Width, and whether each output channel has its own m (not in the paper)."""

    name: Literal["max_abs"] = "max_abs"
    bits: Literal[2, 3, 4, 8] = 8
    per_channel: bool = False


class MaxAbs(Quantiser):
    """Parametrisation of a weight by symmetric integers."""

    config: MaxAbsConfig

    def __init__(self, config: MaxAbsConfig | None = None) -> None:
        super().__init__(config or MaxAbsConfig())
        self.top = 2 ** (self.config.bits - 1) - 1
        self.levels, self.step, self.offset = 2 * self.top + 1, 1, -self.top

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`round(W/m * n)` in -n..n and the unit `m/n`."""
        largest = self.like(self.rows(weight).abs().amax(1), weight)
        return torch.round(weight.detach() / largest * self.top), largest / self.top
