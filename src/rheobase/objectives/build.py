"""From a configuration to its objective."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rheobase.objectives.base import Objective
from rheobase.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig
from rheobase.objectives.distillation import InformationEnhancement, InformationEnhancementConfig
from rheobase.objectives.firing_rate import FiringRate, FiringRateConfig
from rheobase.objectives.relative_target import RelativeTarget, RelativeTargetConfig
from rheobase.objectives.stable_spike import StableSpike, StableSpikeConfig
from rheobase.objectives.tet import TET, TETConfig
from rheobase.objectives.weight_sum import WeightSum, WeightSumConfig
from rheobase.objectives.wsdr import WSDR, WSDRConfig

AnyConfig = (
    CrossEntropyConfig
    | TETConfig
    | StableSpikeConfig
    | WSDRConfig
    | InformationEnhancementConfig
    | WeightSumConfig
    | RelativeTargetConfig
    | FiringRateConfig
)

ObjectiveConfig = Annotated[
    AnyConfig,
    Field(discriminator="name"),
]
"""Any objective's options, told apart by ``name``."""


def build_objective(
    config: AnyConfig,
    generator: torch.Generator | None = None,
    *,
    teacher: nn.Module | None = None,
) -> Objective:
    """The objective of a configuration; ``generator`` drives its noise, the global one otherwise.

    ``teacher`` is read by `InformationEnhancementConfig` alone; `rheobase.training.recipe_objective` loads that of a run folder.

    Raises: RecipeError if the configuration distils and there is no teacher.
    """
    match config:
        case InformationEnhancementConfig():
            return InformationEnhancement(config, generator, teacher=teacher)
        case StableSpikeConfig():
            return StableSpike(config, generator)
        case WSDRConfig():
            return WSDR(config, generator)
        case WeightSumConfig():
            return WeightSum(config)
        case RelativeTargetConfig():
            return RelativeTarget(config)
        case FiringRateConfig():
            return FiringRate(config)
        case TETConfig():
            return TET(config)
        case CrossEntropyConfig():
            return CrossEntropy(config)
