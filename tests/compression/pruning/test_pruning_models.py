"""Every registered model loses channels for real and computes what the masked model computes."""

import copy
import json

import pytest
import torch
from pruning_helpers import assert_equals_masked, frames, network, outputs, parameters
from torch.utils.flop_counter import FlopCounterMode

from model_cases import PRUNED
from rheobase.compression.pruning import (
    SCORE_NAMES,
    PruneConfig,
    PrunePlan,
    apply_plan,
    prune_,
    pruned_shapes,
)
from rheobase.models import create_model
from rheobase.objectives import capture


@pytest.mark.parametrize("ratio", [0.3, 0.5])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", PRUNED)
def test_slimmed_equals_masked_and_trains(name, scope, ratio):
    original = network(name)
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(score="svs", ratio=ratio, scope=scope), frames())
    assert_equals_masked(original, slim, plan, frames(seed=1))
    assert parameters(slim) < (1 - ratio) * parameters(original)
    slim.train()
    slim(frames(seed=2)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in slim.parameters())
    optimiser = torch.optim.SGD(slim.parameters(), lr=0.1, momentum=0.9)
    optimiser.step()
    assert torch.isfinite(outputs(slim, frames())).all()


@pytest.mark.parametrize("score", SCORE_NAMES)
@pytest.mark.parametrize("name", ["vgg_small", "ms_resnet18"])
def test_every_score_prunes(name, score):
    original = network(name)
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(score=score, ratio=0.5), frames())
    assert plan.ratio == pytest.approx(0.5)
    assert_equals_masked(original, slim, plan, frames(seed=1))


def test_float32_spikes_equal_the_masked_ones_bit_for_bit():
    """On weights that are multiples of 1/64 all sums are exact in float32, so nothing may differ."""
    from rheobase.compression.pruning import mask_

    model = network("vgg_small").float()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith("running_var"):
                tensor.fill_(1 / 16)
            elif tensor.is_floating_point():
                tensor.copy_((tensor * 64).round() / 64)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    slim, masked = copy.deepcopy(model), copy.deepcopy(model)
    plan = prune_(slim, PruneConfig(score="l1", ratio=0.4), frames().float())
    mask_(masked, plan)
    x = frames(seed=3).float()
    neurons = list(model.neurons())
    with capture(slim, neurons) as few, capture(masked, neurons) as many, torch.no_grad():
        assert torch.equal(slim(x), masked(x))
    for group, neuron in zip(plan.groups, neurons, strict=True):
        assert torch.equal(few.spikes()[neuron], many.spikes()[neuron][:, :, list(group.kept)])
        assert few.spikes()[neuron].mean() > 0.01


def test_counts_of_a_vgg_by_hand():
    """Half of 4-8-16-16 channels (vgg_small at width 1/4) leaves 2-4-8-8: parameters and operations as computed."""
    model = network("vgg_small")
    assert parameters(model) == expected_parameters(4, 8, 16, 16)
    prune_(model, PruneConfig(score="l1", ratio=0.5), frames())
    assert parameters(model) == expected_parameters(2, 4, 8, 8)
    x = frames(T=2, N=3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    # a multiply-add is two; maps of 16, 8, 4 and 2 pixels squared, 2 x 3 frames
    macs = 9 * (2 * 2 * 16**2 + 2 * 4 * 8**2 + 4 * 8 * 4**2 + 8 * 8 * 2**2) + 8 * 4 * 5
    assert counter.get_total_flops() == 2 * macs * 2 * 3


def expected_parameters(a, b, c, d):
    convolutions = 9 * (2 * a + a * b + b * c + c * d)
    return convolutions + 2 * (a + b + c + d) + d * 4 * 5 + 5


def test_sizes_that_modules_keep_follow():
    model = network("vgg_small")
    prune_(model, PruneConfig(score="l1", ratio=0.5), frames())
    conv, norm, linear = model.features.conv3, model.features.norm3, model.head.linear
    assert (conv.in_channels, conv.out_channels, norm.num_features, linear.in_features) == (4, 8, 8, 32)
    assert conv.weight.shape == (8, 4, 3, 3) and linear.out_features == 5


@pytest.mark.parametrize("name", PRUNED)
def test_a_model_is_rebuilt_from_its_configuration_and_a_plan(name):
    slim = network(name)
    plan = prune_(slim, PruneConfig(score="slimming", ratio=0.5, scope="global"), frames())
    text = json.dumps(plan.model_dump(mode="json"))
    read = PrunePlan.model_validate(json.loads(text))
    assert read == plan
    fresh = create_model(**dict(slim.config)).double()
    shapes = pruned_shapes(fresh, read)
    assert shapes == {key: tuple(tensor.shape) for key, tensor in slim.state_dict().items()}
    apply_plan(fresh, read)
    fresh.load_state_dict(slim.state_dict())
    assert torch.equal(outputs(fresh.eval(), frames(seed=4)), outputs(slim, frames(seed=4)))


@pytest.mark.parametrize("score", ["svs", "random"])
def test_ratio_0_changes_nothing(score):
    model = network("vgg_small")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan = prune_(model, PruneConfig(score=score, ratio=0.0, scope="global"), frames())
    assert plan.cuts == () and plan.ratio == 0 and [len(g.kept) for g in plan.groups] == [4, 8, 16, 16]
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_output_classes_and_input_channels_stay():
    model = network("vgg_small")
    prune_(model, PruneConfig(score="random", ratio=0.95), frames())
    assert [conv.weight.shape[0] for conv in model.modules() if isinstance(conv, torch.nn.Conv2d)] == [
        1,
        1,
        1,
        1,
    ]
    assert model.features.conv1.weight.shape[1] == 2 and model.head.linear.weight.shape == (5, 4)


def test_parameters_stay_the_same_objects_without_stale_gradients():
    model = network("vgg_small")
    model(frames()).sum().backward()
    weight = model.features.conv2.weight
    prune_(model, PruneConfig(ratio=0.5), frames())
    assert model.features.conv2.weight is weight and weight.grad is None
