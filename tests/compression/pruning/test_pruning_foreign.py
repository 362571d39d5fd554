"""Networks of other libraries: stateful neurons, both step modes, loops in or around the model."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pruning_helpers import assert_equals_masked, call, lively, outputs, spikes
from torch import nn

from rheobase.compression.pruning import PruneConfig, PruneError, prune_

X = spikes(3, 4, 2, 8, 8, rate=0.5)


def spikingjelly_network(mode):
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed (requirements-peers.txt)")
    from spikingjelly.activation_based import layer, neuron

    def lif():
        return neuron.LIFNode(v_threshold=0.5, step_mode=mode)

    torch.manual_seed(0)
    return nn.Sequential(
        layer.Conv2d(2, 8, 3, padding=1, bias=False, step_mode=mode),
        layer.BatchNorm2d(8, step_mode=mode),
        lif(),
        layer.MaxPool2d(2, step_mode=mode),
        layer.Conv2d(8, 12, 3, padding=1, step_mode=mode),
        layer.BatchNorm2d(12, step_mode=mode),
        lif(),
        layer.AvgPool2d(2, step_mode=mode),
        layer.Flatten(step_mode=mode),
        layer.Linear(12 * 4, 20, step_mode=mode),
        lif(),
        layer.Linear(20, 5, step_mode=mode),
    ).double()


def each_step(model, x):
    return torch.stack([model(step) for step in x])


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("score", ["svs", "hrank", "l1", "random"])
@pytest.mark.parametrize(("mode", "run"), [("m", call), ("s", each_step)])
def test_spikingjelly(mode, run, score, scope):
    original = lively(spikingjelly_network(mode), X, run)
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(score=score, ratio=0.5, scope=scope), X, run=run)
    assert [g.name for g in plan.groups] == ["0", "4", "9"] and sum(len(g.kept) for g in plan.groups) == 20
    assert_equals_masked(original, slim, plan, X.flip(1), run)


@pytest.mark.parametrize(("mode", "run"), [("m", call), ("s", each_step)])
def test_both_step_modes_score_alike(mode, run):
    multi = lively(spikingjelly_network("m"), X)
    model = spikingjelly_network(mode)
    model.load_state_dict(multi.state_dict())
    plans = [prune_(m, PruneConfig(ratio=0.5), X, run=r) for m, r in ((multi, call), (model, run))]
    assert plans[0] == plans[1]
    torch.testing.assert_close(outputs(multi, X), outputs(model, X, run), atol=1e-12, rtol=0)


def test_a_single_step_model_loses_no_time_axis_when_called_once():
    model = lively(spikingjelly_network("s"), X[:1], each_step)
    plan = prune_(model, PruneConfig(ratio=0.5), X[:1], run=each_step)
    assert [len(g.kept) for g in plan.groups] == [4, 6, 10]


def test_membranes_are_forgotten():
    model = lively(spikingjelly_network("m"), X)
    prune_(model, PruneConfig(ratio=0.5), X)
    assert isinstance(model[2].v, float)


def test_what_a_foreign_network_does_not_show_is_refused():
    model = lively(spikingjelly_network("m"), X)
    with pytest.raises(PruneError, match=r"LIFNode does not show them.*svs"):
        prune_(model, PruneConfig(score="sca"), X)
    with pytest.raises(PruneError, match=r"no batch-norm follows '9'.*l1"):
        prune_(model, PruneConfig(score="slimming"), X)
    plan = prune_(model, PruneConfig(score="slimming", overrides={"9": 0}), X)
    assert [g.name for g in plan.groups] == ["0", "4"]


def test_snntorch():
    snntorch = pytest.importorskip("snntorch", reason="snntorch is not installed (requirements-peers.txt)")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.spike = nn.Conv2d(2, 8, 3, padding=1), snntorch.Leaky(beta=0.5, threshold=0.3)
            self.fc = nn.Linear(8 * 16, 3)

        def forward(self, x):
            membrane, out = self.spike.init_leaky(), []
            for step in x:
                fired, membrane = self.spike(self.conv(step), membrane)
                out.append(self.fc(F.avg_pool2d(fired, 2).flatten(1)))
            return torch.stack(out)

    torch.manual_seed(0)
    original = Net().eval()
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(ratio=0.5), X.float())
    from rheobase.compression.pruning import mask_

    masked = mask_(copy.deepcopy(original), plan)
    torch.testing.assert_close(outputs(slim, X.float()), outputs(masked, X.float()), atol=1e-5, rtol=0)
    assert slim.conv.weight.shape[0] == 4
