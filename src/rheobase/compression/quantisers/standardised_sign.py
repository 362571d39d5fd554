"""Signs of standardised weights, without scale and without clipping: the weights of BESTformer.

    w^ = (w - mean_c w) / (std_c w + eps)   (unbiased std),    w_b = sign(w^)

The gradient of the sign is the identity, also beyond |w^| = 1, and it flows on through the standardisation; with g = dL/dw_b,

    dL/dw = (1/std_c) * (g - mean_c g - w^ * (g . w^)/(n - 1))

so it sums to 0 over a channel and is orthogonal to w: weight decay does no more than shrink std_c, which raises the step. The
forward pass depends on `sign(w - mean_c w)` alone. A batch-norm is expected to follow, which takes up any scale.

Source: BESTformer (IJCAI 2025, arXiv 2501.05904) and released code, which leaves the sign of 0 at 0 (three levels) and divides
by the deviation itself: +1 and `eps` are ours. `libra` is the same sign with IR-Net's scale and annealed gradient.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.compression.quantisers.base import (
    Quantiser,
    QuantiserBase,
    sign,
    standardised,
    straight_through,
)


class StandardisedSignConfig(QuantiserBase):
    """One-bit weights.

    `norm`: what is taken off before the sign; `centre` leaves the deviation, `none` the mean too.
    `ste`: `clip` passes the gradient of the sign where |w^| <= 1 only. `scale`: `mean_abs` multiplies by mean_c|w| (no gradient).
    `per_channel` off takes all statistics over the tensor.
    """

    name: Literal["standardised_sign"] = "standardised_sign"
    bits: Literal[1] = 1
    per_channel: bool = True
    norm: Literal["standardise", "centre", "none"] = "standardise"
    ste: Literal["identity", "clip"] = "identity"
    scale: Literal["one", "mean_abs"] = "one"
    eps: float = Field(default=1e-8, ge=0)


class StandardisedSign(Quantiser):
    """Parametrisation of a weight by the sign of its standardised value."""

    config: StandardisedSignConfig

    def __init__(self, config: StandardisedSignConfig | None = None) -> None:
        super().__init__(config or StandardisedSignConfig())

    def normalised(self, weight: Tensor) -> Tensor:
        """`w^`, differentiable; zeros where all weights of a channel are equal."""
        if self.config.norm == "none":
            return weight
        if self.config.norm == "standardise":
            return standardised(weight, per_channel=self.config.per_channel, eps=self.config.eps)
        rows = weight.flatten(1) if self.config.per_channel else weight.reshape(1, -1)
        return (rows - rows.mean(1, keepdim=True)).reshape(weight.shape)

    def forward(self, weight: Tensor) -> Tensor:
        """`w_b`, whose gradient goes through the standardisation."""
        x = self.normalised(weight)
        slope = (x.detach().abs() <= 1).to(x.dtype) if self.config.ste == "clip" else None
        return straight_through(x, sign(x.detach()), self._unit(weight), slope)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Signs and what they count."""
        return sign(self.normalised(weight.detach())), self._unit(weight)

    def _unit(self, weight: Tensor) -> Tensor:
        rows = self.rows(weight)
        values = rows.abs().mean(1) if self.config.scale == "mean_abs" else torch.ones_like(rows[:, 0])
        return self.like(values, weight)
