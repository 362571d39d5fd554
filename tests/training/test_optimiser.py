"""The optimiser of a recipe; slimming acts as its penalty in the loss would."""

import pytest
import torch
from torch import nn

from rheobase.compression.pruning import PruneError, SlimmingPenalty
from rheobase.training import OptimiserConfig
from rheobase.training.optimiser import build_optimiser


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_slimming_steps_as_with_the_penalty_in_the_loss(name):
    found = []
    for slimming in (0.0, 0.3):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        optimiser = build_optimiser(model, OptimiserConfig(name=name, lr=0.1, slimming=slimming))
        penalty = SlimmingPenalty(0.0 if slimming else 0.3)
        for _ in range(3):
            optimiser.zero_grad()
            (model(torch.eye(3)).square().sum() + penalty(model)).backward()
            optimiser.step()
        found.append([p.detach().clone() for p in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_slimming_needs_batch_norm_and_leaves_frozen_scales():
    with pytest.raises(PruneError, match="batch-norm"):
        build_optimiser(nn.Linear(2, 2), OptimiserConfig(slimming=1e-4))
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].requires_grad_(False)
    optimiser = build_optimiser(model, OptimiserConfig(lr=1.0, slimming=1.0))
    model(torch.eye(2)).sum().backward()
    optimiser.step()
    assert torch.equal(model[1].weight, torch.ones(2))
