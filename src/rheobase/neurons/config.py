"""What a neuron is, as data."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rheobase.config import Config
from rheobase.kernels import EventGradient, Membrane, Rectangular, Surrogate


class AdaptiveThreshold(Config):
    """A threshold for each layer that follows its rate: after each batch of training

        v_threshold <- max(floor, v_threshold + eta * (rate - target)),   rate = mean |s| over T, N and neurons

    It keeps layers alive whose gradients exist at spikes alone. Evaluation leaves it as it is.

    Source: a reconstruction, for MPD-ED (arXiv 2403.00270).
    """

    eta: float = Field(default=0.1, gt=0)
    target: float = Field(default=0.15, gt=0, lt=1)
    floor: float = Field(default=0.05, gt=0)


class NeuronConfig(Config):
    """A spiking neuron: leak, add, compare, reset.

        h[t] = leak * v[t-1] + gain * x[t]
        s[t] = 1[h[t] >= v_threshold]              (strict: >)
        v[t] = h[t] - v_threshold * s[t]           v_reset None: soft reset
        v[t] = h[t] * (1 - s[t]) + v_reset * s[t]  hard reset

    `lif`: leak = 1 - 1/tau, and gain = 1/tau with `decay_input`, else 1; the membrane rests at 0.
    `if`: leak = gain = 1, `tau` is not read. `plif`: as `lif`, with tau learned from the value given.
    `detach_reset` stops the gradient through the reset.
    `ternary`: s[t] = -1 where h[t] <= -v_threshold (strict: <), and the reset takes the signed spike (hard:
    h[t] * (1 - |s[t]|) + v_reset * s[t]).
    `membrane`: the v[t] kept for the next step is one of the few levels of a quantiser (uniform, tanh or squat);
    its gradient is straight-through. The spike is decided before.
    `gradient`: the backward pass is restricted to events (`EventGradient`; MPD-ED). `adapt`: the threshold follows the
    firing rate, from `v_threshold` on.

    Raises:
        ValidationError: an unknown key, tau < 1 (`plif`: <= 1), v_threshold <= 0 or <= v_reset, `decay_input`
            for an `if`, a membrane quantiser of bits other than 2, 4 and 8, an `adapt.floor` not above v_reset.
    """

    kind: Literal["lif", "if", "plif"] = "lif"
    tau: float = Field(default=2.0, ge=1)
    v_threshold: float = Field(default=1.0, gt=0)
    v_reset: float | None = None
    decay_input: bool = False
    detach_reset: bool = False
    strict: bool = False
    ternary: bool = False
    membrane: Membrane | None = None
    surrogate: Surrogate = Rectangular()
    gradient: EventGradient | None = None
    adapt: AdaptiveThreshold | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.kind == "plif" and self.tau == 1:
            raise ValueError("plif learns tau as 1 + exp(-w), so it must start above 1; give tau=2.0")
        if self.kind == "if" and self.decay_input:
            raise ValueError("an `if` neuron has no decay; leave out decay_input, or use kind='lif'")
        if self.v_reset is not None and self.v_reset >= self.v_threshold:
            raise ValueError(
                f"v_reset {self.v_reset:g} must lie below v_threshold {self.v_threshold:g}; give v_reset=0.0"
            )
        if self.adapt is not None and self.v_reset is not None and self.v_reset >= self.adapt.floor:
            raise ValueError(
                f"adapt.floor {self.adapt.floor:g}, the least threshold, must lie above v_reset {self.v_reset:g}"
            )
        return self
