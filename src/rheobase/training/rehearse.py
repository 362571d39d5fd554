"""Find out before training what does not fit: model, objective, head and data."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.datasets.dataset import UNLABELLED
from rheobase.errors import DataError, RecipeError
from rheobase.objectives import Objective, collect
from rheobase.training.loader import Samples, as_input, gathered


def rehearse(
    model: nn.Module, data: Samples, objective: Objective, head: Callable[[Tensor], Tensor] | None = None
) -> None:
    """One forward pass and loss on two samples, to find what does not fit together before training.

    Raises:
        DataError, RecipeError: no samples, labels out of range, or parts that do not fit each other.
    """
    if not len(data) or len(data.frames) != len(data.labels):
        raise DataError(
            f"there are {len(data.frames)} rows of frames and {len(data.labels)} labels to train on"
        )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            outputs = collect(
                model, as_input(gathered(data, np.arange(min(2, len(data)))), device), objective, head
            )
            low, high, classes = data.labels.min(), data.labels.max(), outputs.logits.shape[-1]
            if low < (UNLABELLED if data.labels.ndim == 2 else 0) or high >= classes:
                raise DataError(
                    f"labels are {low} to {high}; a model of {classes} classes takes 0 to {classes - 1}"
                )
            objective(outputs, torch.from_numpy(data.labels[:2]).to(device))
    finally:
        model.train(was_training)


def no_head(rate: Tensor) -> Tensor:
    """Stands for the head of a model that has none.

    Raises:
        RecipeError: always.
    """
    raise RecipeError("this objective sends rates through the model's head; pass head=... to fit")
