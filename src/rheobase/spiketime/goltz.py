"""Göltz's fast and deep networks: leaky integrators behind exponential synapses, in the two solvable cases.

    tau_m = tau_s = tau:    K(x) = (x/tau) e^(-x/tau) / gl
        a1 = sum_C w e^(t_i/tau),  b = sum_C w (t_i/tau) e^(t_i/tau)
        t = tau [b/a1 - W0(-(gl th/a1) e^(b/a1))]

    tau_m = 2 tau_s:        K(x) = (e^(-x/2tau_s) - e^(-x/tau_s)) / gl
        a1 = sum_C w e^(t_i/tau_s),  a2 = sum_C w e^(t_i/2tau_s)
        t = 2 tau_s ln[2 a1 / (a2 + sqrt(a2^2 - 4 a1 gl th))]

A potential that leaks can miss the threshold for ever: weights must start larger than those of ReL-PSP, and those of
silent neurons be pushed up (the paper raises the weights of layers in which many are silent; the push per neuron and
the initial sums are reconstructions).

Source: Göltz et al., Fast and energy-efficient neuromorphic deep learning with first-spike times, Nature Machine
Intelligence 3, 2021.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.spiketime.crossing import ClosedForm
from rheobase.spiketime.lambert import lambert_w0


class AlphaRule(ClosedForm):
    """A rule with the kernel K(x) = scale * x e^(-x/tau), whose crossing is Lambert's W0.

        V = scale * e^(-t/tau) (A t - B),   A = sum_C w e^(t_i/tau),  B = sum_C w t_i e^(t_i/tau)

    V rises to its top at t = B/A + tau, and only where A > 0: W0 is the root before it.
    """

    def constants(self) -> tuple[float, float]:
        """Tau and scale."""
        raise NotImplementedError

    def features(self, times: Tensor) -> tuple[Tensor, ...]:
        """e^(t/tau) and t e^(t/tau): the sums are A and B."""
        grown = torch.exp(times / self.constants()[0])
        return grown, times * grown

    def potential(self, sums: tuple[Tensor, ...], t: Tensor) -> Tensor:
        """V(t)."""
        A, B = sums
        tau, scale = self.constants()
        return scale * torch.exp(-t / tau) * (A * t - B)

    def solve(self, sums: tuple[Tensor, ...]) -> Tensor:
        """The root of W0."""
        A, B = sums
        tau, scale = self.constants()
        ratio = (B / A).where(A > 0, 0)
        argument = -(self.v_threshold / (tau * scale * A)) * torch.exp(ratio / tau)
        return (ratio - tau * lambert_w0(argument.where(A > 0, 0))).where(A > 0, torch.nan)

    def kernel(self, x: Tensor) -> Tensor:
        """K = scale * x e^(-x/tau)."""
        tau, scale = self.constants()
        return scale * x * torch.exp(-x / tau)

    def slope(self, x: Tensor) -> Tensor:
        """K' = scale * (1 - x/tau) e^(-x/tau)."""
        tau, scale = self.constants()
        return scale * (1 - x / tau) * torch.exp(-x / tau)


class Goltz1(AlphaRule):
    """Options of the case tau_m = tau_s."""

    name: Literal["goltz1"] = "goltz1"
    t_max: float | None = 6.0
    tau: float = Field(default=1.0, gt=0)
    gl: float = Field(default=1.0, gt=0)
    silent: Literal["none", "t_max_gradient", "push"] = "push"
    silent_rate: float = Field(default=0.5, gt=0)
    init_sum: float = 12.0

    def constants(self) -> tuple[float, float]:
        """K(x) = (x/tau) e^(-x/tau) / gl."""
        return self.tau, 1 / (self.tau * self.gl)


class Goltz2(ClosedForm):
    """Options of the case tau_m = 2 tau_s; with y = e^(-t/2tau_s), gl V = a2 y - a1 y^2."""

    name: Literal["goltz2"] = "goltz2"
    t_max: float | None = 6.0
    tau_s: float = Field(default=1.0, gt=0)
    gl: float = Field(default=1.0, gt=0)
    silent: Literal["none", "t_max_gradient", "push"] = "push"
    silent_rate: float = Field(default=0.5, gt=0)
    init_sum: float = 16.0

    def features(self, times: Tensor) -> tuple[Tensor, ...]:
        """e^(t/tau_s) and e^(t/2tau_s): the sums are a1 and a2."""
        root = torch.exp(times / (2 * self.tau_s))
        return root * root, root

    def potential(self, sums: tuple[Tensor, ...], t: Tensor) -> Tensor:
        """V(t)."""
        a1, a2 = sums
        y = torch.exp(-t / (2 * self.tau_s))
        return (a2 * y - a1 * y * y) / self.gl

    def solve(self, sums: tuple[Tensor, ...]) -> Tensor:
        """The earlier root, which is the larger y."""
        a1, a2 = sums
        under = a2 * a2 - 4 * a1 * self.gl * self.v_threshold
        possible = (a1 > 0) & (a2 > 0) & (under >= 0)
        ratio = 2 * a1 / (a2 + under.clamp(min=0).sqrt())
        return (2 * self.tau_s * ratio.where(possible, 1).log()).where(possible, torch.nan)

    def kernel(self, x: Tensor) -> Tensor:
        """K = (e^(-x/2tau_s) - e^(-x/tau_s)) / gl."""
        y = torch.exp(-x / (2 * self.tau_s))
        return (y - y * y) / self.gl

    def slope(self, x: Tensor) -> Tensor:
        """K' = (-y/2 + y^2) / (tau_s gl)."""
        y = torch.exp(-x / (2 * self.tau_s))
        return (y * y - y / 2) / (self.tau_s * self.gl)
