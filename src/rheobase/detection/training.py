"""Training of a detector: the loader, optimiser, seeds and checkpoints of `training.fit`, with boxes for labels.

As in `fit`, everything random in epoch `e` is drawn from streams seeded by (seed, e), so a run that was killed and resumed gives
the numbers of one that was not, and the model kept is that of the last epoch.
"""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rheobase.datasets import FrameSet
from rheobase.detection.head import DetectionModel
from rheobase.detection.loss import DetectionLoss
from rheobase.detection.targets import BoxSamples, box_samples
from rheobase.errors import DataError, RecipeError
from rheobase.training import (
    AugmentConfig,
    Callback,
    Checkpoint,
    DivergenceError,
    Metrics,
    OptimiserConfig,
    State,
    TrainConfig,
    load_checkpoint,
    load_model_tensors,
    save_checkpoint,
)
from rheobase.training.arithmetic import layout, settle
from rheobase.training.checkpoint import has_checkpoint
from rheobase.training.loader import plan, prefetched, steps_per_epoch
from rheobase.training.loop import seed_everything
from rheobase.training.optimiser import build_optimiser
from rheobase.training.processes import make_fabric

NOT_SERVED = ("recompute", "strategy", "threads", "tensorboard")
KEEPS_BOXES = ("polarity_flip", "drop", "time_jitter")
"""The augmentations that leave things where they are."""


class DetectionStep(nn.Module):
    """Model and loss in one forward pass, as what wraps it (Fabric) wants it.

    Shape: frames [T, n, C, H, W], labels [n, M, 5] -> loss and its parts, means over the n samples.
    """

    def __init__(self, model: DetectionModel, loss: DetectionLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, frames: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and parts."""
        found = self.loss(self.model(frames), labels)
        return found.total, found.parts


class Checkpoints(Callback):
    """Keeps the last epoch in a folder, and goes on from what is there: `train_detector(..., callbacks=[Checkpoints(path)])`.

    Raises:
        CheckpointError: the folder cannot be written, or its checkpoint is damaged or of another model.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def started(self, state: State) -> None:
        """Restore the last checkpoint, if there is one."""
        if has_checkpoint(self.folder):
            found = load_checkpoint(self.folder)
            load_model_tensors(state.model, found.model, f"the checkpoint of {self.folder}")
            state.optimiser.load_state_dict(found.optimiser or {})
            state.epoch, state.history = found.epoch, list(found.notes["history"])

    def epoch_ended(self, state: State) -> None:
        """Write what the epoch left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        weights, moments = state.model.state_dict(), state.optimiser.state_dict()
        save_checkpoint(self.folder, Checkpoint(state.epoch, weights, moments, {"history": state.history}))


def train_detector(
    model: DetectionModel,
    data: FrameSet | BoxSamples,
    loss: DetectionLoss | None = None,
    *,
    optimiser: OptimiserConfig | None = None,
    train: TrainConfig | None = None,
    augment: AugmentConfig | None = None,
    callbacks: Sequence[Callback] = (),
) -> list[Metrics]:
    """Train `model` in place, without files; returns a dictionary of metrics an epoch: `train_loss` and `train_<part>`.

    The default optimiser is AdamW at 0.002, as focal losses start small.

    Raises:
        DataError: the data has no boxes, or classes that the model has not.
        RecipeError: an option of `train` or `augment` that detection does not serve.
        DivergenceError: the loss became NaN or infinite.
    """
    samples, loss = box_samples(data), loss or DetectionLoss()
    optimiser = optimiser or OptimiserConfig(name="adamw", lr=2e-3, weight_decay=1e-4)
    settings, augment = settle(train or TrainConfig()), augment or AugmentConfig()
    _check(model, samples, settings, augment)
    fabric = make_fabric(settings)
    if fabric.world_size > 1:
        raise RecipeError("detectors are trained by one process; start this without torchrun")
    with layout(model, settings.channels_last is True):
        wrapped = fabric.setup_module(DetectionStep(model, loss))
        stepper: Any = fabric.setup_optimizers(build_optimiser(model, optimiser))
        state = State(model, stepper.optimizer, settings.epochs)
        for callback in callbacks:
            callback.started(state)
        while state.epoch < settings.epochs:
            seed_everything(settings.seed, state.epoch, 0)
            state.history.append(
                _epoch(fabric, wrapped, stepper, samples, state.epoch, optimiser, settings, augment)
            )
            state.epoch += 1
            for callback in callbacks:
                callback.epoch_ended(state)
    return state.history


def _epoch(
    fabric: Any,
    wrapped: nn.Module,
    stepper: Any,
    samples: BoxSamples,
    epoch: int,
    optimiser: OptimiserConfig,
    settings: TrainConfig,
    augment: AugmentConfig,
) -> Metrics:
    """One pass over the samples."""
    began = time.perf_counter()
    planned = plan(
        len(samples),
        settings.batch_size,
        seed=settings.seed,
        epoch=epoch,
        augment=augment,
        accumulate=settings.accumulate,
    )
    steps = steps_per_epoch(len(samples), settings.batch_size)
    totals: dict[str, float] = defaultdict(float)
    lr = 0.0
    wrapped.train()
    for step, parts in enumerate(
        prefetched(samples, planned, workers=settings.workers, device=fabric.device)
    ):
        lr = optimiser.lr_at(epoch + (step + 0.5) / steps, settings.epochs)
        for group in stepper.param_groups:
            group["lr"] = lr
        stepper.zero_grad()
        for frames, labels, part in parts:
            value, terms = wrapped(frames, labels)
            if not math.isfinite(value.item()):
                raise DivergenceError(
                    f"the loss became {value.item()} at epoch {epoch + 1}, step {step + 1} (learning rate {lr:g}). Try a lower "
                    "optimiser.lr or optimiser.warmup_epochs"
                )
            fabric.backward(value * (len(labels) / part.of))
            totals["samples"] += len(labels)
            for name, term in {"loss": value, **terms}.items():
                totals[name] += term.item() * len(labels)
        stepper.step()
    means = {
        f"train_{name}": total / totals["samples"] for name, total in totals.items() if name != "samples"
    }
    return {"epoch": epoch + 1, "lr": lr, "seconds": time.perf_counter() - began, **means}


def _check(model: DetectionModel, samples: BoxSamples, settings: TrainConfig, augment: AugmentConfig) -> None:
    """Refuse what would train something else than was asked for."""
    if not len(samples) or len(samples.frames) != len(samples) or samples.labels.shape[2:] != (5,):
        raise DataError(
            f"detection trains on frames [N, T, C, H, W] and labels [N, M, 5] of class and box, N of 1 or more; got "
            f"{list(samples.frames.shape)} and {list(samples.labels.shape)}"
        )
    highest = int(samples.labels[..., 0].max())
    if highest >= model.num_classes:
        raise DataError(
            f"boxes have classes up to {highest}; a model of {model.num_classes} classes takes 0 to {model.num_classes - 1}"
        )
    default = TrainConfig()
    for name in NOT_SERVED:
        if getattr(settings, name) != getattr(default, name):
            raise RecipeError(
                f"train.{name} = {getattr(settings, name)!r} is not served for detection; leave it out"
            )
    plain = AugmentConfig().model_dump()
    for name, value in augment.model_dump().items():
        if name not in KEEPS_BOXES and value != plain[name]:
            raise RecipeError(
                f"augment.{name} = {value!r} would move what boxes are round; detection takes {', '.join(KEEPS_BOXES)}"
            )
