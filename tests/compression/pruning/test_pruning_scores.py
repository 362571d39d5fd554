"""Scores against small examples worked by hand."""

import numpy as np
import pytest
import torch
from pruning_helpers import frames, network, spikes
from torch import nn

from rheobase.compression.pruning import (
    PruneConfig,
    PruneError,
    SlimmingPenalty,
    find_groups,
    plan_pruning,
    trace,
)
from rheobase.compression.pruning.groups import positions
from rheobase.compression.pruning.scores import hrank, l1, rank, sca, svs
from rheobase.compression.pruning.scores.base import Subject
from rheobase.compression.pruning.scores.sca import membranes
from rheobase.compression.pruning.tracing import call
from rheobase.layers import Conv2d, Flatten, Linear
from rheobase.neurons import IF, LIF, NeuronConfig
from rheobase.objectives import capture


def rankings(model, x, score, **options):
    found = trace(model, x)
    groups = find_groups(found)
    return groups, rank(Subject(model, found, groups, x, call, PruneConfig(score=score, **options)))


def test_svs_counts_the_singular_values_of_the_mean_map():
    maps = torch.zeros(2, 1, 5, 3, 3)
    maps[:, 0, 1] = torch.outer(torch.tensor([1.0, 1, 0]), torch.tensor([1.0, 0, 1]))  # an outer product
    maps[:, 0, 2] = torch.eye(3)
    maps[0, 0, 3] = torch.diag(
        torch.tensor([1.0, 0, 0])
    )  # two rank-1 steps at different places: rank 2 on average
    maps[1, 0, 3] = torch.diag(torch.tensor([0.0, 1, 0]))
    maps[:, 0, 4] = 1.0  # everything fires: rank 1, sigma = 3
    score, tie = svs(maps)
    assert score.tolist() == [[0, 1, 3, 2, 1]]
    # sums: outer product of two vectors of length sqrt 2 -> 2; identity -> 3; rates 1/2 and 1/2 -> 1; ones -> 3
    torch.testing.assert_close(tie, torch.tensor([[0.0, 2, 3, 1, 3]]))


def test_svs_with_the_matrix_rank_tolerance_agrees_on_ordinary_maps():
    maps = spikes(4, 3, 6, 8, 8).float()
    assert torch.equal(svs(maps)[0], svs(maps, None)[0])
    assert torch.equal(svs(maps, None)[0], torch.linalg.matrix_rank(maps.mean(0)).float())


def test_svs_of_tokens_is_whether_they_fire():
    tokens = torch.zeros(2, 1, 3, 4)
    tokens[0, 0, 1, 2] = 1
    tokens[:, 0, 2] = 1
    score, tie = svs(tokens)
    assert score.tolist() == [[0, 1, 1]]
    torch.testing.assert_close(tie, torch.tensor([[0, 0.5, 2]]))


def test_hrank_is_the_mean_rank_of_single_steps():
    maps = torch.zeros(2, 1, 3, 3, 3)
    maps[0, 0, 0] = torch.eye(3)
    maps[0, 0, 1] = torch.diag(torch.tensor([1.0, 0, 0]))
    maps[1, 0, 1] = torch.diag(torch.tensor([0.0, 1, 0]))
    score, tie = hrank(maps)
    assert score.tolist() == [[1.5, 1.0, 0.0]]
    assert tie.tolist() == [[1.5, 1.0, 0.0]]


def test_sca_is_the_l1_norm_of_the_membrane_before_reset():
    # LIF, leak 1/2, threshold 1, soft reset, currents 0.6, 0.8, -0.5 by hand:
    # h = .6; .3 + .8 = 1.1 (fires, leaves .1); .05 - .5 = -.45
    current = torch.tensor([0.6, 0.8, -0.5]).reshape(3, 1, 1, 1, 1)
    h = membranes(LIF(), current)
    torch.testing.assert_close(h.flatten(), torch.tensor([0.6, 1.1, -0.45]))
    torch.testing.assert_close(sca(h), torch.tensor([[(0.6 + 1.1 + 0.45) / 3]]))
    # two pixels add up: [N, C]
    two = torch.tensor([[1.0, -2.0], [3.0, 0.0]]).reshape(2, 1, 1, 1, 2)
    assert sca(two).tolist() == [[3.0]]


def test_sca_counts_gain_threshold_and_hard_reset():
    neuron = LIF(NeuronConfig(tau=2.0, decay_input=True, v_threshold=0.5, v_reset=0.0))
    current = torch.tensor([1.0, 1.0, 0.4]).reshape(3, 1, 1, 1, 1)
    # h = .5 fires -> 0; .5 fires -> 0; .2
    torch.testing.assert_close(membranes(neuron, current).flatten(), torch.tensor([0.5, 0.5, 0.2]))


def test_l1_sums_a_filter():
    weight = torch.tensor([[[1.0, -2.0]], [[0.5, 0.0]]])
    assert l1(weight).tolist() == [3.0, 0.5]


def hand_made():
    """Two filters of one weight each, an IF neuron each, and a linear layer."""
    model = nn.Sequential(Conv2d(1, 2, 1, bias=False), IF(), Flatten(), Linear(2 * 4, 3, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.25, -2.0]).reshape(2, 1, 1, 1))
    return model


def test_scores_of_a_network_by_hand():
    model = hand_made()
    x = torch.zeros(4, 1, 1, 2, 2)
    x[:, :, :, 0, 0] = 1.0
    x[:, :, :, 1, 1] = 1.0
    # channel 0 gets .25 a step at two pixels of the diagonal: it fires once, at step 4, and its mean map is diag(1/4, 1/4);
    # channel 1 is never positive
    _, (svs_rank,) = rankings(model, x, "svs")
    np.testing.assert_allclose(svs_rank.score, [2, 0])
    np.testing.assert_allclose(svs_rank.tie, [0.5, 0])
    _, (hrank_rank,) = rankings(model, x, "hrank")
    np.testing.assert_allclose(hrank_rank.score, [2 / 4, 0])
    # membranes: .25 + .5 + .75 + 1 at two pixels; 2 + 4 + 6 + 8 at two pixels, over four steps
    _, (sca_rank,) = rankings(model, x, "sca")
    np.testing.assert_allclose(sca_rank.score, [2 * 2.5 / 4, 2 * 20 / 4])
    _, (l1_rank,) = rankings(model, x, "l1")
    np.testing.assert_allclose(l1_rank.score, [0.25, 2])


def test_scores_average_over_recordings_and_not_over_batches():
    model = network("vgg_small")
    x = frames(N=5)
    for score in ("svs", "sca", "hrank"):
        whole = rankings(model, x, score)[1]
        parts = rankings(model, x, score, batch=2)[1]
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_allclose(one.score, other.score, atol=1e-9)
            np.testing.assert_allclose(one.tie, other.tie, atol=1e-6)


def test_one_pass_gives_what_a_pass_per_layer_gives():
    model, x = network("vgg_small"), frames()
    groups, found = rankings(model, x, "svs")
    for group, ranking in zip(groups, found, strict=True):
        neuron = group.name.replace("conv", "neuron")
        with capture(model, [neuron]) as captured, torch.no_grad():
            model(x)
        expected = svs(captured.spikes()[neuron])[0].mean(0)
        np.testing.assert_allclose(ranking.score, expected.numpy())


def test_channels_of_a_residual_stream_take_the_mean_of_the_neurons_that_read_it():
    model, x = network("ms_resnet18"), frames()
    groups, found = rankings(model, x, "svs")
    assert groups[0].layers == (
        "features.stem",
        "features.stage1_block1.conv2",
        "features.stage1_block2.conv2",
    )
    readers = [
        "features.stage1_block1.neuron1",
        "features.stage1_block2.neuron1",
        "features.stage2_block1.neuron1",
    ]
    with capture(model, readers) as captured, torch.no_grad():
        model(x)
    expected = torch.stack([svs(captured.spikes()[name])[0].mean(0) for name in readers]).mean(0)
    np.testing.assert_allclose(found[0].score, expected.numpy())


def test_slimming_reads_the_scales():
    model, x = network("vgg_small"), frames()
    groups, found = rankings(model, x, "slimming")
    for group, ranking in zip(groups, found, strict=True):
        norm = model.get_submodule(group.name.replace("conv", "norm"))
        np.testing.assert_allclose(ranking.score, norm.weight.detach().abs().numpy())
    with pytest.raises(PruneError, match=r"no batch-norm follows '0'.*l1"):
        plan_pruning(hand_made(), PruneConfig(score="slimming"), torch.ones(2, 1, 1, 2, 2))


def test_slimming_penalty_is_the_sum_of_scales_and_pulls_them_down():
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
    penalty = SlimmingPenalty(0.1)(nn.Sequential(norm))
    assert penalty.item() == pytest.approx(0.35)
    penalty.backward()
    torch.testing.assert_close(norm.weight.grad, torch.tensor([0.1, -0.1, 0.1]))
    with pytest.raises(PruneError, match="batch-norm"):
        SlimmingPenalty()(nn.Linear(2, 2))


def test_random_depends_on_the_seed_alone():
    model, x = network("vgg_small"), frames()
    plans = [plan_pruning(model, PruneConfig(score="random", seed=s), x) for s in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_scoring_leaves_statistics_and_modes_alone():
    model, x = network("vgg_small"), frames()
    model.train()
    model.features.norm1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan_pruning(model, PruneConfig(score="sca"), x)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training and model.features.norm2.training and not model.features.norm1.training
    assert not any(module._forward_hooks for module in model.modules())


def test_activity_needs_a_neuron_and_frames():
    bare = nn.Sequential(Conv2d(1, 4, 1), Flatten(), Linear(16, 3))
    x = torch.ones(2, 1, 1, 2, 2)
    with pytest.raises(PruneError, match=r"none follows '0'.*l1.*overrides"):
        plan_pruning(bare, PruneConfig(score="svs"), x)
    with pytest.raises(PruneError, match="needs calibration frames"):
        plan_pruning(hand_made(), PruneConfig(score="svs"), x[:, :0])


def test_positions_of_a_flattened_layer_repeat_each_channel():
    model, x = network("vgg_small"), frames()
    found = trace(model, x)
    last = find_groups(found)[-1]
    at = positions(found, "head.linear.weight", 1, last)
    assert at.tolist() == np.repeat(np.arange(last.size), 4).tolist()


def test_inverse_removes_what_would_stay():
    model, x = network("vgg_small"), frames()
    low = plan_pruning(model, PruneConfig(score="l1", ratio=0.5), x)
    high = plan_pruning(model, PruneConfig(score="l1", ratio=0.5, inverse=True), x)
    for kept, gone in zip(low.groups, high.groups, strict=True):
        assert sorted((*kept.kept, *gone.kept)) == list(range(kept.channels))
