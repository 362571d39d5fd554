"""Leaky integrate-and-fire whose time constant is learned.

1/tau = sigmoid(w)
h[t] = (1 - 1/tau) * v[t-1] + x[t]      (decay_input: + x[t]/tau)
s[t] = 1[h[t] >= v_threshold]           (strict: >)
v[t] = h[t] - v_threshold * s[t]        (v_reset given: h[t] * (1 - s[t]) + v_reset * s[t])

`ternary` and `membrane` add signed spikes and a rounded membrane, `gradient` learns at events alone: `NeuronConfig` has
their equations.
"""

import math

import torch
from torch import Tensor, nn

from rheobase.kernels import EventGradient, Membrane, Rectangular, Surrogate, neuron_scan
from rheobase.neurons.check import check_input, check_threshold
from rheobase.neurons.config import NeuronConfig
from rheobase.neurons.neuron import Neuron


def plif(
    x: Tensor,
    w: Tensor,
    *,
    v_threshold: float | Tensor = 1.0,
    v_reset: float | None = None,
    decay_input: bool = False,
    detach_reset: bool = False,
    strict: bool = False,
    ternary: bool = False,
    membrane: Membrane | None = None,
    gradient: EventGradient | None = None,
    surrogate: Surrogate = Rectangular(),  # noqa: B008 (frozen)
) -> Tensor:
    """Spikes of leaky integrate-and-fire neurons with `1/tau = sigmoid(w)`; the gradient reaches `w`.

    Shape: x `[T, N, ...]`, w `[]` -> spikes, shape of x; `v_threshold` a number or `[C]` along axis 2.
    Raises:
        DataError: x has no time axis or is not floating point.
        RecipeError: v_threshold <= 0.
    Source: Fang et al., ICCV 2021, arXiv 2007.05785, eq. 10-11.
    """
    check_input(x)
    check_threshold(v_threshold)
    rate = torch.sigmoid(w)
    return neuron_scan(
        x * rate if decay_input else x,
        1 - rate,
        v_threshold,
        v_reset=v_reset,
        detach_reset=detach_reset,
        strict=strict,
        surrogate=surrogate,
        ternary=ternary,
        membrane=membrane,
        gradient=gradient,
    )


class PLIF(Neuron):
    """Module of `plif` with one parameter `w`, initialised so that tau is the configured one.

    Shape: `[T, N, ...]` -> spikes, same shape.
    Raises:
        DataError: the input has no time axis or is not floating point.
    """

    kind = "plif"

    def __init__(self, config: NeuronConfig | None = None, threshold: Tensor | None = None) -> None:
        super().__init__(config, threshold)
        self.w = nn.Parameter(torch.tensor(-math.log(self.config.tau - 1)))

    def leak(self) -> Tensor:
        """`1 - sigmoid(w)`."""
        return 1 - torch.sigmoid(self.w)

    def gain(self) -> float | Tensor:
        """`sigmoid(w)` with `decay_input`, else 1."""
        return torch.sigmoid(self.w) if self.config.decay_input else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Spikes over time."""
        return plif(
            x,
            self.w,
            v_threshold=self.threshold(),
            decay_input=self.config.decay_input,
            **self.reset_options(),
        )
