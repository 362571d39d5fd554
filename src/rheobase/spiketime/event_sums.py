"""The sums of a neuron that fires after all its inputs have arrived, event by event.

    W_j = sum over fired i of w_ij      I_j = sum over fired i of w_ij t_i

    dL/dw_ij = dL/dW_j + dL/dI_j t_i    dL/dt_i = sum_j dL/dI_j w_ij      i fired, j with a gradient

With dL/dI_j = s and dL/dW_j = -s T both are those of ramps read at T, `s (t_i - T)` and `s w_ij`, so the backward pass is
ReL-PSP's with all arrived inputs causal. Sums run in order of arrival, in float64: the C kernels and the form in torch
give the same bits.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rheobase.spiketime import event_kernels
from rheobase.spiketime.crossing import Engine, Reference
from rheobase.spiketime.geometry import Geometry
from rheobase.spiketime.rel_psp import RelPsp

RAMP = RelPsp(t_max=None)


def event_sums(times: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """W and I, in float64.

    A neuron whose dL/dI is 0 has no gradient: its dL/dW is taken to be 0 as well.

    Shape: times `[N, S]`, weight `[m, n]` -> `[N, P, m]` twice
    """
    W, I = _Sums.apply(times.double(), weight.double(), geometry)  # noqa: E741
    return W, I


def reference(times: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """The sums in torch: gathered in order of arrival, prefix sums, the last of them."""
    start, order = geometry.patches(times).sort(dim=1, stable=True)  # [R, n], R = N*P
    arrived = start.isfinite()
    ts = torch.where(arrived, start, 0)
    found = []
    for row in weight:
        w = row[order] * arrived
        found.append(torch.stack([w.cumsum(1)[:, -1], (w * ts).cumsum(1)[:, -1]]))
    W, I = torch.stack(found, -1).unflatten(1, (len(times), -1))  # noqa: E741
    return W, I


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(times, weight)
        ctx.geometry = geometry
        compute = event_kernels.sums if event_kernels.available(times) else reference
        return compute(times, weight, geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_W: Tensor, to_I: Tensor) -> tuple[Tensor | None, ...]:
        (times, weight), geometry = ctx.saved_tensors, ctx.geometry
        moved = to_I != 0
        at = torch.where(moved, -to_W / to_I.where(moved, 1), 0)
        arrived = geometry.patches(times).isfinite().sum(1).view(*at.shape[:2], 1)
        last = torch.where(moved, arrived - 1, -1).int()
        native = event_kernels.available(times)
        engine: Engine = event_kernels.RelPspKernels(cap=torch.inf) if native else Reference()
        gt = gw = None
        if ctx.needs_input_grad[0]:
            gt = engine.to_times(RAMP, times, weight, geometry, to_I, at, last)
        if ctx.needs_input_grad[1]:
            gw = engine.to_weights(RAMP, times, weight, geometry, to_I, at, last)
        return gt, gw, None
