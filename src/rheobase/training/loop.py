"""The training loop: `train(recipe, folder)` for run folders, `fit(model, data)` for all that needs no files.

Everything random in epoch `e` is drawn from streams seeded by (seed, e), so a run that was killed and resumed
gives the numbers of one that was not. The model kept is that of the last epoch; the test part is read once,
after training.
"""

import contextlib
import copy
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.datasets import DataSet, load_dataset
from rheobase.errors import RecipeError, RheobaseError
from rheobase.objectives import CrossEntropy, Objective
from rheobase.training.arithmetic import has_bf16, layout, settle, settle_recipe
from rheobase.training.augment import AugmentConfig
from rheobase.training.callback import Callback, Schedule, State
from rheobase.training.evaluation import measure, share_right
from rheobase.training.health import check_rates
from rheobase.training.keeper import Keeper
from rheobase.training.loader import Samples, plan, prefetched, steps_per_epoch
from rheobase.training.logs import Metrics, check_tensorboard
from rheobase.training.optimiser import build_optimiser
from rheobase.training.processes import check_shares, first, make_fabric, mean, peers_explained, total
from rheobase.training.progress import TrainingProgress
from rheobase.training.recipe import OptimiserConfig, Recipe, TrainConfig
from rheobase.training.recompute import recomputed
from rheobase.training.rehearse import rehearse
from rheobase.training.run import RECIPE, Run, build_model, check_folder, write_result
from rheobase.training.shard import is_sharded, whole
from rheobase.training.step import Step
from rheobase.training.sync_norm import synchronised
from rheobase.training.teacher import recipe_objective

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class DivergenceError(RheobaseError):
    """The loss became NaN or infinite."""


def fit(
    model: nn.Module,
    data: DataSet | Samples,
    objective: Objective | None = None,
    *,
    validation: Samples | None = None,
    optimiser: OptimiserConfig | None = None,
    train: TrainConfig | None = None,
    augment: AugmentConfig | None = None,
    head: Callable[[Tensor], Tensor] | None = None,
    callbacks: Sequence[Callback] = (),
    fabric: "Fabric | None" = None,
    quiet: bool | None = None,
) -> list[Metrics]:
    """Train `model` in place, without files; returns one dictionary of metrics an epoch (see `logs.Metrics`).

    Any module with `forward(x[T, N, ...]) -> logits[T, N, K]` will do; an objective that sends rates through
    the head takes it from `model.forward_head`, or from `head`. The global random streams are seeded anew at
    every epoch.

    Shape:
        frames of `data` uint8 or int8 `[N, T, C, H, W]`, labels `[N]`, or `[N, T]` with -1 where a step has none

    Raises:
        DivergenceError: the loss became NaN or infinite.
        DataError, RecipeError: objective, model and data do not fit each other; found before the first step.
    """
    if isinstance(data, DataSet):
        validation, data = validation or data.validation, data.train
    objective, optimiser = objective or CrossEntropy(), optimiser or OptimiserConfig()
    settings, augment = settle(train or TrainConfig()), augment or AugmentConfig()
    head = head or getattr(model, "forward_head", None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_threads(settings.threads))
        fabric = fabric or make_fabric(settings)
        check_shares(settings, fabric.world_size)
        rehearse(model, data, objective, head)
        trained = model
        if is_sharded(fabric):  # sharding cannot be undone: a copy is trained
            if head != getattr(model, "forward_head", None):
                raise RecipeError("FSDP trains a copy of the model, which head=... is no part of; use DDP")
            trained = copy.deepcopy(model)
            head = getattr(trained, "forward_head", None)
        stack.enter_context(layout(trained, settings.channels_last is True and trained is model))
        stack.enter_context(synchronised(trained, fabric.world_size > 1))
        stack.enter_context(recomputed(trained, settings.recompute))
        wrapped = fabric.setup_module(Step(trained, objective, head))
        stepper: Any = fabric.setup_optimizers(build_optimiser(trained, optimiser))  # of the shards, if any
        state = State(trained, stepper.optimizer, settings.epochs)
        for callback in callbacks:
            callback.started(state)
        steps = steps_per_epoch(len(data), settings.batch_size)
        quiet = bool(quiet) or not fabric.is_global_zero
        progress = stack.enter_context(
            TrainingProgress(settings.epochs, steps, done=state.epoch, quiet=quiet)
        )
        if settings.precision == "bf16" and not has_bf16(fabric.device.type):
            progress.note(
                "note: this processor has no bf16 arithmetic, so bf16 is several times slower than 32"
            )
        while state.epoch < settings.epochs:
            began = time.perf_counter()
            seed_everything(settings.seed, state.epoch, 0)  # the same in all processes, see `WholeDraws`
            planned = plan(
                len(data),
                settings.batch_size,
                seed=settings.seed,
                epoch=state.epoch,
                augment=augment,
                accumulate=settings.accumulate,
                rank=fabric.global_rank,
                world_size=fabric.world_size,
            )
            stream = prefetched(data, planned, workers=settings.workers, device=fabric.device)
            row: Metrics = {"epoch": state.epoch + 1, "lr": 0.0, "seconds": 0.0}
            totals: dict[str, float] = defaultdict(float)
            trained.train()
            for step, parts in enumerate(stream):
                row["lr"] = optimiser.lr_at(state.epoch + (step + 0.5) / steps, settings.epochs)
                for group in stepper.param_groups:
                    group["lr"] = row["lr"]
                stepper.zero_grad()
                value = 0.0
                for frames, target, part in parts:
                    last = part is parts[-1][-1]
                    with _unsynchronised(fabric, wrapped, not last):
                        loss, terms, logits = wrapped(frames, target, part.mine, part.size)
                        found = mean(fabric, loss.item(), len(target), part.size)
                        if not math.isfinite(found):
                            raise DivergenceError(
                                _diverged(found, state.epoch + 1, step + 1, row["lr"], settings)
                            )
                        # Gradients are averaged over processes: the share of a process is of that average.
                        fabric.backward(loss * (len(target) * fabric.world_size / part.of), model=wrapped)
                    value += found * part.size / part.of
                    totals["samples"] += len(target)
                    totals["accuracy"] += share_right(logits, target) * len(target)
                    totals["loss"] += loss.item() * len(target)
                    for name, term in terms.items():
                        totals[name] += term.item() * len(target)
                stepper.step()
                progress.step(state.epoch + 1, value)
            row |= _means(total(fabric, totals))
            if validation is not None and len(validation):
                row |= _validate(trained, wrapped, validation, settings.batch_size)
            row["seconds"] = time.perf_counter() - began
            state.epoch += 1
            state.history.append(row)
            progress.epoch(row)
            _note_rates(state, progress)
            for callback in callbacks:
                callback.epoch_ended(state)
        if trained is not model:
            model.load_state_dict(whole(trained.state_dict()))
    return state.history


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    quiet: bool | None = None,
    evaluate: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train as a recipe says, keep everything in a run folder, then evaluate the last epoch on the test part.

    `resume` goes on from the last whole checkpoint, or starts where there is none. Works under `torchrun`
    too: the batch is then shared out and one process writes.

    Raises:
        CheckpointError: the folder cannot be written, is not empty (without `resume`), or is of another
            recipe (with it).
        RecipeError, DataError: recipe and data do not fit; found before training starts.
        DivergenceError: the loss became NaN or infinite; the folder keeps the epochs before.
    """
    folder = Path(folder)
    recipe = settle_recipe(recipe, folder / RECIPE if resume else None)
    with _threads(recipe.train.threads):
        fabric = make_fabric(recipe.train)
        fabric.launch()
        with peers_explained(fabric):
            first(fabric, lambda: check_folder(folder, recipe, resume=resume))
            if recipe.train.tensorboard:
                check_tensorboard()
            data = first(fabric, lambda: load_dataset(recipe.data)) or load_dataset(recipe.data)
            seed_everything(recipe.train.seed)
            model = build_model(recipe, data)
            objective = recipe_objective(recipe.objective)
            run, keeper = Run(folder, recipe), Keeper(folder, recipe, fabric)
            history = fit(
                model,
                data,
                objective,
                optimiser=recipe.optimiser,
                train=recipe.train,
                augment=recipe.augment,
                callbacks=[keeper, Schedule(), *callbacks],
                fabric=fabric,
                quiet=quiet,
            )

            def finish() -> None:
                accuracy = run.evaluate(data=data, model=model).accuracy if evaluate else None
                warnings = keeper.warnings
                write_result(run, history, data=data, model=model, warnings=warnings, accuracy=accuracy)

            first(fabric, finish)
    return run


def seed_everything(*seed: int) -> None:
    """Seed Python, NumPy and torch from a tuple of numbers, such as (seed, epoch, process)."""
    words = np.random.SeedSequence(seed).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 31 | int(words[3]) >> 1)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _unsynchronised(fabric: "Fabric", wrapped: Any, on: bool) -> contextlib.AbstractContextManager[object]:
    """No exchange of gradients until the last micro-batch of a step."""
    if fabric.world_size == 1:
        return contextlib.nullcontext()
    return fabric.no_backward_sync(wrapped, enabled=on)


def _means(totals: dict[str, float]) -> Metrics:
    """Totals of an epoch as means per sample."""
    return {f"train_{name}": value / totals["samples"] for name, value in totals.items() if name != "samples"}


def _validate(model: nn.Module, wrapped: nn.Module, data: Samples, batch_size: int) -> Metrics:
    found = measure(model, data, batch_size=batch_size, forward=wrapped)
    row = {"validation_loss": found.loss(), "validation_accuracy": found.accuracy()}
    if found.rates:
        row |= {"rate": found.mean_rate} | {f"rate/{name}": rate for name, rate in found.rates.items()}
    return row


def _note_rates(state: State, progress: TrainingProgress) -> None:
    """Say once of each layer that it is dead or saturated, two epochs in a row or at the end.

    After a first epoch the running averages of batch-norm are not yet what they will be.
    """
    recent = state.history[-2:] if state.epoch < state.epochs else state.history[-1:]
    if len(recent) < 2 and state.epoch < state.epochs:
        return
    found = [
        check_rates({key.removeprefix("rate/"): row[key] for key in row if key.startswith("rate/")})
        for row in recent
    ]
    for name, message in found[-1].items():
        known = any(repr(name) in warning for warning in state.warnings)
        if not known and all(name in earlier for earlier in found):
            state.warnings.append(f"epoch {state.epoch}: {message}")
            progress.note(f"warning: {message}")


def _diverged(value: float, epoch: int, step: int, lr: float, settings: TrainConfig) -> str:
    tried = ' or precision "32"' if settings.precision == "bf16" else ""
    return (
        f"the loss became {value} at epoch {epoch}, step {step} (learning rate {lr:g}). Try a lower "
        "optimiser.lr, "
        f"optimiser.warmup_epochs{tried}; the folder of a run keeps the epochs before"
    )
