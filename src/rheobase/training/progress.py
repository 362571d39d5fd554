"""What training shows while it runs: a bar in a terminal, one line an epoch elsewhere, nothing when quiet."""

import sys
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rheobase.training.logs import Metrics


class TrainingProgress:
    """Shows the steps and epochs of a training run.

    In a terminal: a bar over all steps of the run with loss, accuracy, mean firing rate and time to go. Where
    standard output is no terminal: one line an epoch. Quiet: nothing.
    """

    def __init__(
        self, epochs: int, steps: int, *, done: int = 0, quiet: bool = False, console: Console | None = None
    ) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.epochs, self.steps, self.quiet = epochs, steps, quiet
        self.bar: Progress | None = None
        if not quiet and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(),
                console=self.console,
                refresh_per_second=4,
            )
            self.task = self.bar.add_task(
                "", total=epochs * steps, completed=done * steps, epoch=done + 1, numbers=""
            )
        self.last = ""

    def __enter__(self) -> "TrainingProgress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, epoch: int, loss: float) -> None:
        """After a training step of the epoch (counted from 1)."""
        if self.bar:
            self.bar.update(self.task, advance=1, epoch=epoch, numbers=f"loss {loss:.4f} {self.last}")

    def epoch(self, row: Metrics) -> None:
        """After an epoch."""
        self.last = _summary(row)
        if not self.bar and not self.quiet:
            loss, seconds = row["train_loss"], row["seconds"]
            self._print(
                f"epoch {row['epoch']:.0f}/{self.epochs}  loss {loss:.4f}  {self.last}  {seconds:.1f} s"
            )

    def note(self, message: str) -> None:
        """A warning or remark, on a line of its own."""
        if not self.quiet:
            self._print(message)

    def _print(self, line: str) -> None:
        (self.bar.console if self.bar else self.console).print(escape(line))


def _summary(row: Metrics) -> str:
    shown = [f"train {row['train_accuracy']:.1%}"]
    if "validation_accuracy" in row:
        shown.append(f"validation {row['validation_accuracy']:.1%}")
    if "rate" in row:
        shown.append(f"rate {row['rate']:.3f}")
    return "  ".join(shown)
