"""S4NN: non-leaky neurons with instantaneous synapses, trained as if a spike moved against its potential.

    V_j(t) = sum of w_ij over inputs with t_i <= t         t_j = first arrival with V_j >= th
    dt_j/dV_j := -1    dV_j/dw_ij = 1[t_i < t_j]           (silent: t_j = t_max)
    dL/dw_ij = -dL/dt_j 1[t_i < t_j]     dL/dt_i = sum_j dL/dt_j w_ij 1[t_i < t_j], at unit norm per sample

The time moves by jumps from one arrival to another, so no gradient exists to be exact about.

Source: Kheradpisheh and Masquelier, Temporal backpropagation for spiking neural networks with one spike per neuron,
Int. J. Neural Systems 30(6), 2020. The paper counts time in 256 steps; here times are real.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from rheobase.config import Config
from rheobase.spiketime.geometry import Geometry


class S4NN(Config):
    """Options of S4NN; `normalise` scales the gradient to the times of a sample to norm 1."""

    name: Literal["s4nn"] = "s4nn"
    v_threshold: float = Field(default=1.0, gt=0)
    t_max: float = Field(default=1.0, gt=0)
    normalise: bool = True
    init_sum: float = 3.0
    init_std: float = Field(default=1.0, ge=0)

    def start(self, weight: Tensor) -> None:
        """Draw initial weights `[m, n]` in place."""
        fan_in = weight[0].numel()
        torch.nn.init.normal_(weight, self.init_sum / fan_in, self.init_std / fan_in**0.5)

    def fire(self, times: Tensor, weight: Tensor, geometry: Geometry, *, training: bool = False) -> Tensor:
        """Spike times of a layer, the same in training and evaluation.

        Shape: times `[N, S]`, weight `[m, n]` -> `[N, P, m]`; inf = silent.
        Raises:
            DataError: shapes do not fit.
        """
        geometry.check(times, weight)
        fired: Tensor = _Fire.apply(times, weight, geometry, self)
        return fired


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, weight: Tensor, geometry: Geometry, rule: S4NN) -> Tensor:
        ts, order = geometry.patches(times).sort(dim=1, stable=True)
        after = torch.cat([ts[:, 1:], ts.new_full((len(ts), 1), torch.inf)], 1)
        possible = (ts <= rule.t_max) & (after > ts)  # inputs that coincide count together
        fired = []
        for row in weight:  # one output channel at a time: [R, n]
            V = (row[order] * ts.isfinite()).cumsum(1)
            some, k = ((rule.v_threshold <= V) & possible).max(1, keepdim=True)
            fired.append(ts.gather(1, k).where(some, torch.inf))
        out = torch.cat(fired, 1).unflatten(0, (len(times), -1))
        ctx.save_for_backward(times, weight, out)
        ctx.geometry, ctx.rule = geometry, rule
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        times, weight, out = ctx.saved_tensors
        geometry, rule = ctx.geometry, ctx.rule
        seen = geometry.patches(times)
        at, g = out.clamp(max=rule.t_max).flatten(0, 1), grad.flatten(0, 1)
        gw, gt = torch.zeros_like(weight), torch.zeros_like(seen)
        for j, row in enumerate(weight):
            before = (seen < at[:, j : j + 1]) * g[:, j : j + 1]
            gw[j] = -before.sum(0)
            gt += before * row
        to_times = geometry.scatter(gt)
        if rule.normalise:
            to_times = to_times / to_times.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return to_times, gw, None, None
