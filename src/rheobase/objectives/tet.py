"""Temporal efficient training: a cross-entropy at every step, and a pull of all logits to one constant.

``L = (1 - lam) * (1/T) sum_t CE(o_t, y) + lam * MSE(o, means)``
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.objectives.base import Loss, Outputs, mean_readout, wide


class TETConfig(Config):
    """Options; the defaults are the common published setting."""

    name: Literal["tet"] = "tet"
    lam: float = Field(default=0.001, ge=0, le=1)
    means: float = 1.0
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


def step_cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the steps, ``(1/T) sum_t CE(o_t, y)``; never below that of the mean logits.

    Shape: [T, N, K], [N] -> scalar.
    """
    steps = [F.cross_entropy(step, target, label_smoothing=label_smoothing) for step in wide(logits)]
    return sum(steps[1:], steps[0]) / len(steps)


class TET:
    """Temporal efficient training.

    ``L = (1 - lam) * (1/T) sum_t CE(o_t, y) + lam * mean((o - means)^2)``

    Shape: logits [T, N, K], target [N] class indices. Parts: ``cross_entropy`` (of the mean logits,
    comparable between objectives), ``step_cross_entropy``, and ``logit_means`` unless lam is 0.

    Raises: DataError if the logits do not have three axes.

    Source: Deng et al., Temporal Efficient Training of Spiking Neural Network, ICLR 2022.
    """

    needs_features = False

    def __init__(self, config: TETConfig | None = None) -> None:
        self.config = config or TETConfig()

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer."""
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        config = self.config
        readout = mean_readout(outputs.logits, target)
        steps = step_cross_entropy(outputs.logits, target, config.label_smoothing)
        parts = {
            "cross_entropy": F.cross_entropy(
                readout.detach(), target, label_smoothing=config.label_smoothing
            ),
            "step_cross_entropy": steps.detach(),
        }
        total = (1 - config.lam) * steps
        if config.lam > 0:
            means = (wide(outputs.logits) - config.means).square().mean()
            parts["logit_means"] = means.detach()
            total = total + config.lam * means
        return Loss(total, parts)
