"""What spike-time networks add to the objectives of the package.

    WeightSum:       L + K sum_j max(0, c - sum_i w_ij)      gradient -K on all weights of a neuron that falls short
    RelativeTarget:  1/2 sum_k ((T_k - t_k)/t_max)^2         S4NN

Both have the contract of `rheobase.objectives.Objective`.
"""

import torch
from torch import Tensor, nn

from rheobase.objectives import CrossEntropy, Loss, Objective, Outputs
from rheobase.spiketime.layers import Conv2d, Linear


def weight_sum_cost(weight: Tensor, c: float) -> Tensor:
    """Sum over neurons of what their weights lack to c.

    Shape: `[m, ...]` -> `[]`
    """
    return (c - weight.flatten(1).sum(1)).clamp(min=0).sum()


class WeightSum:
    """A task's loss plus the weight-sum cost of every spike-time layer of `model`.

    `c=None` is each layer's threshold. A K of 1 and more kept networks on Fashion-MNIST from learning.

    Source: Mostafa 2017 (K = 100 with c = threshold, behind another loss); its use with ReL-PSP is a reconstruction.
    """

    def __init__(
        self, model: nn.Module, K: float = 0.01, c: float | None = None, task: Objective | None = None
    ) -> None:
        self.model, self.K, self.c, self.task = model, K, c, task or CrossEntropy()

    @property
    def needs_features(self) -> bool:
        """As the task."""
        return self.task.needs_features

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """As the task."""
        return self.task.layers(model)

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        loss = self.task(outputs, target)
        costs = [
            weight_sum_cost(layer.weight, self.c if self.c is not None else layer.rule.v_threshold)
            for layer in self.model.modules()
            if isinstance(layer, Linear | Conv2d) and hasattr(layer.rule, "v_threshold")
        ]
        cost = torch.stack(costs).sum()
        return Loss(loss.total + self.K * cost, loss.parts | {"weight_sum": cost.detach()})


class RelativeTarget:
    """The loss of S4NN on logits -t: the right neuron should be the earliest, the others at least `gamma` later.

    With tau the earliest time of a sample, T = tau for its class and max(t, tau + gamma) for the others; where all
    are silent, T = t_max - gamma and t_max.

    Shape: logits `[1, N, K]` = -t, target `[N]`
    Source: Kheradpisheh and Masquelier 2020.
    """

    needs_features = False

    def __init__(self, t_max: float = 1.0, gamma: float = 0.1) -> None:
        self.t_max, self.gamma = t_max, gamma

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer."""
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        t = -outputs.logits[0]
        goal = self.goal(t.detach(), target)
        loss = 0.5 * ((goal - t) / self.t_max).square().sum(1).mean()
        return Loss(loss, {"relative_target": loss.detach()})

    def goal(self, t: Tensor, target: Tensor) -> Tensor:
        """Target times.  `[N, K]`."""
        earliest = t.min(1, keepdim=True).values
        silent = earliest >= self.t_max
        own = torch.where(silent, self.t_max - self.gamma, earliest)
        others = torch.where(silent, self.t_max, t.maximum(earliest + self.gamma))
        return others.scatter(1, target.unsqueeze(1), own)
