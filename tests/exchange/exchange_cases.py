"""Programs and models of the kinds that NIR can and cannot say."""

from typing import Any

import numpy as np
import torch
from program_cases import weight

from rheobase.models import create_model
from rheobase.neurons import NeuronConfig
from rheobase.program import Conv2d, Flatten, Linear, Neuron, Program, Readout, SumPool

STEPS = 5


def chain(*, one_threshold: bool = False, pool: int | None = 2, **fields: Any) -> Program:
    """Convolutions, a pool and a head of integrate-and-fire neurons with hard reset: what NIR can say whole."""
    rng = np.random.default_rng(0)
    thresholds = np.full(5, 60) if one_threshold else rng.integers(30, 90, 5)
    common: dict[str, Any] = {"v_reset": 0, "saturation": (1 << 23) - 1, "bits": 32} | fields
    after = SumPool(pool)
    side = 4 if pool == 2 else 1 if pool is None else 8 // pool
    places = ((side + 1) // 2) ** 2
    ops = [
        Conv2d(weight(rng, (5, 2, 3, 3), 4), padding=1, name="features.conv1"),
        Neuron(thresholds, rng.integers(-9, 9, 5), name="features.neuron1", **common),
        after,
        Conv2d(weight(rng, (6, 5, 3, 3), 4), stride=2, padding=1, shift=1),
        Neuron(np.full(6, 40), np.zeros(6, int), **common),
        Flatten(),
        Linear(weight(rng, (3, 6 * places), 4)),
        Readout(np.array([1, -2, 0])),
    ]
    return Program("chain", (2, 8, 8), STEPS, ops, {"seed": 0}, 0.25)


def frames(samples: int = 6, rate: float = 0.5) -> np.ndarray:
    return np.random.default_rng(1).poisson(rate, (STEPS, samples, 2, 8, 8)).astype(np.uint8)


def model(neuron: NeuronConfig, name: str = "vgg_small", size: int = 16, **options: Any) -> torch.nn.Module:
    """A network with statistics of batch-norm and neurons that fire."""
    torch.manual_seed(0)
    found = create_model(name, num_classes=4, input_size=(size, size), neuron=neuron, **options)
    for norm in found.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 0.5
            torch.nn.init.constant_(norm.weight, 2.0)
    found.train()
    with torch.no_grad():
        for _ in range(6):
            found(torch.rand(3, 4, found.config.in_channels, size, size).round() * 2)
    return found.eval()
