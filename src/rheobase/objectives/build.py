"""From a configuration to its objective."""

from typing import Annotated

import torch
from pydantic import Field

from rheobase.objectives.base import Objective
from rheobase.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig
from rheobase.objectives.stable_spike import StableSpike, StableSpikeConfig
from rheobase.objectives.tet import TET, TETConfig
from rheobase.objectives.wsdr import WSDR, WSDRConfig

ObjectiveConfig = Annotated[
    CrossEntropyConfig | TETConfig | StableSpikeConfig | WSDRConfig,
    Field(discriminator="name"),
]
"""Any objective's options, told apart by ``name``."""


def build_objective(
    config: CrossEntropyConfig | TETConfig | StableSpikeConfig | WSDRConfig,
    generator: torch.Generator | None = None,
) -> Objective:
    """The objective of a configuration; ``generator`` drives its noise, the global one otherwise."""
    match config:
        case StableSpikeConfig():
            return StableSpike(config, generator)
        case WSDRConfig():
            return WSDR(config, generator)
        case TETConfig():
            return TET(config)
        case CrossEntropyConfig():
            return CrossEntropy(config)
