"""`prune_`: rank the channels of a model, and cut out the lowest, in place."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from rheobase.compression.pruning.choose import choose, ratios
from rheobase.compression.pruning.config import PruneConfig
from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.groups import Group, compare, cuts, find_groups, why_none
from rheobase.compression.pruning.plan import GroupPlan, PrunePlan, apply_plan
from rheobase.compression.pruning.scores import rank
from rheobase.compression.pruning.scores.base import Subject
from rheobase.compression.pruning.tensors import tensors
from rheobase.compression.pruning.tracing import Run, Trace, call, trace
from rheobase.errors import RecipeError, RheobaseError

Pointwise = tuple[type[nn.Module], ...]
FineTune = Callable[[nn.Module, PrunePlan, int], Any]


def plan_pruning(
    model: nn.Module,
    config: PruneConfig,
    frames: Tensor,
    *,
    run: Run = call,
    pointwise: Pointwise = (),
    done: PrunePlan | None = None,
    step: int = 1,
) -> PrunePlan:
    """What `prune_` would remove; the model is left as it is.

    `done` and `step`: what an iterative schedule has removed so far, and which of its `config.iterations` this is.

    Shape: frames `[T, N, C, H, W]`.
    Raises:
        PruneError: an operation that cannot be followed, or nothing that could be removed.
        RecipeError: a pattern of `overrides` matches no layer.
    """
    return _plan(model, config, frames, run, pointwise, done, step)[0]


def _plan(
    model: nn.Module,
    config: PruneConfig,
    frames: Tensor,
    run: Run,
    pointwise: Pointwise,
    done: PrunePlan | None = None,
    step: int = 1,
) -> tuple[PrunePlan, Trace]:
    found = trace(model, frames, run, pointwise)
    everything = find_groups(found)
    if not everything:
        reasons = why_none(found) or ["it has no convolution or linear layer"]
        raise PruneError(f"{type(model).__name__} has no channel that could be removed: {'; '.join(reasons)}")
    original = {group.name: group.channels for group in done.groups} if done else {}
    own = ratios(everything, config)
    groups = [
        group for group, ratio in zip(everything, own, strict=True) if ratio != 0
    ]  # the rest needs no score
    config = config.model_copy(update={"overrides": _matching(config, groups)})
    rankings = rank(Subject(model, found, groups, frames, run, config))
    kept = choose(groups, rankings, config, ratio_scale=step / config.iterations, original=original)
    removed = {
        channel
        for group, stays in zip(groups, kept, strict=True)
        for i, channel in enumerate(group.channels)
        if i not in set(stays)
    }
    plan = PrunePlan(
        groups=tuple(
            GroupPlan(name=g.name, layers=g.layers, channels=g.size, kept=k)
            for g, k in zip(groups, kept, strict=True)
        ),
        cuts=cuts(found, removed),
    )
    return plan, found


def _matching(config: PruneConfig, groups: list[Group]) -> dict[str, float]:
    """The overrides that concern these groups."""
    return {
        pattern: ratio
        for pattern, ratio in config.overrides.items()
        if any(fnmatchcase(layer, pattern) for group in groups for layer in group.layers)
    }


def prune_(
    model: nn.Module,
    config: PruneConfig,
    frames: Tensor,
    *,
    run: Run = call,
    pointwise: Pointwise = (),
) -> PrunePlan:
    """Remove the channels that score lowest, in place, through everything that depends on them; returns the plan.

    The slimmed model computes what the model with those channels silenced computes. Output classes and input channels stay.
    Quantised models keep their quantisers, which compute their scales anew from the weights that are left. Make a new
    optimiser afterwards. Any torch model will do: `run(model, frames)` says how to call it (default `model(frames)`), and
    `pointwise` names neuron classes of its own.

    Shape: frames `[T, N, C, H, W]`, calibration recordings as the model takes them; weight scores only trace with them.
    Raises:
        PruneError: an operation that cannot be followed, no channel that could go, or a forward that counts on a fixed
            number of channels. The model is unchanged then.
        RecipeError: an iterative configuration (see `prune_iteratively`), or a pattern that matches no layer.
    """
    if config.iterations > 1:
        raise RecipeError(
            f"iterations={config.iterations} needs fine-tuning in between: call "
            "prune_iteratively(model, config, frames, finetune), or set iterations=1"
        )
    plan, found = _plan(model, config, frames, run, pointwise)
    _apply_checked(model, plan, found, frames, run, pointwise)
    return plan


def prune_iteratively(
    model: nn.Module,
    config: PruneConfig,
    frames: Tensor,
    finetune: FineTune,
    *,
    run: Run = call,
    pointwise: Pointwise = (),
) -> PrunePlan:
    """Reach the ratio in `config.iterations` steps, scoring anew each time; returns one plan for all of them.

    After step i of n the share `(1 - ratio)^(i/n)` of the original channels is left. `finetune(model, plan, i)` is called
    after every step, the last included, with the plan so far; it makes its own optimiser.

    Raises:
        PruneError: as for `prune_`.
    """
    done = PrunePlan()
    for step in range(1, config.iterations + 1):
        plan, found = _plan(model, config, frames, run, pointwise, done, step)
        _apply_checked(model, plan, found, frames, run, pointwise)
        done = done.then(plan)
        finetune(model, done, step)
    return done


@torch.no_grad()
def _apply_checked(
    model: nn.Module, plan: PrunePlan, before: Trace, frames: Tensor, run: Run, pointwise: Pointwise
) -> None:
    """Apply a plan, follow the channels of what is left, and take everything back where they meet others than before."""
    if not plan.cuts:
        return
    saved = [(tensor, tensor.data, tensor.grad) for tensor in tensors(model).values()]
    sizes = [(m, {k: v for k, v in vars(m).items() if isinstance(v, int)}) for m in model.modules()]
    try:
        apply_plan(model, plan)
        compare(before, trace(model, frames, run, pointwise), plan)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError, RheobaseError) as error:
        for tensor, data, grad in saved:
            tensor.data = data
            tensor.grad = grad
        for module, values in sizes:
            vars(module).update(values)
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PruneError(
            f"{type(model).__name__} does not run with fewer channels, so nothing was removed: {first}. Somewhere its "
            "forward counts on a fixed number of channels; write it with -1 or with the tensor's own shape"
        ) from error
