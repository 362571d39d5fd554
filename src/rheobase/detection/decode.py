"""From what every cell says to boxes with scores.

    score = sqrt(sigmoid(class logit) * sigmoid(centre-ness))

Of each recording: the pairs of cell and class above `score`, the best `candidates` of them, non-maximum suppression within each
class, and the best `most` that remain; boxes end at the edges of the sensor.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.detection.boxes import Detections, nms
from rheobase.detection.head import DetectionModel, Predictions


class DecodeConfig(Config):
    """The least score, how many pairs of cell and class are looked at, how much boxes may overlap, how many are kept."""

    score: float = Field(default=0.05, ge=0, lt=1)
    candidates: int = Field(default=200, ge=1)
    overlap: float = Field(default=0.5, gt=0, le=1)
    most: int = Field(default=20, ge=1)


@torch.no_grad()
def decode(
    predictions: Predictions, size: tuple[int, int], config: DecodeConfig | None = None
) -> list[Detections]:
    """What was found in each recording of a batch; `size` is the sensor's (H, W)."""
    config = config or DecodeConfig()
    scores = (predictions.logits.sigmoid() * predictions.centreness.sigmoid()[..., None]).sqrt()
    edges = predictions.boxes.new_tensor([size[1], size[0], size[1], size[0]])
    boxes = predictions.boxes.clamp(min=0).minimum(edges)
    return [_decode_one(one, own, config) for one, own in zip(scores, boxes, strict=True)]


def _decode_one(scores: Tensor, boxes: Tensor, config: DecodeConfig) -> Detections:
    """Shape: scores [A, K], boxes [A, 4]."""
    best, at = scores.flatten().sort(descending=True, stable=True)
    at = at[: config.candidates][best[: config.candidates] > config.score]
    cell, kind = at // scores.shape[1], at % scores.shape[1]
    score, box = scores[cell, kind], boxes[cell]
    # Boxes of different classes are moved where they cannot meet, so that one pass serves all classes.
    away = kind[:, None] * (boxes.amax().clamp(min=0) + 1)
    kept = nms(box + away, score, config.overlap)[: config.most]
    return Detections(box[kept], score[kept], kind[kept])


@torch.no_grad()
def detect(model: DetectionModel, frames: Tensor, config: DecodeConfig | None = None) -> list[Detections]:
    """What a model finds, in evaluation mode; the mode it was in is restored.

    Shape: frames [T, N, C, H, W].
    """
    was_training = model.training
    model.eval()
    try:
        return decode(model(frames), (frames.shape[-2], frames.shape[-1]), config)
    finally:
        nn.Module.train(model, was_training)
