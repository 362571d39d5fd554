"""The loss of a detector: focal loss of classes, GIoU of boxes, cross-entropy of centre-ness; a mean over samples.

    L = mean_n [ sum_cells FL(p, y) / P_n + lambda_box * sum c (1 - GIoU) / sum c + lambda_centre * sum BCE(o, c) / P_n ]

    FL(p, y) = -a_y (1 - p_y)^gamma log p_y       p_y = p, a_y = alpha for the class of the cell; 1 - p, 1 - alpha for all others

P_n is the number of cells of sample n that have a box, at least 1; c is their centre-ness, which also weighs the boxes.

Source: Lin et al., focal loss (ICCV 2017, arXiv 1708.02002); Tian et al., FCOS (arXiv 1904.01355); Rezatofighi et al., GIoU
(arXiv 1902.09630). Normalised by sample and not by batch, so that micro-batches add up.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.detection.boxes import giou
from rheobase.detection.head import Predictions
from rheobase.detection.targets import assign
from rheobase.objectives import Loss


class DetectionLossConfig(Config):
    """`alpha`, `gamma`: of the focal loss; the weights of the other terms; `radius` and `reach`: see `detection.targets`."""

    alpha: float = Field(default=0.25, gt=0, lt=1)
    gamma: float = Field(default=2.0, ge=0)
    box: float = Field(default=1.0, ge=0)
    centre: float = Field(default=1.0, ge=0)
    radius: float = Field(default=1.5, gt=0)
    reach: float = Field(default=2.0, gt=0)


class DetectionLoss:
    """The sum of the three terms; `parts` are `focal`, `box` and `centre`.

    Shape: labels [N, M, 5] as of `BoxSamples`.
    """

    def __init__(self, config: DetectionLossConfig | None = None) -> None:
        self.config = config or DetectionLossConfig()

    def __call__(self, predictions: Predictions, labels: Tensor) -> Loss:
        """Loss of a batch."""
        c = self.config
        targets = assign(predictions.grid, labels, radius=c.radius, reach=c.reach)
        positive = targets.positive
        count = positive.sum(1).clamp(min=1)
        hot = F.one_hot(targets.classes.clamp(min=0), predictions.logits.shape[-1]) * positive[..., None]
        focal = focal_loss(predictions.logits, hot.float(), c.alpha, c.gamma).sum((1, 2)) / count
        weights = targets.centreness * positive
        apart = torch.where(positive, 1 - giou(predictions.boxes, targets.boxes), 0.0)
        box = (weights * apart).sum(1) / weights.sum(1).clamp(min=1e-6)
        entropy = F.binary_cross_entropy_with_logits(
            predictions.centreness, targets.centreness, reduction="none"
        )
        centre = (entropy * positive).sum(1) / count
        parts = {"focal": focal.mean(), "box": box.mean(), "centre": centre.mean()}
        total = parts["focal"] + c.box * parts["box"] + c.centre * parts["centre"]
        return Loss(total, {name: part.detach() for name, part in parts.items()})


def focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Of each logit against 0 or 1. Shape: [...] and [...] -> [...]."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = (logits.sigmoid() - target).abs()  # 1 - p_y
    share = alpha * target + (1 - alpha) * (1 - target)
    return share * missed**gamma * entropy
