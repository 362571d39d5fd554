"""Labels by step: what is judged, what is left out; and the price of spikes."""

import pytest
import torch
from torch.nn import functional as F

from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model
from rheobase.objectives import (
    CrossEntropy,
    CrossEntropyConfig,
    FiringRate,
    FiringRateConfig,
    Outputs,
    build_objective,
    collect,
    judged,
)


def outputs(T: int = 6, N: int = 3, K: int = 4) -> Outputs:
    logits = torch.randn(T, N, K, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return Outputs(logits, {}, lambda x: x)


TARGET = torch.tensor([[0, -1, 2, 3, -1, 1], [-1, -1, -1, -1, -1, 2], [1, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_mean_over_samples_of_the_mean_over_labelled_steps(smoothing: float) -> None:
    found, samples = outputs(), []
    for n, row in enumerate(TARGET):
        steps = [
            F.cross_entropy(found.logits[t, n], label, label_smoothing=smoothing)
            for t, label in enumerate(row)
            if label >= 0
        ]
        samples.append(torch.stack(steps).mean())
    loss = CrossEntropy(CrossEntropyConfig(label_smoothing=smoothing))(found, TARGET)
    torch.testing.assert_close(loss.total, torch.stack(samples).mean())


def test_steps_without_a_label_have_no_gradient() -> None:
    found = outputs()
    CrossEntropy()(found, TARGET).total.backward()
    silent = (TARGET == -1).T
    assert not found.logits.grad[silent].any()
    assert (found.logits.grad[~silent].abs().sum(-1) > 0).all()


def test_a_sample_without_any_label_costs_nothing() -> None:
    loss = CrossEntropy()(outputs(), torch.full((3, 6), -1)).total
    assert loss == 0


def test_judged() -> None:
    logits = outputs().logits
    means, labels = judged(logits, torch.tensor([0, 1, 2]))
    assert torch.equal(means, logits.mean(0)) and labels.tolist() == [0, 1, 2]
    steps, labels = judged(logits, TARGET)
    assert labels.tolist() == TARGET[TARGET >= 0].tolist()
    places = [(t, n) for n in range(3) for t in range(6) if TARGET[n, t] >= 0]
    assert torch.equal(steps, torch.stack([logits[t, n] for t, n in places]))
    with pytest.raises(DataError, match=r"here \[3, 6\], got \[6, 3\]"):
        judged(logits, TARGET.T)
    with pytest.raises(DataError, match="-1 where there is none"):
        CrossEntropy()(outputs(), TARGET[:, :5])


def test_price_of_spikes() -> None:
    config = FiringRateConfig(target=0.1, strength=3.0)
    model = create_model(
        "spiking_mlp", num_classes=4, in_channels=5, input_size=(1, 1), neuron="ternary_lif", width=0.25
    )
    x = torch.randn(8, 6, 5, 1, 1).sign()
    target = torch.arange(6) % 4
    objective = build_objective(config)
    found = collect(model, x, objective)
    loss = objective(found, target)
    rates = [float((spikes != 0).double().mean()) for spikes in found.spikes.values()]
    price = sum(max(0.0, rate - 0.1) ** 2 for rate in rates) / len(rates)
    assert (
        len(rates) == 2
        and price > 0
        and {-1.0, 1.0} <= set(found.spikes["features.neuron1"].unique().tolist())
    )
    torch.testing.assert_close(
        loss.total, CrossEntropy()(found, target).total + 3.0 * price, check_dtype=False, rtol=1e-5, atol=1e-6
    )
    assert float(loss.parts["rate"]) == pytest.approx(sum(rates) / 2)
    free = FiringRate(FiringRateConfig(target=0.99))(found, target)
    torch.testing.assert_close(free.total, CrossEntropy()(found, target).total)


def test_price_lowers_the_rate() -> None:
    """Gradient steps on the price alone silence a layer that fires too much, whatever the sign of its spikes."""
    torch.manual_seed(0)
    model = create_model(
        "spiking_mlp", num_classes=2, in_channels=5, input_size=(1, 1), neuron="ternary_lif", width=0.25
    )
    x, target, objective = (
        torch.randn(10, 16, 5, 1, 1).sign(),
        torch.zeros(16, dtype=torch.long),
        FiringRate(),
    )
    optimiser, rates = torch.optim.Adam(model.parameters(), 0.02), []
    for _ in range(30):
        loss = objective(collect(model, x, objective), target)
        rates.append(float(loss.parts["rate"]))
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    assert rates[0] > 0.2 and rates[-1] < 0.15


def test_rate_errors() -> None:
    with pytest.raises(RecipeError, match="has no rheobase neurons"):
        FiringRate().layers(torch.nn.Linear(2, 2))
    with pytest.raises(DataError, match=r"objectives\.collect"):
        FiringRate()(outputs(), torch.zeros(3, dtype=torch.long))
