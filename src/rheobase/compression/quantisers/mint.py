"""MINT: symmetric integers of tanh(w), whose scale a layer's membranes can share.

    w_q = alpha/n * round( clip(tanh(w)/alpha, -1, 1) * n ),    n = 2^(b-1) - 1,    alpha = max|tanh w|
    dL/dw = dL/dw_q * (1 - tanh^2 w)

`alpha` carries no gradient. One alpha serves the whole layer: membranes quantised with the same alpha and n count in the
same unit, so that the layer needs no multiplier and compares with `ceil(v_threshold/unit)`.

Source: Yin et al., MINT (ASP-DAC 2024, arXiv 2305.09850) and released code.
"""

from typing import Literal

import torch
from torch import Tensor

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase


class MINTConfig(QuantiserBase):
    """Width; always one scale a layer, which is what is shared."""

    name: Literal["mint"] = "mint"
    bits: Literal[2, 3, 4, 8] = 2
    per_channel: Literal[False] = False


class MINT(Quantiser):
    """Parametrisation of a weight by MINT; `alpha(weight)` is the limit to give the layer's membranes."""

    config: MINTConfig

    def __init__(self, config: MINTConfig | None = None) -> None:
        super().__init__(config or MINTConfig())
        self.top = 2 ** (self.config.bits - 1) - 1
        self.levels, self.step, self.offset = 2 * self.top + 1, 1, -self.top

    def alpha(self, weight: Tensor) -> Tensor:
        """`max|tanh w|` of the layer, without gradient."""
        return self.like(torch.tanh(self.rows(weight)).abs().amax(1), weight)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`round(clip(tanh(w)/alpha, -1, 1) * n)` and alpha/n."""
        alpha = self.alpha(weight)
        scaled = torch.clamp(torch.tanh(weight.detach()) / alpha, -1, 1)
        return torch.round(scaled * self.top), alpha / self.top

    def slope(self, weight: Tensor) -> Tensor:
        """`1 - tanh^2 w`: alpha is the largest, so that nothing is clipped."""
        return 1 - torch.tanh(weight) ** 2
