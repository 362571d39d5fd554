"""Boxes `[x0, y0, x1, y1]` in pixels: how much two share, and which of many that overlap to keep."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one recording, most certain first. Shape: boxes [n, 4]; scores [n]; classes int64 [n]."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.scores)


def area(boxes: Tensor) -> Tensor:
    """Shape: [..., 4] -> [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, 0 where neither box has an area.

    Shape: a [..., 4] and b [..., 4], broadcast -> [...].
    """
    return _overlap(a, b)[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union, -1 to 1: its gradient draws boxes together that share nothing.

        GIoU = IoU - (hull - union) / hull        hull: the smallest box round both

    Shape: a [..., 4] and b [..., 4], broadcast -> [...].
    Source: Rezatofighi et al., CVPR 2019, arXiv 1902.09630, algorithm 1.
    """
    shared, union = _overlap(a, b)
    sides = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = sides.prod(-1).clamp(min=1e-9)
    return shared - (hull - union) / hull


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and area of the union."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    common = sides.clamp(min=0).prod(-1)
    union = area(a) + area(b) - common
    return common / union.clamp(min=1e-9), union


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes to keep, best first: each that overlaps no better one that is kept by more than `threshold`.

    Boxes of equal score are taken in their order.

    Shape: boxes [n, 4], scores [n] -> int64 [k].
    """
    order = scores.argsort(descending=True, stable=True)
    clash = iou(boxes[order][:, None], boxes[order]) > threshold
    kept: list[int] = []
    for i in range(len(order)):
        if not clash[i, kept].any():
            kept.append(i)
    return order[kept]
