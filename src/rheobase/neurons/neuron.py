"""What every neuron module is: a configuration, three factors, and no state between calls."""

from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn

from rheobase.errors import RecipeError
from rheobase.kernels import EventGradient, Membrane, Surrogate
from rheobase.neurons.config import NeuronConfig


class ResetOptions(TypedDict):
    """The options that every neuron function takes."""

    v_reset: float | None
    detach_reset: bool
    strict: bool
    ternary: bool
    membrane: Membrane | None
    gradient: EventGradient | None
    surrogate: Surrogate


class Neuron(nn.Module):
    """Base of the neuron modules; the membrane lives in `forward` only, so nothing has to be reset.

        h = leak() * v + gain() * x;  s = 1[h >= threshold()]

    `threshold`: one value per channel `[C]` in place of `config.v_threshold`; an `nn.Parameter` is learned,
    any other tensor is kept as a buffer. Either is `v_threshold` in the state dict, which is empty without
    it, unless training moves the threshold (`config.adapt`: one buffer `v_threshold` []) or starts with another gradient
    (`config.gradient.warmup`: a buffer `batches` [] counts).

    Shape: `[T, N, ...]` -> spikes, same shape.
    Raises:
        RecipeError: the configuration is for another kind of neuron, a threshold is not positive, or one that adapts is
            given, or recomputed in the backward pass.
    """

    kind: ClassVar[str]
    """Of the configurations it takes; `any` for a neuron that is made of another."""

    v_threshold: Tensor | None
    batches: Tensor | None

    def __init__(self, config: NeuronConfig | None = None, threshold: Tensor | None = None) -> None:
        super().__init__()
        self.config = NeuronConfig.model_validate({"kind": self.kind}) if config is None else config
        if self.kind not in (self.config.kind, "any"):
            raise RecipeError(
                f"{type(self).__name__} was given a configuration of kind {self.config.kind!r}; "
                f"give kind={self.kind!r}, or call build_neuron(config)"
            )
        if threshold is not None and (threshold.dim() > 1 or not bool((threshold > 0).all())):
            raise RecipeError(
                f"threshold must hold positive values of shape [C], got shape {list(threshold.shape)}, "
                f"smallest {float(threshold.min()):g}"
            )
        if self.config.adapt is not None:
            if threshold is not None:
                raise RecipeError(
                    "a threshold that adapts starts at config.v_threshold; leave out threshold=..."
                )
            threshold = torch.tensor(self.config.v_threshold)
            self.register_forward_pre_hook(_refuse_recomputation)
            self.register_forward_hook(_adapt)
        if isinstance(threshold, nn.Parameter):
            self.v_threshold = threshold
        elif threshold is not None:
            self.register_buffer("v_threshold", threshold)
        else:
            self.v_threshold = None
        if self.config.gradient is not None and self.config.gradient.warmup:
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
            self.register_forward_hook(_count)
        else:
            self.batches = None

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

    def gradient(self) -> EventGradient | None:
        """The restriction of the backward pass that holds now; None while a warm-up lasts."""
        wanted = self.config.gradient
        if wanted is None or self.batches is None or not self.training:
            return wanted
        return wanted if int(self.batches) >= wanted.warmup else None

    def reset_options(self) -> ResetOptions:
        """The options that every neuron function takes, from the configuration."""
        c = self.config
        return {
            "v_reset": c.v_reset,
            "detach_reset": c.detach_reset,
            "strict": c.strict,
            "ternary": c.ternary,
            "membrane": c.membrane,
            "gradient": self.gradient(),
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
        if c.gradient is not None:
            flags.append(f"gradient at {c.gradient.mask}s, {c.gradient.temporal}")
        if c.adapt is not None:
            flags.append(f"adapts to a rate of {c.adapt.target:g}")
        return ", ".join([*tau, f"v_threshold={threshold}", f"v_reset={reset}", *flags, c.surrogate.name])


def _recomputing() -> bool:
    """Whether this forward pass is part of a backward pass: activation checkpointing computes layers twice."""
    return torch._C._current_graph_task_id() != -1


def _refuse_recomputation(neuron: nn.Module, _inputs: Any) -> None:
    if neuron.training and _recomputing():
        raise RecipeError(
            "a threshold that adapts has moved by the time its layer is recomputed; set train.recompute=false"
        )


def _count(neuron: nn.Module, _inputs: Any, _spikes: Tensor) -> None:
    assert isinstance(neuron, Neuron) and neuron.batches is not None
    if neuron.training and not _recomputing():
        neuron.batches = neuron.batches + 1


def _adapt(neuron: nn.Module, _inputs: Any, spikes: Tensor) -> None:
    assert isinstance(neuron, Neuron) and neuron.config.adapt is not None and neuron.v_threshold is not None
    if not neuron.training:
        return
    c = neuron.config.adapt
    rate = spikes.detach().abs().mean(dtype=neuron.v_threshold.dtype)
    # A new tensor: the backward pass reads the old one.
    neuron.v_threshold = (neuron.v_threshold + c.eta * (rate - c.target)).clamp(min=c.floor)
