"""Neurons that learn at events: warm-up, adaptive thresholds, and what remedies a masked gradient needs."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.checkpoint import checkpoint

from rheobase.errors import RecipeError
from rheobase.neurons import (
    AdaptiveThreshold,
    EventGradient,
    NeuronConfig,
    Rectangular,
    Triangular,
    build_neuron,
)

EVENT = NeuronConfig(v_reset=0.0, detach_reset=True, surrogate=Triangular(), gradient=EventGradient())


def gradient_of(neuron):
    x = torch.linspace(0, 2, 60).reshape(3, 4, 5).requires_grad_()
    spikes = neuron(x)
    return spikes, torch.autograd.grad(spikes.sum(), x)[0]


@pytest.mark.parametrize("kind", ["lif", "if", "plif"])
def test_the_option_reaches_the_scan(kind):
    spikes, gx = gradient_of(build_neuron(EVENT.model_copy(update={"kind": kind})))
    _, full = gradient_of(build_neuron(EVENT.model_copy(update={"kind": kind, "gradient": None})))
    assert full[spikes == 0].any() and not gx[spikes == 0].any() and gx.any()


def test_warm_up_counts_training_batches():
    neuron = build_neuron(EVENT.model_copy(update={"gradient": EventGradient(warmup=2)}))
    masked = []
    for mode in (True, False, True, True):  # evaluation is no batch, and is masked
        neuron.train(mode)
        spikes, gx = gradient_of(neuron)
        masked.append(not gx[spikes == 0].any())
    assert masked == [False, True, False, True]
    assert list(neuron.state_dict()) == ["batches"] and int(neuron.batches) == 3
    again = pickle.loads(pickle.dumps(neuron))
    assert again.train().gradient() == again.config.gradient


def test_warm_up_under_recomputation_counts_once():
    neuron = build_neuron(EVENT.model_copy(update={"gradient": EventGradient(warmup=2)}))
    checkpoint(neuron, torch.ones(2, 3, 4, requires_grad=True), use_reentrant=False).sum().backward()
    assert int(neuron.batches) == 1


def test_threshold_follows_the_rate():
    adapt = AdaptiveThreshold(eta=0.5, target=0.25, floor=0.3)
    neuron = build_neuron(NeuronConfig(kind="if", v_threshold=1.0, adapt=adapt))
    x = torch.tensor([1.0, 0.0]).expand(1, 3, 2)  # half of the neurons fire
    neuron(x)
    assert neuron.threshold() == 1.0 + 0.5 * (0.5 - 0.25)
    neuron(x)  # now none does
    assert neuron.threshold() == 1.125 - 0.5 * 0.25
    for _ in range(20):
        neuron(torch.zeros(1, 3, 2))
    assert neuron.threshold() == torch.tensor(0.3)
    neuron.eval()(x)
    assert neuron.threshold() == torch.tensor(0.3) and list(neuron.state_dict()) == ["v_threshold"]


def test_backward_reads_the_threshold_of_its_forward():
    adapt = NeuronConfig(adapt=AdaptiveThreshold(eta=5.0), surrogate=Rectangular(width=0.5))
    _, gx = gradient_of(build_neuron(adapt))
    assert torch.equal(gx, gradient_of(build_neuron(adapt.model_copy(update={"adapt": None})))[1])


def test_what_cannot_be():
    with pytest.raises(ValidationError, match="must lie above v_reset"):
        NeuronConfig(v_reset=0.5, adapt=AdaptiveThreshold())
    neuron = NeuronConfig(adapt=AdaptiveThreshold())
    with pytest.raises(RecipeError, match="leave out threshold"):
        type(build_neuron(neuron))(neuron, threshold=torch.ones(3))
    with pytest.raises(RecipeError, match=r"train\.recompute=false"):
        checkpoint(
            build_neuron(neuron), torch.ones(2, 3, 4, requires_grad=True), use_reentrant=False
        ).sum().backward()


def prototypes(count, seed):
    rng = np.random.default_rng(0)
    centres, draws = rng.random((4, 20)), np.random.default_rng(seed + 1)
    y = np.arange(count) % 4
    x = np.clip(centres[y] + 0.15 * draws.standard_normal((count, 20)), 0, 1)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def learns(neuron, gain=1.0, epochs=12, steps=6):
    """Test accuracy of 20-40-40-4, direct input over six steps, on four noisy prototypes."""
    torch.manual_seed(0)
    sizes = [20, 40, 40]
    layers = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), build_neuron(neuron)]
        nn.init.normal_(layers[-2].weight, std=gain * (2 / n) ** 0.5)
        nn.init.zeros_(layers[-2].bias)
    net = nn.Sequential(*layers, nn.Linear(40, 4))
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    x, y = prototypes(800, 0)
    for _ in range(epochs):
        for rows in torch.randperm(800).split(50):
            optimiser.zero_grad()
            logits = net(x[rows].expand(steps, -1, -1)).mean(0)
            nn.functional.cross_entropy(logits, y[rows]).backward()
            optimiser.step()
    x, y = prototypes(400, 1)
    with torch.no_grad():
        return (net.eval()(x.expand(steps, -1, -1)).mean(0).argmax(-1) == y).float().mean().item()


@pytest.mark.parametrize("temporal", ["event_local", "isi"])
@pytest.mark.parametrize("mask", ["spike", "band"])
def test_networks_learn(mask, temporal):
    gradient = EventGradient(mask=mask, temporal=temporal)
    assert learns(EVENT.model_copy(update={"gradient": gradient})) >= 0.95


def test_a_silent_network_needs_a_remedy():
    """Hidden weights a third as large: the masked gradient finds no event and stays at chance."""
    accuracies = {
        name: learns(EVENT.model_copy(update=update), gain=0.3)
        for name, update in {
            "masked": {},
            "full": {"gradient": None},
            "warm-up": {"gradient": EventGradient(warmup=16)},
            "adaptive": {"adapt": AdaptiveThreshold(), "v_reset": 0.0},
        }.items()
    }
    assert accuracies.pop("masked") <= 0.4
    assert min(accuracies.values()) >= 0.95, accuracies
