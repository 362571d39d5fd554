"""Spike times of the last layer to logits.

    FirstSpike:  o_k = -scale f(t_k),  silent t_k := t_max     f(t) = t, or e^t (Mostafa)
    WindowEnd:   o_k = W + sum_i w_ik (1 - t_i) over fired i    the membrane when the window ends (STD-ED)

Softmax cross-entropy of these is the loss; the argmax of the first is the neuron that fires first.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rheobase.spiketime.std_ed import inputs


class FirstSpike(nn.Module):
    """Logits that fall with time; a silent neuron counts as one that fires at t_max.

    The gradient of a silent neuron passes on: what to make of it is the option `silent` of its rule.

    Shape: `[N, K]` -> `[N, K]`
    """

    def __init__(
        self, t_max: float = 6.0, scale: float = 3.0, transform: Literal["linear", "exp"] = "linear"
    ) -> None:
        super().__init__()
        self.t_max, self.scale, self.transform = t_max, scale, transform

    def forward(self, times: Tensor) -> Tensor:
        """Logits."""
        t: Tensor = _Saturate.apply(times, self.t_max)
        return -self.scale * (t.exp() if self.transform == "exp" else t)


class WindowEnd(nn.Module):
    """A last layer that does not fire: its membrane at the end of the window.

    `form="proxy"` leaves out W: o_k = sum_i w_ik a_i. The two give different logits. With `onset` silent inputs get the gradient
    of the spike that is missing (`StdEd`).

    Shape: `[N, n]` -> `[N, K]`
    Source: the DTA-TTFS code has both.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        form: Literal["window_end", "proxy"] = "window_end",
        *,
        onset: bool = False,
    ) -> None:
        super().__init__()
        self.form, self.onset = form, onset
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, times: Tensor) -> Tensor:
        """Logits."""
        fired, a = inputs(times, learns=self.onset)
        return (a + fired if self.form == "window_end" else a) @ self.weight.T


class _Saturate(torch.autograd.Function):
    """Silent neurons at t_max, the gradient passing as if they had fired there."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, t_max: float) -> Tensor:
        return times.where(times.isfinite(), t_max)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None
