"""Vanilla uniform quantisation: even levels over [-1, 1], whatever the weights' size.

    W_int = round( s/2 * (clamp(W, -1, 1) + 1) )  in 0..s,    W_hat = 2*W_int/s - 1,    s = 2^bits - 1
    dL/dW = dL/dW_hat * 1{|W| <= 1}

The baseline that ReScaW mends: trained weights stay within +-0.14 .. 0.32, so that 8 bit uses 14-32 % of its levels and
2 bit two of four.

Source: QP-SNN (ICLR 2025, arXiv 2502.05905), the section on vanilla uniform quantisation.
"""

from typing import Literal

import torch
from torch import Tensor

from rheobase.compression.quantisers.base import Bits, Quantiser, QuantiserBase, uniform_codes


class UniformConfig(QuantiserBase):
    """The width is all there is to choose: the unit is `1/s` for every channel."""

    name: Literal["uniform"] = "uniform"
    bits: Bits = 4
    per_channel: Literal[False] = False


class Uniform(Quantiser):
    """Parametrisation of a weight by vanilla uniform quantisation."""

    config: UniformConfig

    def __init__(self, config: UniformConfig | None = None) -> None:
        super().__init__(config or UniformConfig())

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Odd integers `2*W_int - s` and their unit `1/s`."""
        w, s = weight.detach(), self.levels - 1
        return 2 * uniform_codes(w, s) - s, torch.full_like(w[:1, ...].flatten()[:1], 1 / s).reshape(
            [1] * w.dim()
        )

    def slope(self, weight: Tensor) -> Tensor:
        """`1{|W| <= 1}`."""
        return (weight.abs() <= 1).to(weight.dtype)
