"""The loss of S4NN: the right neuron should be the earliest, the others at least `gamma` later.

    L = 1/2 sum_k ((T_k - t_k)/t_max)^2
    T_k = tau for the class of the sample, max(t_k, tau + gamma) for the others, tau the earliest time of the sample
    (where all are silent: t_max - gamma and t_max)

Source: Kheradpisheh and Masquelier, Temporal backpropagation for spiking neural networks with one spike per neuron,
Int. J. Neural Systems 30(6), 2020.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.objectives.base import Loss, Outputs


class RelativeTargetConfig(Config):
    """Options of the relative target; `t_max` is the rule's."""

    name: Literal["relative_target"] = "relative_target"
    t_max: float = Field(default=1.0, gt=0)
    gamma: float = Field(default=0.1, gt=0)


class RelativeTarget:
    """The loss above on logits -t.

    Shape: logits `[1, N, K]` = -t, target `[N]`
    """

    needs_features = False

    def __init__(self, config: RelativeTargetConfig | None = None) -> None:
        self.config = config or RelativeTargetConfig()

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """No layer."""
        return ()

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        t = -outputs.logits[0]
        goal = self.goal(t.detach(), target)
        loss = 0.5 * ((goal - t) / self.config.t_max).square().sum(1).mean()
        return Loss(loss, {"relative_target": loss.detach()})

    def goal(self, t: Tensor, target: Tensor) -> Tensor:
        """Target times.  `[N, K]`."""
        c = self.config
        earliest = t.min(1, keepdim=True).values
        silent = earliest >= c.t_max
        own = torch.where(silent, c.t_max - c.gamma, earliest)
        others = torch.where(silent, c.t_max, t.maximum(earliest + c.gamma))
        return others.scatter(1, target.unsqueeze(1), own)
