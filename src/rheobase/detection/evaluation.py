"""Average precision of detections, by pycocotools (`pip install rheobase[detection]`).

Detections are matched to boxes of their class, best score first; one counts that overlaps a box not taken yet by the threshold
(intersection over union) or more. Precision is averaged over 101 levels of recall, then over classes, then over the thresholds
.50, .55, ..., .95.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets import FrameSet
from rheobase.detection.boxes import Detections
from rheobase.detection.decode import DecodeConfig, detect
from rheobase.detection.head import DetectionModel
from rheobase.detection.targets import BoxSamples, box_samples
from rheobase.errors import DataError, RecipeError
from rheobase.training import RateMeter, batches


@dataclass(frozen=True)
class AveragePrecision:
    """Means over classes that occur: over all thresholds, and at .5 and .75; `by_class` over all thresholds, NaN where absent."""

    ap: float
    ap50: float
    ap75: float
    by_class: tuple[float, ...]
    rate: float | None = None
    """Mean firing rate of the model, where one was run."""


def average_precision(
    found: Sequence[Detections], labels: NDArray[np.floating], num_classes: int
) -> AveragePrecision:
    """Average precision of what was found in N recordings.

    Shape: labels [N, M, 5] as of `BoxSamples`.
    Raises:
        RecipeError: pycocotools is not installed.
        DataError: other recordings were searched than there are boxes for.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise RecipeError(
            "average precision needs pycocotools, which is not installed; run `pip install rheobase[detection]`"
        ) from error
    if len(found) != len(labels):
        raise DataError(f"{len(found)} recordings were searched, and there are boxes for {len(labels)}")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
        truth, results = COCO(), COCO()
        categories = [{"id": kind + 1} for kind in range(num_classes)]
        images = [{"id": i + 1} for i in range(len(labels))]
        truth.dataset = {"images": images, "categories": categories, "annotations": _truth(labels)}
        results.dataset = {"images": images, "categories": categories, "annotations": _results(found)}
        truth.createIndex()
        results.createIndex()
        judge = COCOeval(truth, results, "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][
        :, :, :, 0, -1
    ]  # [thresholds, recalls, classes], -1 where there is no box
    return AveragePrecision(
        _mean(precision),
        _mean(precision[0]),
        _mean(precision[5]),
        tuple(_mean(precision[:, :, kind]) for kind in range(num_classes)),
    )


def evaluate_detector(
    model: DetectionModel,
    part: FrameSet | BoxSamples,
    *,
    batch_size: int = 64,
    decode: DecodeConfig | None = None,
) -> AveragePrecision:
    """Average precision and firing rate of a model on a part with boxes.

    Raises:
        RecipeError: pycocotools is not installed.
        DataError: the part has no boxes.
    """
    samples, device = box_samples(part), next(model.parameters()).device
    found: list[Detections] = []
    with RateMeter(model) as meter:
        for frames, _ in batches(samples, batch_size, device=device):
            found += detect(model, frames, decode)
    judged = average_precision(found, samples.labels, model.num_classes)
    return AveragePrecision(judged.ap, judged.ap50, judged.ap75, judged.by_class, meter.mean_rate())


def _truth(labels: NDArray[np.floating]) -> list[dict[str, object]]:
    boxes = [(image, *box) for image, own in enumerate(labels.tolist()) for box in own if box[0] >= 0]
    return [
        _annotation(number, image, kind, box) | {"iscrowd": 0}
        for number, (image, kind, *box) in enumerate(boxes, start=1)
    ]


def _results(found: Sequence[Detections]) -> list[dict[str, object]]:
    rows = [
        (image, kind, box, score)
        for image, one in enumerate(found)
        for kind, box, score in zip(
            one.classes.tolist(), one.boxes.tolist(), one.scores.tolist(), strict=True
        )
    ]
    return [
        _annotation(number, image, kind, box) | {"score": score}
        for number, (image, kind, box, score) in enumerate(rows, start=1)
    ]


def _annotation(number: int, image: int, kind: float, box: Sequence[float]) -> dict[str, object]:
    x0, y0, x1, y1 = box
    return {
        "id": number,
        "image_id": image + 1,
        "category_id": int(kind) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
    }


def _mean(precision: NDArray[np.floating]) -> float:
    """Mean of what is defined."""
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else float("nan")
