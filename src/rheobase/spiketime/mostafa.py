"""Mostafa's network: integrate and fire behind exponential synapses, linear in z = e^t.

    K(x) = 1 - e^(-x/tau)           V_j(t) = sum_i w_ij K(t - t_i)
    z_j  = sum_C w z / (sum_C w - th),  z = e^(t/tau);  needs sum_C w > th

Source: Mostafa, Supervised learning based on temporal coding in spiking neural networks, IEEE TNNLS 2017. The
paper's loss is softmax over -z: `FirstSpike(transform="exp")`.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.spiketime.crossing import ClosedForm


class Mostafa(ClosedForm):
    """Options of Mostafa's rule; the initial sum of weights lies above the threshold, or nothing fires."""

    name: Literal["mostafa"] = "mostafa"
    t_max: float | None = 6.0
    tau: float = Field(default=1.0, gt=0)
    silent: Literal["none", "t_max_gradient", "push"] = "push"
    silent_rate: float = Field(default=0.5, gt=0)
    init_sum: float = 3.0

    def features(self, times: Tensor) -> tuple[Tensor, ...]:
        """1 and z: the sums are W = sum w and Z = sum w z."""
        return times.new_ones(()).expand_as(times), torch.exp(times / self.tau)

    def potential(self, sums: tuple[Tensor, ...], t: Tensor) -> Tensor:
        """V = W - Z e^(-t/tau)."""
        W, Z = sums
        return W - Z * torch.exp(-t / self.tau)

    def solve(self, sums: tuple[Tensor, ...]) -> Tensor:
        """T = tau ln(Z / (W - th)) where V rises (Z > 0) to more than the threshold (W > th)."""
        W, Z = sums
        possible = (self.v_threshold < W) & (Z > 0)
        ratio = (Z / (W - self.v_threshold)).where(possible, 1)
        return (self.tau * ratio.log()).where(possible, torch.nan)

    def kernel(self, x: Tensor) -> Tensor:
        """K = 1 - e^(-x/tau)."""
        return -torch.expm1(-x / self.tau)

    def slope(self, x: Tensor) -> Tensor:
        """K' = e^(-x/tau) / tau."""
        return torch.exp(-x / self.tau) / self.tau
