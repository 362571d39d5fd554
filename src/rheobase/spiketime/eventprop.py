"""EventProp on leaky integrate-and-fire neurons: exact gradients from an adjoint that runs backwards between events.

    tau_m V' = -V + I      tau_s I' = -I, I jumps by w_ij at t_i      t_j: V first reaches th
    K(x) = tau_s / (tau_m - tau_s) (e^(-x/tau_m) - e^(-x/tau_s))       V_j(t) = sum_i w_ij K(t - t_i)

    adjoint (' = -d/dt):   tau_m l_V' = -l_V      tau_s l_I' = l_V - l_I      both 0 behind the spike
    jump at the spike:     l_V = dL/dt_j / (tau_m V'(t_j))
    dL/dw_ij = -tau_s l_I(t_i)      dL/dt_i = sum_j w_ij (l_V - l_I)_j(t_i)

A neuron fires at most once here, so the adjoint of a spike is one pair of exponentials that starts there, x before it:
tau_s l_I = K(x) dL/dt_j / V' and l_V - l_I = K'(x) dL/dt_j / V', the derivatives of a crossing. Any tau_m and tau_s will do:
the crossing has no closed form and is found by bisection between an arrival and the top of V.

Source: Wunderlich and Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks,
Scientific Reports 11, 2021. Their neurons fire repeatedly; one spike per neuron is the interface of this package.
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.spiketime.crossing import CrossingRule

HALVINGS = 60  # of an interval: below the spacing of float64


class EventProp(CrossingRule):
    """Options of EventProp; a potential that leaks needs large initial sums and a push on silent neurons."""

    name: Literal["eventprop"] = "eventprop"
    t_max: float | None = 6.0
    tau_m: float = Field(default=2.0, gt=0)
    tau_s: float = Field(default=1.0, gt=0)
    silent: Literal["none", "t_max_gradient", "push"] = "push"
    silent_rate: float = Field(default=0.5, gt=0)
    init_sum: float = 8.0

    def model_post_init(self, context: Any) -> None:
        """Refuse equal time constants, whose kernel is another."""
        super().model_post_init(context)
        if self.tau_m == self.tau_s:
            raise ValueError(f"tau_m and tau_s are both {self.tau_m}: the rule for equal ones is goltz1")

    def segments(self, w: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """A segment holds a crossing if V reaches the threshold by its top or its end, whichever is earlier.

        V = scale (A e^(-t/tau_m) - B e^(-t/tau_s)) has one extremum, at most. Only the first such segment is searched, and
        its crossing is given for all.
        """
        A = (w * torch.exp(start / self.tau_m)).cumsum(-1)
        B = (w * torch.exp(start / self.tau_s)).cumsum(-1)
        top = self._extremum(A, B).nan_to_num(torch.inf)
        top = torch.where(top > start, top, torch.inf).minimum(end)
        hit = self._potential(A, B, top) >= self.v_threshold
        k = hit.max(-1, keepdim=True)[1]
        A, B, high = (x.gather(-1, k) for x in (A, B, top))
        low = start.expand_as(hit).gather(-1, k)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = self._potential(A, B, middle) >= self.v_threshold
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return hit, high.expand_as(hit)

    def kernel(self, x: Tensor) -> Tensor:
        """K, the adjoint tau_s l_I of a spike."""
        return self._scale() * (torch.exp(-x / self.tau_m) - torch.exp(-x / self.tau_s))

    def slope(self, x: Tensor) -> Tensor:
        """K', the adjoint l_V - l_I of a spike."""
        return self._scale() * (
            torch.exp(-x / self.tau_s) / self.tau_s - torch.exp(-x / self.tau_m) / self.tau_m
        )

    def _scale(self) -> float:
        return self.tau_s / (self.tau_m - self.tau_s)

    def _potential(self, A: Tensor, B: Tensor, t: Tensor) -> Tensor:
        """V(t); 0 at t = inf."""
        return self._scale() * (A * torch.exp(-t / self.tau_m) - B * torch.exp(-t / self.tau_s))

    def _extremum(self, A: Tensor, B: Tensor) -> Tensor:
        """Where V' = 0, nan where nowhere: e^(t (1/tau_s - 1/tau_m)) = (B/tau_s) / (A/tau_m)."""
        rate = 1 / self.tau_s - 1 / self.tau_m
        return (torch.log(B / A) + math.log(self.tau_m / self.tau_s)) / rate
