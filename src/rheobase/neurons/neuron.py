"""What every neuron module is: a configuration, three factors, and no state."""

from typing import ClassVar, TypedDict

from torch import Tensor, nn

from rheobase.errors import RecipeError
from rheobase.kernels import Membrane, Surrogate
from rheobase.neurons.config import NeuronConfig


class ResetOptions(TypedDict):
    """The options that every neuron function takes."""

    v_reset: float | None
    detach_reset: bool
    strict: bool
    ternary: bool
    membrane: Membrane | None
    surrogate: Surrogate


class Neuron(nn.Module):
    """Base of the neuron modules; the membrane lives in `forward` only, so nothing has to be reset.

        h = leak() * v + gain() * x;  s = 1[h >= threshold()]

    `threshold`: one value per channel `[C]` in place of `config.v_threshold`; an `nn.Parameter` is learned,
    any other tensor is kept as a buffer. Either is `v_threshold` in the state dict, which is empty without
    it.

    Shape: `[T, N, ...]` -> spikes, same shape.
    Raises:
        RecipeError: the configuration is for another kind of neuron, or a threshold is not positive.
    """

    kind: ClassVar[str]
    v_threshold: Tensor | None

    def __init__(self, config: NeuronConfig | None = None, threshold: Tensor | None = None) -> None:
        super().__init__()
        self.config = NeuronConfig.model_validate({"kind": self.kind}) if config is None else config
        if self.config.kind != self.kind:
            raise RecipeError(
                f"{type(self).__name__} was given a configuration of kind {self.config.kind!r}; "
                f"give kind={self.kind!r}, or call build_neuron(config)"
            )
        if threshold is not None and (threshold.dim() > 1 or not bool((threshold > 0).all())):
            raise RecipeError(
                f"threshold must hold positive values of shape [C], got shape {list(threshold.shape)}, "
                f"smallest {float(threshold.min()):g}"
            )
        if isinstance(threshold, nn.Parameter):
            self.v_threshold = threshold
        elif threshold is not None:
            self.register_buffer("v_threshold", threshold)
        else:
            self.v_threshold = None

    @property
    def v_reset(self) -> float | None:
        """Where a spike leaves the membrane; None: it takes the threshold off (soft reset)."""
        return self.config.v_reset

    def leak(self) -> float | Tensor:
        """The factor on the old membrane."""
        raise NotImplementedError

    def gain(self) -> float | Tensor:
        """The factor on the input."""
        raise NotImplementedError

    def threshold(self) -> float | Tensor:
        """The firing threshold: a number, or `[C]`."""
        return self.config.v_threshold if self.v_threshold is None else self.v_threshold

    def reset_options(self) -> ResetOptions:
        """The options that every neuron function takes, from the configuration."""
        c = self.config
        return {
            "v_reset": c.v_reset,
            "detach_reset": c.detach_reset,
            "strict": c.strict,
            "ternary": c.ternary,
            "membrane": c.membrane,
            "surrogate": c.surrogate,
        }

    def extra_repr(self) -> str:
        """The options that differ from the defaults, tau and threshold always."""
        c = self.config
        tau = [] if c.kind == "if" else [f"tau={c.tau:g}"]
        threshold = (
            f"{c.v_threshold:g}"
            if self.v_threshold is None
            else f"[{', '.join(map(str, self.v_threshold.shape))}]"
        )
        reset = "soft" if c.v_reset is None else f"{c.v_reset:g}"
        flags = [name for name in ("decay_input", "detach_reset", "strict", "ternary") if getattr(c, name)]
        if c.membrane is not None:
            flags.append(f"{c.membrane.name} membrane of {c.membrane.bits} bit")
        return ", ".join([*tau, f"v_threshold={threshold}", f"v_reset={reset}", *flags, c.surrogate.name])
