"""WS-DR: the regulation of spikes by hand, what is left alone, what is logged, and in a training."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rheobase.compression import LibraConfig, QuantConfig, quantise_
from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model
from rheobase.objectives import WSDR, Outputs, StableSpikeConfig, WSDRConfig, build_objective, collect
from rheobase.objectives.wsdr import entropy, inner_rates, spike_regulation
from rheobase.training import TrainConfig, fit
from rheobase.training.loader import ArrayFrames

TARGET = torch.tensor([0, 1, 2])


def small():
    torch.manual_seed(0)
    return create_model("vgg_small", num_classes=3, in_channels=2, input_size=(16, 16), width=0.25)


def frames(T=4):
    return torch.poisson(torch.full((T, 3, 2, 16, 16), 0.5), generator=torch.Generator().manual_seed(0))


def test_entropy_is_largest_where_both_are_as_likely():
    values = entropy(torch.tensor([0.0, 0.1, 0.5, 1.0]))
    expected = [0.0, -0.1 * math.log(0.1) - 0.9 * math.log(0.9), math.log(2), 0.0]
    torch.testing.assert_close(values, torch.tensor(expected))


def test_first_and_last_layer_are_left_alone():
    spikes = {
        name: torch.full((2, 1, 4), rate) for name, rate in zip("abcd", (0.9, 0.25, 0.75, 0.1), strict=True)
    }
    rates = inner_rates(spikes)
    assert rates.tolist() == [0.25, 0.75]
    assert float(spike_regulation(rates)) == 0.0625, "((.25-.5)^2 + (.75-.5)^2) / 2"
    assert float(spike_regulation(inner_rates({"only": torch.ones(2, 1, 4)}))) == 0.0


def test_a_silent_layer_is_pushed_upward():
    spikes = torch.zeros(2, 1, 4, requires_grad=True)
    spike_regulation(inner_rates({"a": spikes.detach(), "b": spikes, "c": spikes.detach()})).backward()
    assert (spikes.grad < 0).all()


def test_loss_is_the_cross_entropy_of_every_step_and_the_regulation():
    model, objective = small(), WSDR(WSDRConfig(rate_lambda=0.1))
    outputs = collect(model, frames(), objective)
    loss = objective(outputs, TARGET)
    steps = sum(F.cross_entropy(step, TARGET) for step in outputs.logits) / 4
    rates = [outputs.spikes[name].mean() for name in model.neurons()][1:-1]
    regulation = sum((rate - 0.5) ** 2 for rate in rates) / len(rates)
    torch.testing.assert_close(loss.total, steps + 0.1 * regulation)
    torch.testing.assert_close(loss.parts["spike_regulation"], regulation.detach())
    assert "weight_entropy" not in loss.parts, "float weights have no codes"


def test_weight_entropy_of_centred_signs_is_nearly_ln_2():
    model = quantise_(small(), QuantConfig(weights=LibraConfig()))
    objective = WSDR()
    parts = objective(collect(model, frames(), objective), TARGET).parts
    assert 0.99 * math.log(2) < float(parts["weight_entropy"]) <= math.log(2) + 1e-6
    assert 0 <= float(parts["spike_entropy"]) <= math.log(2)


def test_it_regulates_stable_spike_too():
    model = small()
    objective = build_objective(WSDRConfig(task=StableSpikeConfig()), torch.Generator().manual_seed(0))
    loss = objective(collect(model, frames(), objective), TARGET)
    assert {"spike_consistency", "noise_consistency", "spike_regulation"} <= set(loss.parts)
    loss.total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_foreign_model_names_its_layers():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with pytest.raises(RecipeError, match=r"layers="):
        collect(model, torch.zeros(2, 3, 4), WSDR())
    objective = WSDR(WSDRConfig(layers=("0", "1", "2")))
    loss = objective(collect(model, torch.zeros(2, 3, 4), objective), TARGET)
    assert torch.isfinite(loss.total)


def test_unrecorded_spikes_are_an_error():
    with pytest.raises(DataError, match="collect"):
        WSDR()(Outputs(torch.zeros(2, 3, 3), {}, lambda rate: rate), TARGET)


def test_it_trains_and_logs_its_parts():
    rng = np.random.default_rng(0)
    data = ArrayFrames(rng.poisson(0.5, (12, 2, 2, 16, 16)).astype(np.uint8), rng.integers(0, 3, 12))
    model = quantise_(small(), QuantConfig(weights=LibraConfig()))
    history = fit(model, data, WSDR(), train=TrainConfig(epochs=1, batch_size=6), quiet=True)
    assert {"train_spike_entropy", "train_weight_entropy", "train_spike_regulation"} <= set(history[0])
