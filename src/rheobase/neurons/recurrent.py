"""Neurons whose spikes come back one step later.

h[t] = leak * v[t-1] + gain * (x[t] + R s[t-1])      s[-1] = 0
"""

import math

import torch
from torch import Tensor, nn

from rheobase.errors import DataError
from rheobase.kernels.reference import rounding
from rheobase.kernels.surrogates import spike
from rheobase.neurons.check import check_input
from rheobase.neurons.config import NeuronConfig
from rheobase.neurons.neuron import Neuron


class Recurrent(Neuron):
    """`channels` neurons of a configuration with a weight from each to each, `recurrent`; the rest is that of `IF`, `LIF` or
    `PLIF`.

    A loop over time in plain torch: what comes back needs the step before. `recurrent` starts orthogonal, times `strength`.

    Shape: `[T, N, channels, 1, 1]` -> spikes, same shape.
    Raises:
        DataError: the input is not floating-point `[T, N, channels, 1, 1]`.
    """

    kind = "any"

    def __init__(self, config: NeuronConfig, channels: int, strength: float = 0.5) -> None:
        super().__init__(config)
        self.channels = channels
        self.w = nn.Parameter(torch.tensor(-math.log(config.tau - 1))) if config.kind == "plif" else None
        self.recurrent = nn.Linear(channels, channels, bias=False)
        nn.init.orthogonal_(self.recurrent.weight, strength)

    def leak(self) -> float | Tensor:
        """That of `IF`, `LIF` and `PLIF`."""
        if self.w is not None:
            return 1 - torch.sigmoid(self.w)
        return 1.0 if self.config.kind == "if" else 1 - 1 / self.config.tau

    def gain(self) -> float | Tensor:
        """That of `IF`, `LIF` and `PLIF`."""
        return 1 - self.leak() if self.config.decay_input else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Spikes over time."""
        check_input(x)
        if x.shape[2:] != (self.channels, 1, 1):
            raise DataError(
                f"a recurrent layer of {self.channels} neurons needs [T, N, {self.channels}, 1, 1], got {list(x.shape)}"
            )
        c, leak, gain = self.config, self.leak(), self.gain()
        weight = self.recurrent.weight.t()
        threshold, settle = c.v_threshold, rounding(c.membrane, x)
        v = s = torch.zeros_like(x[0]).flatten(1)
        spikes = []
        for step in x.flatten(2).unbind(0):
            h = leak * v + gain * (step + s @ weight)
            s = fired = spike(h - threshold, c.surrogate, c.strict)
            if c.ternary:
                down = spike(-h - threshold, c.surrogate, c.strict)
                s, fired = s - down, s + down
            signed, fired = (s.detach(), fired.detach()) if c.detach_reset else (s, fired)
            w = h - threshold * signed if c.v_reset is None else h * (1.0 - fired) + c.v_reset * signed
            v = settle(w)
            spikes.append(s)
        return torch.stack(spikes)[..., None, None]
