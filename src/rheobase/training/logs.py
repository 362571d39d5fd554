"""What a run writes down each epoch: `metrics.csv`, and TensorBoard where asked for."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rheobase.errors import CheckpointError, RecipeError
from rheobase.files import atomic_write

Metrics = dict[str, float]
"""One epoch's numbers: `epoch`, `lr`, `seconds`, `train_loss`, `train_accuracy`, `train_<part>` of the loss,
`validation_loss`, `validation_accuracy`, `rate` (of all neurons), `rate/<layer>` for each layer."""


def write_metrics(path: Path, rows: Sequence[Metrics]) -> None:
    """Write all epochs as CSV, whole or not at all, with every digit: reading gives the same floats."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: repr(value) for key, value in row.items()} for row in rows)
    atomic_write(path, text.getvalue())


def read_metrics(path: Path, *, up_to: int | None = None) -> list[Metrics]:
    """Rows of a `metrics.csv`, of epochs `<= up_to` if given.

    Raises:
        CheckpointError: the file is missing or holds something other than numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_numbers(row) for row in csv.DictReader(file)]
        return [row for row in rows if up_to is None or row["epoch"] <= up_to]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a metrics file of rheobase: {error}") from error


def _numbers(row: Mapping[str, str]) -> Metrics:
    return {
        key: int(value) if key == "epoch" else float(value)
        for key, value in row.items()
        if value not in ("", None)
    }


class Scalars(Protocol):
    """The part of TensorBoard's writer that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Note one number."""

    def flush(self) -> None:
        """Bring it to disk."""

    def close(self) -> None:
        """Finish."""


def tensorboard_writer(folder: Path, *, after_epoch: int = 0) -> Scalars:
    """A TensorBoard writer; notes of epochs above `after_epoch` are hidden (a resumed run repeats them).

    Raises:
        RecipeError: TensorBoard is not installed.
    """
    return _summary_writer()(str(folder), purge_step=after_epoch + 1 if after_epoch else None)


def check_tensorboard() -> None:
    """Find out before training whether TensorBoard can be written.

    Raises:
        RecipeError: it is not installed.
    """
    _summary_writer()


def _summary_writer() -> Callable[..., Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError(
            "train.tensorboard is on and TensorBoard is not installed: pip install 'rheobase[tensorboard]', "
            "or set "
            "train.tensorboard=false (metrics.csv holds the same numbers)"
        ) from error
    return SummaryWriter
