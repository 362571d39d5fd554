"""One scale for a layer's weights and membranes: currents, membranes and threshold are then counted in the same unit.

    W_hat = a/n * round( clip(W/c, -1, 1) * n ),    n = 2^(bits-1) - 1,    c = reach * mean|W|
    dL/dW = dL/dW_hat * (a/c) * 1{|W| <= c}

`a` is the layer's scale: give its neurons the membrane `{name: uniform, bits: ..., limit: a}`. Without batch-norm between
(`options: {norm: false}`) a membrane is a whole number of units a/n, and a spike the comparison with ceil(v_threshold * n/a):
no multiplication. The latent weights have a size of their own, c, so that a may suit the threshold.

Where weights and membranes have a scale each ("dual"), weights take `ternary`, `max_abs` or `lsq`.

Source: after Yin et al., MINT (ASP-DAC 2024, arXiv 2305.09850); the mean rule for c, with `reach` 1.4 the threshold 0.7
mean|W| of ternary weight networks, is ours.
"""

from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase

REACH = {2: 1.4, 4: 3.4, 8: 5.0}
"""c in units of mean|W|: near the best of a Gaussian for 4 and 8 bits."""


class SharedConfig(QuantiserBase):
    """Width and scale `limit` (a), which are also those of the layer's membranes."""

    name: Literal["shared"] = "shared"
    bits: Literal[2, 4, 8] = 2
    limit: float = Field(default=0.25, gt=0)
    reach: PositiveFloat | None = None
    """None: 1.4, 3.4 or 5 for 2, 4 or 8 bits."""

    per_channel: Literal[False] = False


class Shared(Quantiser):
    """Parametrisation of a weight by integers of a fixed unit."""

    config: SharedConfig

    def __init__(self, config: SharedConfig | None = None) -> None:
        super().__init__(config or SharedConfig())
        self.top = 2 ** (self.config.bits - 1) - 1
        self.levels, self.step, self.offset = 2 * self.top + 1, 1, -self.top

    def clip(self, weight: Tensor) -> Tensor:
        """`c`, without gradient; 1 where all weights are 0. Shape: [1, 1, ...]."""
        reach = self.config.reach or REACH[self.config.bits]
        return self.like(self.rows(weight).abs().mean(1) * reach, weight)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`round(clip(W/c, -1, 1) * n)` and a/n."""
        c = self.clip(weight)
        codes = torch.round((weight.detach() / c).clamp(-1, 1) * self.top)
        return codes, torch.full_like(c, self.config.limit / self.top)

    def slope(self, weight: Tensor) -> Tensor:
        """`a/c` where |W| <= c, else 0."""
        c = self.clip(weight)
        return (weight.abs() <= c) * (self.config.limit / c)
