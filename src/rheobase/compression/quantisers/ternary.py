"""Ternary weights: nothing below a threshold, one magnitude above it.

    delta = 0.7 * mean|w|,    w_t = a * sign(w) where |w| > delta, else 0,    a = mean of |w| over |w| > delta
    dL/dw = dL/dw_t

Stored in 2 bits, three of whose four codes are used.

Source: Li et al., Ternary Weight Networks, arXiv 1605.04711, section 2.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase


class TernaryConfig(QuantiserBase):
    """`delta` is the threshold in units of mean|w|, over the tensor or over each output channel."""

    name: Literal["ternary"] = "ternary"
    bits: Literal[2] = 2
    per_channel: bool = False
    delta: float = Field(default=0.7, gt=0)


class Ternary(Quantiser):
    """Parametrisation of a weight by ternary values."""

    config: TernaryConfig

    def __init__(self, config: TernaryConfig | None = None) -> None:
        super().__init__(config or TernaryConfig())
        self.levels, self.step, self.offset = 3, 1, -1

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """-1, 0 or 1, and a."""
        rows = self.rows(weight)
        large = rows.abs() > self.config.delta * rows.abs().mean(1, keepdim=True)
        a = (rows.abs() * large).sum(1) / large.sum(1).clamp_min(1)
        return (torch.sign(rows) * large).reshape(weight.shape), self.like(a, weight)
