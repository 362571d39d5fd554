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

    def features(self, times: Tensor) -> tuple[Tensor, ...]:
        """1 and t: the sums are W = sum w and S = sum w t."""
        return times.new_ones(()).expand_as(times), times

    def potential(self, sums: tuple[Tensor, ...], t: Tensor) -> Tensor:
        """V = W t - S."""
        W, S = sums
        return W * t - S

    def solve(self, sums: tuple[Tensor, ...]) -> Tensor:
        """T = (th + S) / W where W > 0."""
        W, S = sums
        return ((self.v_threshold + S) / W).where(W > 0, float("nan"))

    def kernel(self, x: Tensor) -> Tensor:
        """K = x."""
        return x

    def slope(self, x: Tensor) -> Tensor:
        """K' = 1."""
        return x.new_ones(()).expand_as(x)

    def hits(self, sums: tuple[Tensor, ...], start: Tensor, end: Tensor) -> Tensor:
        """V at the next arrival has reached the threshold; W > 0 follows where no earlier segment was hit."""
        if self.crossing == "interval":
            t = self.solve(sums)
            return (t >= start) & (t <= end)
        return self.potential(sums, end) >= self.v_threshold

    def engine(self, times: Tensor) -> Engine:
        """The event-driven C kernels where they can run, else the reference."""
        if self.crossing == "segment_end" and event_kernels.available(times):
            return event_kernels.RelPspKernels()
        return Reference()
