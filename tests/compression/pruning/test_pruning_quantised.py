"""Quantise then prune, prune then quantise, and what the Program makes of it."""

import copy

import numpy as np
import pytest
import torch
from pruning_helpers import SIZE, frames, lively, network, outputs
from torch.nn.utils import parametrize

from model_cases import CONVOLUTIONAL
from rheobase.compression import QuantConfig, ReScaWConfig, harden, quantise_
from rheobase.compression.pruning import PruneConfig, PruneError, apply_plan, mask_, plan_pruning, prune_
from rheobase.models import create_model
from rheobase.program import reference, verify
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

QUANTISED = QuantConfig(weights=ReScaWConfig(bits=4))


def original(layer):
    return layer.parametrizations["weight"].original if parametrize.is_parametrized(layer) else layer.weight


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_quantise_then_prune(name):
    """The float originals are cut; every quantiser computes anew from what is left of its own weight."""
    dense = quantise_(network(name), QUANTISED)
    slim = copy.deepcopy(dense)
    plan = prune_(slim, PruneConfig(ratio=0.5), frames())
    kept = {(cut.tensor, cut.axis): list(cut.kept) for cut in plan.cuts}
    layers = {n: m for n, m in dense.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
    for layer_name, layer in layers.items():
        expected = original(layer)
        for axis in (0, 1):
            if (f"{layer_name}.weight", axis) in kept:
                indices = torch.tensor(kept[f"{layer_name}.weight", axis])
                expected = expected.index_select(axis, indices)
        here = slim.get_submodule(layer_name)
        quantiser = here.parametrizations["weight"][0]
        assert torch.equal(original(here), expected)
        assert torch.equal(here.weight, quantiser(expected))
    slim.train()
    slim(frames()).sum().backward()
    assert all(original(slim.get_submodule(n)).grad is not None for n in layers)


def test_slimmed_equals_the_dense_network_with_its_weights():
    """A dense float network that holds the slimmed quantised weights at their old places, zeros elsewhere, computes the same."""
    plain = network("vgg_small")
    slim = quantise_(copy.deepcopy(plain), QUANTISED)
    plan = prune_(slim, PruneConfig(ratio=0.5), frames())
    dense = mask_(plain, plan)
    kept = {(cut.tensor, cut.axis): list(cut.kept) for cut in plan.cuts}
    for name, layer in dense.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            rows = kept.get((f"{name}.weight", 0), list(range(layer.weight.shape[0])))
            columns = kept.get((f"{name}.weight", 1), list(range(layer.weight.shape[1])))
            with torch.no_grad():
                layer.weight[np.ix_(rows, columns)] = slim.get_submodule(name).weight
    torch.testing.assert_close(outputs(slim, frames(1)), outputs(dense, frames(1)), atol=1e-12, rtol=0)


def test_with_a_fixed_scale_pruning_and_quantising_commute():
    config = QuantConfig(weights=ReScaWConfig(bits=4, gamma_mode="unit"), edge_bits=None)
    first = network("vgg_small")
    plan = plan_pruning(first, PruneConfig(score="l1", ratio=0.5), frames())
    qp = apply_plan(quantise_(copy.deepcopy(first), config), plan)
    pq = quantise_(apply_plan(copy.deepcopy(first), plan), config)
    assert qp.state_dict().keys() == pq.state_dict().keys()
    assert torch.equal(outputs(qp, frames(2)), outputs(pq, frames(2)))


def test_a_plan_of_a_quantised_model_rebuilds_from_the_float_one():
    slim = quantise_(network("ms_resnet18"), QUANTISED)
    plan = prune_(slim, PruneConfig(score="slimming", ratio=0.5), frames())
    assert not any("parametrizations" in cut.tensor for cut in plan.cuts)
    fresh = quantise_(apply_plan(create_model(**dict(slim.config)).double(), plan), QUANTISED)
    fresh.load_state_dict(slim.state_dict())
    assert torch.equal(outputs(fresh.eval(), frames(3)), outputs(slim, frames(3)))


class LearnedScale(torch.nn.Module):
    """A quantiser with a scale per output channel that is trained."""

    def __init__(self, weight):
        super().__init__()
        self.scale = torch.nn.Parameter(weight.detach().abs().amax((1, 2, 3), keepdim=True) / 7)

    def forward(self, weight):
        return torch.round(weight / self.scale).clamp(-8, 7) * self.scale


def test_learned_scales_of_a_quantiser_are_cut_with_their_channels():
    model = network("vgg_small")
    for name in ("conv2", "conv3"):
        layer = model.features.get_submodule(name)
        parametrize.register_parametrization(layer, "weight", LearnedScale(layer.weight))
    before = model.features.conv2.parametrizations.weight[0].scale.detach().clone()
    plan = prune_(model, PruneConfig(score="l1", ratio=0.5), frames())
    kept = next(g.kept for g in plan.groups if g.name == "features.conv2")
    assert torch.equal(model.features.conv2.parametrizations.weight[0].scale, before[list(kept)])
    assert torch.isfinite(outputs(model, frames())).all()


def test_masks_are_for_float_weights():
    model = quantise_(network("vgg_small"), QUANTISED)
    plan = plan_pruning(model, PruneConfig(), frames())
    with pytest.raises(PruneError, match="before quantise_"):
        mask_(model, plan)


@torch.no_grad()
@pytest.mark.parametrize("order", ["QP", "PQ"])
def test_pruned_and_quantised_hardens_and_equals_its_program(order):
    torch.manual_seed(0)
    model = create_model("vgg_small", num_classes=5, input_size=SIZE, width=0.5)
    counts = torch.poisson(torch.full((4, 8, 2, *SIZE), 0.4), generator=torch.Generator().manual_seed(0))
    lively(model, counts)
    if order == "QP":
        quantise_(model, QUANTISED)
    plan = prune_(model, PruneConfig(ratio=0.5, scope="global"), counts)
    if order == "PQ":
        quantise_(model, QUANTISED)
    program = lower(harden(model), name="pruned", T=4)
    x = counts.numpy().astype(np.uint8)
    found = verify(lambda each: reference.run(program, each), hardened_trace(harden(model), x), x)
    assert found.exact, found.first_difference
    shapes = [op.weight.shape for op in program.ops if hasattr(op, "weight")]
    assert [shape[0] for shape in shapes] == [*(len(g.kept) for g in plan.groups), 5]
