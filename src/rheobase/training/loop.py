"""The training loop: `train(recipe, folder)` for run folders, `fit(model, data)` for all that needs no files.

Everything random in epoch `e` is drawn from streams seeded by (seed, e), so a run that was killed and resumed
gives the numbers of one that was not. The model kept is that of the last epoch; the test part is read once,
after training.
"""

import contextlib
import math
import os
import platform
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rheobase.datasets import DataSet, load_dataset
from rheobase.errors import RheobaseError
from rheobase.objectives import CrossEntropy, Objective, Outputs, build_objective, capture
from rheobase.training.callback import Callback, State
from rheobase.training.evaluation import measure
from rheobase.training.health import check_rates
from rheobase.training.keeper import Keeper
from rheobase.training.loader import Samples, shuffled_batches, steps_per_epoch
from rheobase.training.logs import Metrics, check_tensorboard
from rheobase.training.progress import TrainingProgress
from rheobase.training.recipe import AugmentConfig, OptimiserConfig, Recipe, TrainConfig
from rheobase.training.rehearse import no_head, rehearse
from rheobase.training.run import Run, build_model, check_folder, write_result

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
        frames of `data` uint8 `[N, T, C, H, W]`

    Raises:
        DivergenceError: the loss became NaN or infinite.
        DataError, RecipeError: objective, model and data do not fit each other; found before the first step.
    """
    if isinstance(data, DataSet):
        validation, data = validation or data.validation, data.train
    objective, optimiser = objective or CrossEntropy(), optimiser or OptimiserConfig()
    settings, augment = train or TrainConfig(), augment or AugmentConfig()
    head = head or getattr(model, "forward_head", None)
    with _threads(settings.threads):
        fabric = fabric or make_fabric(settings)
        rehearse(model, data, objective, head)
        wrapped, stepper = fabric.setup(model, build_optimiser(model, optimiser))
        state = State(model, stepper.optimizer, settings.epochs)
        for callback in callbacks:
            callback.started(state)
        steps = steps_per_epoch(len(data), settings.batch_size, fabric.world_size)
        quiet = bool(quiet) or not fabric.is_global_zero
        with TrainingProgress(settings.epochs, steps, done=state.epoch, quiet=quiet) as progress:
            if settings.precision == "bf16" and fabric.device.type == "cpu" and not _has_bf16():
                progress.note(
                    "note: this processor has no bf16 arithmetic, so bf16 is several times slower than 32"
                )
            while state.epoch < settings.epochs:
                began = time.perf_counter()
                seed_everything(settings.seed, state.epoch, fabric.global_rank)
                stream = shuffled_batches(
                    data,
                    settings.batch_size,
                    seed=settings.seed,
                    epoch=state.epoch,
                    shift=augment.shift,
                    rank=fabric.global_rank,
                    world_size=fabric.world_size,
                    device=fabric.device,
                )
                row: Metrics = {"epoch": state.epoch + 1, "lr": 0.0, "seconds": 0.0}
                totals: dict[str, float] = defaultdict(float)
                model.train()
                for step, (frames, target) in enumerate(stream):
                    row["lr"] = optimiser.lr_at(state.epoch + (step + 0.5) / steps, settings.epochs)
                    for group in stepper.param_groups:
                        group["lr"] = row["lr"]
                    with fabric.autocast(), capture(model, objective.layers(model)) as captured:
                        logits = wrapped(frames)
                        spikes = captured.spikes(steps=len(logits))
                        loss = objective(Outputs(logits, spikes, head or no_head), target)
                    value = loss.total.item()
                    if not math.isfinite(value):
                        raise DivergenceError(
                            _diverged(value, state.epoch + 1, step + 1, row["lr"], settings)
                        )
                    stepper.zero_grad()
                    fabric.backward(loss.total)
                    stepper.step()
                    totals["samples"] += len(target)
                    totals["accuracy"] += int((logits.detach().mean(0).argmax(-1) == target).sum())
                    totals["loss"] += value * len(target)
                    for name, part in loss.parts.items():
                        totals[name] += part.item() * len(target)
                    progress.step(state.epoch + 1, value)
                row |= _means(totals, fabric)
                if validation is not None and len(validation):
                    row |= _validate(model, wrapped, validation, settings.batch_size)
                row["seconds"] = time.perf_counter() - began
                state.epoch += 1
                state.history.append(row)
                progress.epoch(row)
                _note_rates(state, progress)
                for callback in callbacks:
                    callback.epoch_ended(state)
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
    with _threads(recipe.train.threads):
        fabric = make_fabric(recipe.train)
        fabric.launch()
        if fabric.is_global_zero:
            check_folder(folder, recipe, resume=resume)
        if recipe.train.tensorboard:
            check_tensorboard()
        data = load_dataset(recipe.data)
        seed_everything(recipe.train.seed)
        model = build_model(recipe, data)
        objective = build_objective(recipe.objective)
        run, keeper = Run(folder, recipe), Keeper(folder, recipe, fabric)
        history = fit(
            model,
            data,
            objective,
            optimiser=recipe.optimiser,
            train=recipe.train,
            augment=recipe.augment,
            callbacks=[keeper, *callbacks],
            fabric=fabric,
            quiet=quiet,
        )
        if fabric.is_global_zero:
            accuracy = run.evaluate(data=data, model=model).accuracy if evaluate else None
            write_result(run, history, data=data, model=model, warnings=keeper.warnings, accuracy=accuracy)
        fabric.barrier()
    return run


def make_fabric(settings: TrainConfig) -> "Fabric":
    """Lightning Fabric on whatever accelerator there is; under `torchrun` on all processes it started."""
    from lightning_fabric import Fabric  # takes two seconds to import: only those who train wait

    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    world = int(os.environ.get("WORLD_SIZE", 1))
    precision: Any = "bf16-mixed" if settings.precision == "bf16" else "32-true"
    return Fabric(accelerator="auto", devices=local, num_nodes=max(world // local, 1), precision=precision)


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> Optimizer:
    """The optimiser of a configuration; the learning rate is set anew at every step (`config.lr_at`)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.name == "sgd":
        return SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay)
    kind = Adam if config.name == "adam" else AdamW
    return kind(parameters, config.lr, weight_decay=config.weight_decay)


def seed_everything(*seed: int) -> None:
    """Seed Python, NumPy and torch from a tuple of numbers, such as (seed, epoch, process)."""
    words = np.random.SeedSequence(seed).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 31 | int(words[3]) >> 1)


def _has_bf16() -> bool:
    """Whether the processor multiplies bf16 itself; True where torch cannot tell."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)())


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _means(totals: dict[str, float], fabric: "Fabric") -> Metrics:
    """Totals of an epoch, over all processes, as means per sample."""
    names = list(totals)
    values = torch.tensor([totals[name] for name in names], dtype=torch.float64)
    if fabric.world_size > 1:
        values = torch.as_tensor(fabric.all_reduce(values, reduce_op="sum"))
    count = values[names.index("samples")]
    return {
        f"train_{name}": float(v / count) for name, v in zip(names, values, strict=True) if name != "samples"
    }


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
