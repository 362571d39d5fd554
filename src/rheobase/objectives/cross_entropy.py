"""Cross-entropy of the time-mean logits, or of every step where steps have labels."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.datasets.dataset import UNLABELLED
from rheobase.objectives.base import (
    Loss,
    Outputs,
    check_step_labels,
    mean_readout,
    wide,
)


class CrossEntropyConfig(Config):
    """Options of the plain objective."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class CrossEntropy:
    """Cross-entropy of the time-mean logits; with labels by step, mean over each sample's labelled steps.

    ``L = CE((1/T) sum_t o_t, y)``, or ``L = (1/|S|) sum_{t in S} CE(o_t, y_t)`` with S the steps that have a label.

    Shape: logits [T, N, K], target [N] class indices, or [N, T] with -1 for steps without a label.

    Raises: DataError if the logits do not have three axes, or the target is of other samples or steps.
    """

    needs_features = False

    def __init__(self, config: CrossEntropyConfig | None = None) -> None:
        self.config = config or CrossEntropyConfig()

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer."""
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        smoothing = self.config.label_smoothing
        if target.dim() == 1:
            loss = F.cross_entropy(mean_readout(outputs.logits, target), target, label_smoothing=smoothing)
        else:
            check_step_labels(outputs.logits, target)
            classes = wide(outputs.logits).permute(1, 2, 0)  # [N, K, T]
            each = F.cross_entropy(
                classes, target, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none"
            )
            loss = (each.sum(1) / (target != UNLABELLED).sum(1).clamp_min(1)).mean()
        return Loss(loss, {"cross_entropy": loss.detach()})
