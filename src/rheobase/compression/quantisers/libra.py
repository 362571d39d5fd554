"""Libra binarisation: centre and standardise each channel, take signs, scale by a power of two.

    w^ = w - mean_c(w),    w~ = w^ / std_c(w^)  (unbiased),    sc = 2^round(log2(mean_c|w~|)),    w_b = sc * sign(w~)

Centring makes both signs as likely as each other for symmetric weights: the entropy of a weight is largest (the weight
regulation of Q-SNN). The gradient flows through the standardisation, not through sc; that of the sign is the error-decay
estimator, which starts wide and ends close to the sign as the epoch e goes to E:

    g'(x) = k*t*(1 - tanh^2(t*x)),    t = Tmin * (Tmax/Tmin)^(e/E),    k = max(1/t, 1)

`set_progress(model, e/E)` moves every such quantiser of a model; before the first call k = 10, t = 0.2. Both are buffers:
they go with the state dict. Gaussian weights have mean|w~| = 0.79, so that sc = 1 in practice.

Source: IR-Net (CVPR 2020), the same in Q-SNN (ACM MM 2024, arXiv 2406.13672); a zero counts as +1 (`torch.sign` gives 0).
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


class LibraConfig(QuantiserBase):
    """One-bit weights; `irnet` is another name of the same method.

    `t_min`, `t_max`: the schedule's ends; `per_channel` off takes all statistics over the tensor.
    """

    name: Literal["libra", "irnet"] = "libra"
    bits: Literal[1] = 1
    per_channel: bool = True
    t_min: float = Field(default=0.1, gt=0)
    t_max: float = Field(default=10.0, gt=0)


class Libra(Quantiser):
    """Parametrisation of a weight by Libra binarisation with the error-decay estimator."""

    config: LibraConfig
    k: Tensor
    t: Tensor

    def __init__(self, config: LibraConfig | None = None) -> None:
        super().__init__(config or LibraConfig())
        self.register_buffer("k", torch.tensor(10.0))
        self.register_buffer("t", torch.tensor(0.2))

    def set_progress(self, done: float) -> None:
        """Shape of the gradient after the share `done` = e/E of the training, 0 to 1."""
        t = self.config.t_min * (self.config.t_max / self.config.t_min) ** min(max(done, 0.0), 1.0)
        self.t.fill_(t)
        self.k.fill_(max(1 / t, 1.0))

    def standardise(self, weight: Tensor) -> Tensor:
        """`w~`: mean 0 and unbiased deviation 1 in every channel; a channel of equal weights gives zeros."""
        return standardised(weight, per_channel=self.config.per_channel)

    def forward(self, weight: Tensor) -> Tensor:
        """`sc * sign(w~)`, with the gradient of the error-decay estimator."""
        x = self.standardise(weight)
        with torch.no_grad():
            scale = self._power_of_two(x)
            slope = scale * self.k * self.t * (1 - torch.tanh(self.t * x) ** 2)
        return straight_through(x, sign(x.detach()), scale, slope)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Signs and the power of two that they count."""
        x = self.standardise(weight)
        return sign(x), self._power_of_two(x)

    def _power_of_two(self, x: Tensor) -> Tensor:
        return 2.0 ** torch.round(torch.log2(self.like(self.rows(x).abs().mean(1), x)))
