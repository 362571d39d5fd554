"""Every quantiser at every width it has, for tests that run over the registry."""

import torch

from rheobase.compression import build_quantiser, list_quantisers, quantiser_config
from rheobase.compression.quantisers import widths
from rheobase.compression.quantisers.build import CONFIGS

ALL = [quantiser_config(name, bits=bits) for name in list_quantisers() for bits in widths(CONFIGS[name])]
"""One configuration for each method and width."""


def label(config):
    return f"{config.name}-{config.bits}"


def started(config, weight):
    """A quantiser that has seen the weight it begins with."""
    quantiser = build_quantiser(config)
    quantiser.start(weight)
    return quantiser


def weights(seed=0, shape=(6, 5, 3, 3), std=0.3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * std
