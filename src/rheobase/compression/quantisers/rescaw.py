"""ReScaW: re-scale the weights, then quantise them uniformly.

    W_hat = gamma * ( 2/s * round( s/2 * (clamp(W/gamma, -1, 1) + 1) ) - 1 ),    s = 2^bits - 1

In integers: with the code `c = round(s/2 * (clamp(W/gamma, -1, 1) + 1))` in `0..s`, the weight is
`(gamma/s) * (2c - s)`, an *odd* integer times a unit. There is no zero level. `gamma` is recomputed at every forward and
carries no gradient. `gamma_mode="unit"` (gamma = 1) is the vanilla uniform quantiser, see `uniform`.

Source: QP-SNN (ICLR 2025, arXiv 2502.05905), section on ReScaW; gamma per output channel as in the authors' code.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.compression.quantisers.base import Bits, Quantiser, QuantiserBase, uniform_codes

GammaMode = Literal["l1", "max", "percentile", "l1_scaled", "unit"]
STE = Literal["clip", "scaled"]


class ReScaWConfig(QuantiserBase):
    """How one weight tensor is quantised.

    `gamma_mode`: `l1` = mean|W| (published default), `max` = max|W|, `percentile` = the larger magnitude of the two
    `percentile` quantiles, `l1_scaled` = `s/2^(bits-1)` * mean|W|, `unit` = 1 (vanilla).
    `ste`: `clip` passes the gradient where |W/gamma| <= 1; `scaled` passes gradient/gamma everywhere (the authors' code).
    """

    name: Literal["rescaw"] = "rescaw"
    bits: Bits = 4
    gamma_mode: GammaMode = "l1"
    percentile: float = Field(default=0.99, gt=0.5, le=1)
    per_channel: bool = True
    ste: STE = "clip"


class ReScaW(Quantiser):
    """Parametrisation of a weight by ReScaW.

    Shape: W `[C_out, ...]`; gamma and unit `[C_out, 1, ...]` per channel, `[1, ...]` per tensor.
    """

    config: ReScaWConfig

    def __init__(self, config: ReScaWConfig | None = None) -> None:
        super().__init__(config or ReScaWConfig())
        self.steps = self.levels - 1

    def gamma(self, weight: Tensor) -> Tensor:
        """Scale of each output channel (or of the tensor), without gradient; 1 for an all-zero channel."""
        rows = self.rows(weight)
        mode = self.config.gamma_mode
        if mode == "unit":
            gamma = torch.ones_like(rows[:, 0])
        elif mode == "max":
            gamma = rows.abs().amax(1)
        elif mode == "percentile":
            q = self.config.percentile
            gamma = torch.maximum(quantile(rows, q).abs(), quantile(rows, 1 - q).abs())
        else:
            gamma = rows.abs().mean(1)
            if mode == "l1_scaled":
                gamma = gamma * (self.steps / 2 ** (self.config.bits - 1))
        return self.like(gamma, weight)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Odd integers `2c - s` and their unit `gamma/s`."""
        w = weight.detach()
        gamma = self.gamma(w)
        return 2 * uniform_codes(w / gamma, self.steps) - self.steps, gamma / self.steps

    def slope(self, weight: Tensor) -> Tensor:
        """`1{|W/gamma| <= 1}` (clip) or `1/gamma` (scaled)."""
        gamma = self.gamma(weight)
        if self.config.ste == "scaled":
            return 1 / gamma
        return (weight.abs() <= gamma).to(weight.dtype)


def quantile(rows: Tensor, q: float) -> Tensor:
    """Linear-interpolated quantile of each row; `torch.quantile` refuses rows beyond 2^24 values.

    Shape: `[R, n]` -> `[R]`.
    """
    ordered = rows.sort(1).values
    place = q * (rows.shape[1] - 1)
    low = int(place)
    high = min(low + 1, rows.shape[1] - 1)
    return torch.lerp(ordered[:, low], ordered[:, high], place - low)
