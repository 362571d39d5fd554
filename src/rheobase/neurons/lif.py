"""Leaky integrate-and-fire.

h[t] = (1 - 1/tau) * v[t-1] + x[t]      (decay_input: + x[t]/tau)
s[t] = 1[h[t] >= v_threshold]           (strict: >)
v[t] = h[t] - v_threshold * s[t]        (v_reset given: h[t] * (1 - s[t]) + v_reset * s[t])

`ternary` and `membrane` add signed spikes and a rounded membrane, `gradient` learns at events alone: `NeuronConfig` has
their equations.
"""

from torch import Tensor

from rheobase.kernels import EventGradient, Membrane, Rectangular, Surrogate, neuron_scan
from rheobase.neurons.check import check_input, check_tau, check_threshold
from rheobase.neurons.neuron import Neuron


def lif(
    x: Tensor,
    *,
    tau: float = 2.0,
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
    """Spikes of leaky integrate-and-fire neurons that start at rest, v = 0.

    `decay_input` with threshold `th` fires like no `decay_input` with `tau * th` (soft reset, or hard to 0).

    Shape: x `[T, N, ...]` -> spikes, same shape; `v_threshold` a number or `[C]` along axis 2.
    Raises:
        DataError: x has no time axis or is not floating point.
        RecipeError: tau < 1 or v_threshold <= 0.
    Source: Gerstner and Kistler, "Spiking Neuron Models" (2002), ch. 4; the variants are in `presets`.
    """
    check_input(x)
    check_tau(tau)
    check_threshold(v_threshold)
    return neuron_scan(
        x / tau if decay_input else x,
        1 - 1 / tau,
        v_threshold,
        v_reset=v_reset,
        detach_reset=detach_reset,
        strict=strict,
        surrogate=surrogate,
        ternary=ternary,
        membrane=membrane,
        gradient=gradient,
    )


class LIF(Neuron):
    """Module of `lif`, without state.

    Shape: `[T, N, ...]` -> spikes, same shape.
    Raises:
        DataError: the input has no time axis or is not floating point.
    """

    kind = "lif"

    def leak(self) -> float:
        """`1 - 1/tau`."""
        return 1 - 1 / self.config.tau

    def gain(self) -> float:
        """`1/tau` with `decay_input`, else 1."""
        return 1 / self.config.tau if self.config.decay_input else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Spikes over time."""
        c = self.config
        return lif(
            x, tau=c.tau, v_threshold=self.threshold(), decay_input=c.decay_input, **self.reset_options()
        )
