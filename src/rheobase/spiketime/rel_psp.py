"""STDBP with the rectified linear postsynaptic potential (ReL-PSP): ramps that never decay.

    K(x) = max(x, 0)                V_j(t) = sum_i w_ij K(t - t_i)
    t_j  = (th + sum_C w t) / W     W = sum_C w > 0, C the causal set
    dt_j/dw_ij = (t_i - t_j) / W    dt_j/dt_i = w_ij / W

The slope at threshold, W, does not shrink after the last input, and every neuron whose arrived weights sum to
more than zero fires eventually.

Source: Zhang et al., Rectified Linear Postsynaptic Potential Function for Backpropagation in Deep Spiking Neural
Networks, IEEE TNNLS 33(5), 2022, arXiv 2003.11837. Neuron and gradients are the paper's; t_max, the limits of
slope and the remedies for silent neurons are reconstructions.
"""

from typing import Literal

import torch
from torch import Tensor

from rheobase.spiketime import event_kernels
from rheobase.spiketime.crossing import CrossingRule, Engine, Reference


class RelPsp(CrossingRule):
    """Options of ReL-PSP.

    `crossing`: `segment_end` asks whether V reaches the threshold by the next arrival; `interval` whether the closed
    form lies in the segment, which is the same in exact arithmetic and loses spikes that coincide with an arrival.
    `slope_min` holds W up in gradients.
    """

    name: Literal["rel_psp"] = "rel_psp"
    t_max: float | None = 6.0
    crossing: Literal["segment_end", "interval"] = "segment_end"

    def segments(self, w: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """V rises by W (end - start) in each segment; W > 0 follows where it reaches the threshold first."""
        W = w.cumsum(-1)
        after = (W * (end - start)).cumsum(-1)  # V at the end of each segment
        before = torch.cat([torch.zeros_like(after[..., :1]), after[..., :-1]], -1)
        t = start + (self.v_threshold - before) / W
        if self.crossing == "interval":
            return (W > 0) & (t >= start) & (t <= end), t
        return after >= self.v_threshold, t.clamp(start, end)

    def kernel(self, x: Tensor) -> Tensor:
        """K = x."""
        return x

    def slope(self, x: Tensor) -> Tensor:
        """K' = 1."""
        return x.new_ones(()).expand_as(x)

    def engine(self, times: Tensor) -> Engine:
        """The event-driven C kernels where they can run, else the reference."""
        if self.crossing == "segment_end" and event_kernels.available(times):
            return event_kernels.RelPspKernels()
        return Reference()
