"""What every objective shares: what it is given, what it returns, and the mean readout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rheobase.datasets.dataset import UNLABELLED
from rheobase.errors import DataError, RecipeError
from rheobase.objectives.capture import capture


@dataclass(frozen=True)
class Outputs:
    """What one forward pass produced.

    ``heads`` is that of a model whose logits are the mean of several heads (its ``forward_heads``), else None.

    Shape: ``logits`` [T, N, K]; each of ``spikes`` [T, N, ...], in the order captured; ``head`` maps a rate
    [N, ...] of the last captured layer to logits [N, K]; ``frames`` [T, N, ...] as the model saw them; ``heads`` maps the output
    of the module ``features`` [T, N, ...] to logits [T, N, K] of each head.
    """

    logits: Tensor
    spikes: dict[str, Tensor]
    head: Callable[[Tensor], Tensor]
    frames: Tensor | None = None
    heads: Callable[[Tensor], tuple[Tensor, ...]] | None = None


@dataclass(frozen=True)
class Loss:
    """The scalar to differentiate, and its unweighted, detached terms for the log."""

    total: Tensor
    parts: dict[str, Tensor]


@runtime_checkable
class Objective(Protocol):
    """A training loss; it owns no parameters and is not used for inference.

    ``needs_features`` says whether spike maps must be captured at all, ``layers(model)`` which modules they
    come from.
    """

    @property
    def needs_features(self) -> bool:
        """Whether ``Outputs.spikes`` and ``Outputs.head`` are used."""
        ...

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the modules to capture; empty where no features are needed."""
        ...

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch against its labels [N]."""
        ...


def wide(x: Tensor) -> Tensor:
    """The tensor in float32 or wider: rates and losses are never taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def mean_readout(logits: Tensor, target: Tensor | None = None) -> Tensor:
    """Logits averaged over time, ``O = (1/T) sum_t o_t``.

    Shape: [T, N, K] -> [N, K].

    Raises: DataError if the logits do not have three axes, or another batch size than the target, if given.
    """
    _check_logits(logits)
    if target is not None and len(target) != logits.shape[1]:
        raise DataError(
            f"the target has {len(target)} samples and the logits [T, N, K] are {list(logits.shape)}. "
            "Are T and N swapped? Frames and logits are time first."
        )
    return wide(logits).mean(0)


def judged(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The decisions that labels judge, with those labels: time means for labels [N], single steps for labels [N, T].

    Steps labelled -1 (unlabelled) are left out.

    Shape: logits [T, N, K], target [N] -> [N, K], [N]; target [N, T] -> [M, K], [M] with M labelled steps.

    Raises: DataError if logits and target do not fit.
    """
    if target.dim() == 1:
        return mean_readout(logits, target), target
    check_step_labels(logits, target)
    labelled = target != UNLABELLED
    return wide(logits).transpose(0, 1)[labelled], target[labelled]


def check_step_labels(logits: Tensor, target: Tensor) -> None:
    """Refuse labels by step that are not those of the logits.

    Raises: DataError if the target is not [N, T] where the logits are [T, N, K].
    """
    _check_logits(logits)
    if target.shape != (logits.shape[1], logits.shape[0]):
        raise DataError(
            f"labels by step are [N, T], here {[logits.shape[1], logits.shape[0]]}, got {list(target.shape)}; give each "
            "sample one label, [N], or one for every step, -1 where there is none"
        )


def collect(
    model: nn.Module, frames: Tensor, objective: Objective, head: Callable[[Tensor], Tensor] | None = None
) -> Outputs:
    """Run a model once and gather what the objective needs.

    ``head`` defaults to the model's ``forward_head``; a foreign model passes its own.

    Shape: frames [T, N, ...], and the model returns logits [T, N, K].

    Raises: RecipeError if the objective needs a head or a layer that the model does not name; DataError if a
    captured layer did not run or does not give T steps.
    """
    head = head or getattr(model, "forward_head", None)
    if head is None and objective.needs_features:
        raise RecipeError(
            f"{type(objective).__name__} sends a rate through the linear head, and {type(model).__name__} "
            "has no forward_head. Pass head=..., a callable that takes the rate [N, ...] of the captured "
            "layer to logits [N, K]."
        )
    with capture(model, objective.layers(model)) as captured:
        logits = model(frames)
    _check_logits(logits)
    spikes = captured.spikes(steps=logits.shape[0])
    return Outputs(logits, spikes, head or _no_head, frames, getattr(model, "forward_heads", None))


def _check_logits(logits: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 3:
        got = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise DataError(
            f"an objective takes logits of every time step, [T, N, K], and got {got}. Return the logits per "
            "step from the model (stack them on axis 0) and leave the mean to the objective."
        )


def _no_head(rate: Tensor) -> Tensor:
    raise RecipeError("this model was run without a head; pass head=... to collect")
