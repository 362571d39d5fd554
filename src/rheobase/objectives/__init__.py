"""Losses, and the capture of the spike maps that some of them need."""

from rheobase.objectives.base import Loss, Objective, Outputs, collect, judged, mean_readout
from rheobase.objectives.build import ObjectiveConfig, build_objective
from rheobase.objectives.capture import Capture, capture
from rheobase.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig
from rheobase.objectives.distillation import (
    InformationEnhancement,
    InformationEnhancementConfig,
    hard_distillation,
    soft_distillation,
)
from rheobase.objectives.firing_rate import FiringRate, FiringRateConfig
from rheobase.objectives.relative_target import RelativeTarget, RelativeTargetConfig
from rheobase.objectives.stable_spike import (
    StableSpike,
    StableSpikeConfig,
    firing_rate,
    noise_consistency,
    perturb,
    skeleton,
    spike_consistency,
    stable_maps,
    temporal_inconsistency,
)
from rheobase.objectives.tet import TET, TETConfig
from rheobase.objectives.weight_sum import WeightSum, WeightSumConfig, weight_sum_cost
from rheobase.objectives.wsdr import WSDR, WSDRConfig

__all__ = [
    "TET",
    "WSDR",
    "Capture",
    "CrossEntropy",
    "CrossEntropyConfig",
    "FiringRate",
    "FiringRateConfig",
    "InformationEnhancement",
    "InformationEnhancementConfig",
    "Loss",
    "Objective",
    "ObjectiveConfig",
    "Outputs",
    "RelativeTarget",
    "RelativeTargetConfig",
    "StableSpike",
    "StableSpikeConfig",
    "TETConfig",
    "WSDRConfig",
    "WeightSum",
    "WeightSumConfig",
    "build_objective",
    "capture",
    "collect",
    "firing_rate",
    "hard_distillation",
    "judged",
    "mean_readout",
    "noise_consistency",
    "perturb",
    "skeleton",
    "soft_distillation",
    "spike_consistency",
    "stable_maps",
    "temporal_inconsistency",
    "weight_sum_cost",
]
