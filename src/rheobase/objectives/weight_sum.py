"""The weight-sum cost of spike-time networks: a neuron whose weights sum to too little cannot fire.

    L + K sum_j max(0, c - sum_i w_ij)      gradient -K on all weights of a neuron that falls short

Source: Mostafa 2017 (K = 100 with c = threshold, behind another loss); its use with ReL-PSP is a reconstruction.
"""

import weakref
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.objectives.base import Loss, Objective, Outputs
from rheobase.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig
from rheobase.objectives.relative_target import RelativeTarget, RelativeTargetConfig


class WeightSumConfig(Config):
    """Options of the weight-sum cost.

    `c=None` is each layer's threshold; `task` is the loss it is added to. A K of 1 and more kept networks on
    Fashion-MNIST from learning.
    """

    name: Literal["weight_sum"] = "weight_sum"
    K: float = Field(default=0.01, ge=0)
    c: float | None = None
    task: CrossEntropyConfig | RelativeTargetConfig = Field(
        default=CrossEntropyConfig(), discriminator="name"
    )


def weight_sum_cost(weight: Tensor, c: float) -> Tensor:
    """Sum over neurons of what their weights lack to c.

    Shape: `[m, ...]` -> `[]`
    """
    return (c - weight.flatten(1).sum(1)).clamp(min=0).sum()


class WeightSum:
    """A task's loss plus the weight-sum cost of every layer whose rule has a threshold.

    Shape: logits `[1, N, K]`, target `[N]` class indices.
    Raises: RecipeError if the model has no such layer.
    """

    needs_features = False

    def __init__(self, config: WeightSumConfig | None = None) -> None:
        self.config = config or WeightSumConfig()
        task = self.config.task
        self.task: Objective = (
            CrossEntropy(task) if isinstance(task, CrossEntropyConfig) else RelativeTarget(task)
        )
        self._layers: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer is recorded; those with a threshold are noted."""
        self._layers = weakref.WeakSet(
            module for module in model.modules() if hasattr(getattr(module, "rule", None), "v_threshold")
        )
        if not self._layers:
            raise RecipeError(
                f"{type(model).__name__} has no layer of spike times with a threshold, so there are no weight sums to "
                "hold up: use objective.name=cross_entropy, or a rule such as rel_psp"
            )
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        loss = self.task(outputs, target)
        costs = [self._cost(layer) for layer in self._layers]
        cost = torch.stack(costs).sum()
        return Loss(loss.total + self.config.K * cost, loss.parts | {"weight_sum": cost.detach()})

    def _cost(self, layer: nn.Module) -> Tensor:
        weight, rule, c = layer.weight, layer.rule, self.config.c
        assert isinstance(weight, Tensor)
        return weight_sum_cost(weight, c if c is not None else float(rule.v_threshold))  # type: ignore[union-attr, arg-type]
