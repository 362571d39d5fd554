"""Integrate-and-fire without leak.

h[t] = v[t-1] + x[t]
s[t] = 1[h[t] >= v_threshold]           (strict: >)
v[t] = h[t] - v_threshold * s[t]        (v_reset given: h[t] * (1 - s[t]) + v_reset * s[t])

`ternary` and `membrane` add signed spikes and a rounded membrane, `gradient` learns at events alone: `NeuronConfig` has
their equations.
"""

from torch import Tensor

from rheobase.kernels import EventGradient, Membrane, Rectangular, Surrogate, neuron_scan
from rheobase.neurons.check import check_input, check_threshold
from rheobase.neurons.neuron import Neuron


def if_(
    x: Tensor,
    *,
    v_threshold: float | Tensor = 1.0,
    v_reset: float | None = None,
    detach_reset: bool = False,
    strict: bool = False,
    ternary: bool = False,
    membrane: Membrane | None = None,
    gradient: EventGradient | None = None,
    surrogate: Surrogate = Rectangular(),  # noqa: B008 (frozen)
) -> Tensor:
    """Spikes of integrate-and-fire neurons that start at v = 0; with soft reset nothing of the input is lost.

    Shape: x `[T, N, ...]` -> spikes, same shape; `v_threshold` a number or `[C]` along axis 2.
    Raises:
        DataError: x has no time axis or is not floating point.
        RecipeError: v_threshold <= 0.
    Source: Gerstner and Kistler, "Spiking Neuron Models" (2002), ch. 4; soft reset: Rueckauer et al. (2017).
    """
    check_input(x)
    check_threshold(v_threshold)
    return neuron_scan(
        x,
        1.0,
        v_threshold,
        v_reset=v_reset,
        detach_reset=detach_reset,
        strict=strict,
        surrogate=surrogate,
        ternary=ternary,
        membrane=membrane,
        gradient=gradient,
    )


class IF(Neuron):
    """Module of `if_`, without state.

    Shape: `[T, N, ...]` -> spikes, same shape.
    Raises:
        DataError: the input has no time axis or is not floating point.
    """

    kind = "if"

    def leak(self) -> float:
        """1: nothing is lost."""
        return 1.0

    def gain(self) -> float:
        """1."""
        return 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Spikes over time."""
        return if_(x, v_threshold=self.threshold(), **self.reset_options())
