"""One process of a test: `python ddp_worker.py OUT CASES(json)` under torchrun.

Trains a small network for each case, in double precision so that sums in another order decide no spike, and
writes its weights and metrics.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from rheobase.models import create_model
from rheobase.objectives import build_objective
from rheobase.training import ArrayFrames, AugmentConfig, OptimiserConfig, Recipe, TrainConfig, fit
from rheobase.training.shard import fsdp_strategy

warnings.simplefilter("ignore")


def samples(count):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    counts = rng.integers(3, size=(count, 3, 2, 8, 8))
    counts[labels == 1, :, :, :4] = 0
    return ArrayFrames(counts.astype(np.uint8), labels)


def without_norm(model):
    """Batch-norm replaced by a fixed gain: micro-batches then are independent of each other."""
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, Gain())
    return model


class Gain(torch.nn.Module):
    def forward(self, x):
        return 4 * x


def to_double(module, inputs):
    return tuple(x.double() for x in inputs)


def run(options, fabric=None):
    torch.manual_seed(0)
    model = create_model(options.get("model", "vgg_small"), num_classes=2, input_size=(8, 8), width=0.25)
    if not options.get("norm", True):
        model = without_norm(model)
    model.double().features.register_forward_pre_hook(to_double)
    objective = Recipe.model_validate(
        {"data": {"name": "folder"}, "objective": options["objective"]}
    ).objective
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    settings = {"epochs": 3, "batch_size": 12, "threads": 1, **options.get("train", {})}
    data = samples(options.get("count", 40))
    history = fit(
        model,
        data,
        build_objective(objective),
        validation=data,
        optimiser=OptimiserConfig(lr=0.05, weight_decay=1e-3),
        train=TrainConfig.model_validate(settings),
        augment=AugmentConfig(shift=1),
        fabric=fabric,
        quiet=True,
    )
    return model.state_dict(), [{**row, "seconds": 0} for row in history]


if __name__ == "__main__":
    world = int(os.environ["WORLD_SIZE"])
    sharded = len(sys.argv) > 3
    strategy = fsdp_strategy(world) if sharded else DDPStrategy(process_group_backend="gloo")
    fabric = Fabric(accelerator="cpu", strategy=strategy, devices=world)
    fabric.launch()
    for name, options in json.loads(sys.argv[2]).items():
        weights, history = run(options, fabric)
        torch.save((weights, history), Path(sys.argv[1]) / f"{name}-{fabric.global_rank}.pt")
