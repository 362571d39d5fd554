"""Comsa's alpha synapses, with learned synchronisation pulses.

    K(x) = x e^(-tau x)        tau is an inverse time
    t_j  = B/A - W0(-(tau th/A) e^(tau B/A)) / tau,   A = sum_C w e^(tau t_i),  B = sum_C w t_i e^(tau t_i)

Pulses are inputs that every layer has besides those of the layer before, at times that are learned: with them a
neuron can fire where its inputs are few. Neurons that stay silent have all their weights pushed up (`silent="push"`).

Source: Comsa et al., Temporal coding in spiking neural networks with alpha synaptic function, ICASSP 2020, arXiv
1907.13223. The rate of the push is a reconstruction.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.spiketime.goltz import AlphaRule


class Comsa(AlphaRule):
    """Options of Comsa's rule."""

    name: Literal["comsa"] = "comsa"
    t_max: float | None = 6.0
    tau: float = Field(default=1.0, gt=0)
    silent: Literal["none", "t_max_gradient", "push"] = "push"
    silent_rate: float = Field(default=0.5, gt=0)
    init_sum: float = 12.0

    def constants(self) -> tuple[float, float]:
        """K(x) = x e^(-tau x)."""
        return 1 / self.tau, 1.0


class Pulses(nn.Module):
    """Appends `count` learned spike times, the same for all samples, evenly spread over [0, span] at the start.

    Shape: `[N, n]` -> `[N, n + count]`
    """

    def __init__(self, count: int, span: float = 1.0) -> None:
        super().__init__()
        self.times = nn.Parameter(torch.linspace(0, span, count + 2)[1:-1])

    def forward(self, times: Tensor) -> Tensor:
        """Times with the pulses behind them."""
        return torch.cat([times, self.times.to(times.dtype).expand(len(times), -1)], 1)
