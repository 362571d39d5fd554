"""A price on spikes above a rate: sparse networks without a change of the network.

L = L_task + strength * mean_l max(0, f_l - target)^2,    f_l = mean |s| of neuron layer l
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError
from rheobase.neurons import Neuron
from rheobase.objectives.base import Loss, Outputs, wide
from rheobase.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig


class FiringRateConfig(Config):
    """Cross-entropy with a price on the rate of every layer; `target` is the rate that costs nothing.

    With `strength` 0 it is cross-entropy that logs the rates.
    """

    name: Literal["firing_rate"] = "firing_rate"
    task: CrossEntropyConfig = CrossEntropyConfig()
    target: float = Field(default=0.1, ge=0, lt=1)
    strength: float = Field(default=10.0, ge=0)


class FiringRate:
    """Cross-entropy and the price of spikes, of either sign.

    Parts: those of the task; ``rate``, mean over layers, and ``rate_price`` (without the strength).

    Shape: logits [T, N, K], target [N] class indices, or [N, T] with -1 for steps without a label.

    Raises: DataError if the spikes were not recorded; RecipeError if the model names no neurons.
    """

    needs_features = False

    def __init__(self, config: FiringRateConfig | None = None) -> None:
        self.config = config or FiringRateConfig()
        self.task = CrossEntropy(self.config.task)

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """All neurons."""
        names = tuple(name for name, module in model.named_modules() if isinstance(module, Neuron))
        if not names:
            raise RecipeError(
                f"{type(model).__name__} has no rheobase neurons, whose rates have a price; use name: cross_entropy"
            )
        return names

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        if not outputs.spikes:
            raise DataError(
                "the price of spikes needs them recorded: run the model through objectives.collect(model, frames, objective)"
            )
        task = self.task(outputs, target)
        rates = torch.stack([wide(each).abs().mean() for each in outputs.spikes.values()])
        price = (rates - self.config.target).clamp_min(0).square().mean()
        parts = {**task.parts, "rate": rates.detach().mean(), "rate_price": price.detach()}
        return Loss(task.total + self.config.strength * price, parts)
