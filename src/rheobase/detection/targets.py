"""Which cell is to say what: boxes as the loader deals them out, and their assignment to cells.

A box belongs to the level (map) of the least stride s with max(w, h) / 2 <= reach * s, or to the coarsest. Of the cells of that
level those take it that have their middle within the box and within `radius * s` of its centre; a cell within several takes the
smallest. Cells that take none are background.

Source: Tian et al., FCOS (arXiv 1904.01355) with sampling of centres; levels go by the box and not by the four distances, so that
every box at least as large as a cell has one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rheobase.datasets import BoxedFrames, FrameSet
from rheobase.detection.head import Grid
from rheobase.errors import DataError


@dataclass(frozen=True, eq=False)
class BoxSamples:
    """Frames and boxes in the form that the loader deals out row by row.

    Shape: frames uint8 [N, T, C, H, W]; labels float32 [N, M, 5]: class (-1: no object), x0, y0, x1, y1.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


def box_samples(part: FrameSet | BoxSamples) -> BoxSamples:
    """The frames of a part, and the boxes at the end of the last of them.

    Raises:
        DataError: the data set has no boxes.
    """
    if isinstance(part, BoxSamples):
        return part
    if not isinstance(part, BoxedFrames):
        raise DataError(
            "detection needs frames with boxes (BoxedFrames), got a part with labels only; data sets that have them: "
            "moving-digits-dvs. Your own go into BoxSamples(frames, labels [N, M, 5])"
        )
    labels = np.concatenate([part.kinds[..., None].astype(np.float32), part.boxes[:, -1]], -1)
    return BoxSamples(part.frames, labels)


@dataclass(frozen=True, eq=False)
class Targets:
    """What every cell should say; boxes and centre-ness hold where `positive`.

    Shape: classes int64 [N, A], -1 for background; boxes [N, A, 4]; centreness [N, A], 0 to 1.
    """

    classes: Tensor
    boxes: Tensor
    centreness: Tensor

    @property
    def positive(self) -> Tensor:
        """Cells that have a box. Shape: bool [N, A]."""
        return self.classes >= 0


def assign(grid: Grid, labels: Tensor, *, radius: float = 1.5, reach: float = 2.0) -> Targets:
    """Deal boxes out to cells.

        centre-ness = sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))

    Shape: labels [N, M, 5] -> see `Targets`.
    """
    kinds, boxes = labels[..., 0].long(), labels[..., 1:]  # [N, M], [N, M, 4]
    sides = boxes[..., 2:] - boxes[..., :2]
    x, y = grid.points[:, None].unbind(-1)  # [A, 1]
    x0, y0, x1, y1 = boxes[:, None].unbind(-1)  # [N, 1, M]
    distances = torch.stack([x - x0, y - y0, x1 - x, y1 - y], -1)  # [N, A, M, 4]
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = (grid.points[:, None] - centres[:, None]).abs().amax(-1) <= radius * grid.strides[:, None]
    strides = grid.strides.unique()  # ascending
    level = torch.searchsorted(strides * reach, sides.amax(-1) / 2).clamp(max=len(strides) - 1)  # [N, M]
    own = strides[level][:, None] == grid.strides[:, None]
    takes = near & own & (distances.amin(-1) > 0) & (kinds >= 0)[:, None]  # [N, A, M]
    size = sides.prod(-1)[:, None].expand_as(takes).masked_fill(~takes, torch.inf)
    smallest, which = size.min(-1)  # [N, A]
    taken = torch.where(smallest.isfinite(), kinds.gather(1, which), -1)
    chosen = boxes.gather(1, which[..., None].expand(-1, -1, 4))
    left, top, right, bottom = (
        distances.gather(2, which[..., None, None].expand(-1, -1, -1, 4)).squeeze(2).unbind(-1)
    )
    ratio = _ratio(left, right) * _ratio(top, bottom)
    return Targets(taken, chosen, torch.where(taken >= 0, ratio, 0.0).sqrt())


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """The smaller over the larger, 0 where one is not positive."""
    return torch.minimum(a, b).clamp(min=0) / torch.maximum(a, b).clamp(min=1e-9)
