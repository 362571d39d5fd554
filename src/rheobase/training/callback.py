"""What is told about a training run after every epoch, and what it is shown."""

from dataclasses import dataclass, field

from torch import nn
from torch.optim import Optimizer

from rheobase.compression.quantise import set_progress
from rheobase.training.logs import Metrics


@dataclass
class State:
    """What changes while a model trains; callbacks see it after every epoch."""

    model: nn.Module
    optimiser: Optimizer
    epochs: int
    epoch: int = 0
    history: list[Metrics] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Callback:
    """Base of what is told about training; the methods do nothing."""

    def started(self, state: State) -> None:
        """Before the first epoch; may restore model, optimiser, epoch and history."""

    def epoch_ended(self, state: State) -> None:
        """After an epoch: its metrics are the last of `state.history`."""


class Schedule(Callback):
    """Tells quantisers with a schedule (Libra's error decay) before every epoch how much of the training is over.

    `train` and fine-tuning use it; so should any other `fit` of a model with such quantisers.
    """

    def started(self, state: State) -> None:
        """Before the first epoch, or the first after resuming."""
        set_progress(state.model, state.epoch / state.epochs)

    def epoch_ended(self, state: State) -> None:
        """Before the next epoch."""
        set_progress(state.model, state.epoch / state.epochs)
