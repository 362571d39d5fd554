"""Cross-entropy, TET, and the configurations of all objectives."""

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn import functional as F

from rheobase.errors import DataError
from rheobase.objectives import (
    TET,
    CrossEntropy,
    CrossEntropyConfig,
    Objective,
    ObjectiveConfig,
    Outputs,
    StableSpike,
    StableSpikeConfig,
    TETConfig,
    build_objective,
)

TARGET = torch.tensor([0])
# Two steps of two classes: one sure and right, one sure and wrong; p(wrong) = 1/4 and 3/4.
STEPS = torch.tensor([[[log(3), 0.0]], [[0.0, log(3)]]])


def outputs(logits: torch.Tensor) -> Outputs:
    return Outputs(logits, {}, nn.Identity())


def test_cross_entropy_by_hand():
    loss = CrossEntropy()(outputs(STEPS), TARGET)
    assert loss.total.item() == pytest.approx(log(2))
    assert list(loss.parts) == ["cross_entropy"] and loss.parts["cross_entropy"] == loss.total
    smooth = CrossEntropy(CrossEntropyConfig(label_smoothing=0.2))(outputs(2 * STEPS[:1]), TARGET)
    assert smooth.total.item() == pytest.approx(-0.9 * log(0.9) - 0.1 * log(0.1))


def test_tet_by_hand():
    per_step = (log(4 / 3) + log(4)) / 2
    means = (2 * (log(3) - 1) ** 2 + 2 * 1.0) / 4
    loss = TET(TETConfig(lam=0.25, means=1.0))(outputs(STEPS), TARGET)
    assert loss.total.item() == pytest.approx(0.75 * per_step + 0.25 * means)
    assert loss.parts["step_cross_entropy"].item() == pytest.approx(per_step)
    assert loss.parts["logit_means"].item() == pytest.approx(means)
    assert loss.parts["cross_entropy"].item() == pytest.approx(log(2))
    plain = TET(TETConfig(lam=0))(outputs(STEPS), TARGET)
    assert plain.total.item() == pytest.approx(per_step) and "logit_means" not in plain.parts


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_tet_is_never_below_cross_entropy(seed, steps):
    logits = torch.randn(steps, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    target = torch.tensor([0, 1, 3])
    mean = CrossEntropy()(outputs(logits), target).total
    tet = TET(TETConfig(lam=0))(outputs(logits), target).total
    torch.testing.assert_close(mean, F.cross_entropy(logits.mean(0), target))
    assert tet >= mean - 1e-12
    if steps == 1:
        torch.testing.assert_close(tet, mean)


@pytest.mark.parametrize("objective", [CrossEntropy(), TET(), TET(TETConfig(lam=0)), StableSpike()])
def test_logits_without_time_are_refused(objective):
    with pytest.raises(DataError, match=r"\[T, N, K\]"):
        objective(outputs(torch.zeros(3, 4)), TARGET)
    with pytest.raises(DataError, match="swapped"):
        objective(outputs(torch.zeros(1, 3, 4)), TARGET)


@pytest.mark.parametrize("objective", [CrossEntropy(), TET()])
def test_half_precision_logits_and_gradients(objective):
    assert (
        isinstance(objective, Objective)
        and not objective.needs_features
        and objective.layers(nn.Identity()) == ()
    )
    logits = STEPS.bfloat16().requires_grad_()
    loss = objective(outputs(logits), TARGET)
    assert loss.total.dtype == torch.float32
    loss.total.backward()
    assert logits.grad.abs().sum() > 0
    assert not any(part.requires_grad for part in loss.parts.values())


@pytest.mark.parametrize(
    ("given_", "config", "kind"),
    [
        ({"name": "cross_entropy"}, CrossEntropyConfig(), CrossEntropy),
        ({"name": "tet", "lam": 0.05}, TETConfig(lam=0.05), TET),
        ({"name": "stable_spike", "noise_scale": 0.5}, StableSpikeConfig(noise_scale=0.5), StableSpike),
    ],
)
def test_a_recipe_names_its_objective(given_, config, kind):
    adapter = TypeAdapter(ObjectiveConfig)
    assert adapter.validate_python(given_) == config
    assert adapter.validate_json(adapter.dump_json(config)) == config
    objective = build_objective(config)
    assert type(objective) is kind and objective.config == config


@pytest.mark.parametrize(
    "given_",
    [
        {"name": "stable"},
        {"name": "stable_spike", "beta": 1.0},
        {"name": "stable_spike", "beta_spike": -1.0},
        {"name": "stable_spike", "bit_op": "nand"},
        {"name": "stable_spike", "kl_alpha": 0.0},
        {"name": "stable_spike", "bernoulli_p": 1.5},
        {"name": "tet", "lam": 2.0},
        {},
    ],
)
def test_a_bad_recipe_is_refused(given_):
    with pytest.raises(ValidationError):
        TypeAdapter(ObjectiveConfig).validate_python(given_)


def test_the_generator_reaches_the_noise():
    generator = torch.Generator().manual_seed(0)
    assert build_objective(StableSpikeConfig(), generator).generator is generator
