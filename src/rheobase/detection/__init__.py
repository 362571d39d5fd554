"""Detection: an anchor-free spiking head on the maps of a backbone, its loss, decoding, training and average precision.

backbone = features_only(create_model("vgg_small", num_classes=10, input_size=(64, 64)))
model = DetectionModel(backbone, num_classes=10)
train_detector(model, data.train)
print(evaluate_detector(model, data.test).ap50)
"""

from rheobase.detection.boxes import Detections, iou, nms
from rheobase.detection.decode import DecodeConfig, decode, detect
from rheobase.detection.evaluation import AveragePrecision, average_precision, evaluate_detector
from rheobase.detection.head import DetectionModel, Grid, HeadConfig, Predictions
from rheobase.detection.loss import DetectionLoss, DetectionLossConfig
from rheobase.detection.targets import BoxSamples, Targets, assign, box_samples
from rheobase.detection.training import Checkpoints, train_detector

__all__ = [
    "AveragePrecision",
    "BoxSamples",
    "Checkpoints",
    "DecodeConfig",
    "DetectionLoss",
    "DetectionLossConfig",
    "DetectionModel",
    "Detections",
    "Grid",
    "HeadConfig",
    "Predictions",
    "Targets",
    "assign",
    "average_precision",
    "box_samples",
    "decode",
    "detect",
    "evaluate_detector",
    "iou",
    "nms",
    "train_detector",
]
