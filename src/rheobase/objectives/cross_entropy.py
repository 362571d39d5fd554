"""Cross-entropy of the time-mean logits: ``L = CE((1/T) sum_t o_t, y)``."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.objectives.base import Loss, Outputs, mean_readout


class CrossEntropyConfig(Config):
    """Options of the plain objective."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class CrossEntropy:
    """Cross-entropy of the time-mean logits.

    ``L = CE((1/T) sum_t o_t, y)``

    Shape: logits [T, N, K], target [N] class indices.

    Raises: DataError if the logits do not have three axes.
    """

    needs_features = False

    def __init__(self, config: CrossEntropyConfig | None = None) -> None:
        self.config = config or CrossEntropyConfig()

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer."""
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        loss = F.cross_entropy(
            mean_readout(outputs.logits, target), target, label_smoothing=self.config.label_smoothing
        )
        return Loss(loss, {"cross_entropy": loss.detach()})
