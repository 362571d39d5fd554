"""Stable Spike against hand-worked values, every short spike train, and its properties."""

from itertools import product
from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model
from rheobase.objectives import (
    Objective,
    Outputs,
    StableSpike,
    StableSpikeConfig,
    collect,
    firing_rate,
    noise_consistency,
    perturb,
    skeleton,
    spike_consistency,
    stable_maps,
    temporal_inconsistency,
)


def trains(steps: int) -> torch.Tensor:
    """Every binary train of that length, [T, 2^T]."""
    return torch.tensor(list(product((0.0, 1.0), repeat=steps))).T.contiguous()


def random_spikes(*shape: int, p: float = 0.5, seed: int = 0) -> torch.Tensor:
    return torch.bernoulli(torch.full(shape, p), generator=torch.Generator().manual_seed(seed))


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return (h >= 1).float()

    @staticmethod
    def backward(ctx, grad):
        (h,) = ctx.saved_tensors
        return grad * ((h - 1).abs() < 0.5)


class SlowLIF(nn.Module):
    def forward(self, x):
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            h = 0.5 * v + step
            s = Spike.apply(h)
            v = h - s
            out.append(s)
        return torch.stack(out)


class Tiny(nn.Module):
    """Conv, neuron, average pool, linear: with the contract of a rheobase model."""

    feature_layer = "neuron"

    def __init__(self, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(2, 4, 3, padding=1)
            self.neuron = SlowLIF()
            self.fc = nn.Linear(4 * 2 * 2, 3)

    def forward_features(self, x):
        return self.neuron(1.5 * self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))

    def forward_head(self, rate):
        lead = rate.shape[:-3]
        return self.fc(F.avg_pool2d(rate.reshape(-1, *rate.shape[-3:]), 2).flatten(1)).reshape(*lead, -1)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def frames(steps: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(steps, 5, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


TARGET = torch.tensor([0, 1, 2, 1, 0])


def outputs_of(spikes: torch.Tensor, head: nn.Module | None = None) -> Outputs:
    head = head or nn.Linear(spikes.shape[-1], 3)
    return Outputs(head(spikes), {"s": spikes}, head)


# Unit 1: the operations on bits.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("integer", [False, True])
def test_bit_operations_on_every_dtype(dtype, integer):
    spikes = random_spikes(5, 3, 2, 4, 4)
    a, b = spikes[:-1].bool(), spikes[1:].bool()
    for op, expected in {"and": a & b, "or": a | b, "xor": a ^ b}.items():
        assert torch.equal(stable_maps(spikes.to(dtype), op, integer=integer).float(), expected.float())


def test_rates_are_at_least_float32():
    for dtype, wide in [
        (torch.float16, torch.float32),
        (torch.bool, torch.float32),
        (torch.float64, torch.float64),
    ]:
        spikes = trains(4).to(dtype)
        assert skeleton(spikes).dtype == firing_rate(spikes).dtype == wide
        torch.testing.assert_close(skeleton(spikes), skeleton(trains(4)).to(wide), atol=1e-7, rtol=0)


# Unit 2: all trains.


@pytest.mark.parametrize("steps", range(2, 9))
def test_every_train_has_the_closed_form(steps):
    spikes = trains(steps)
    ones = spikes.sum(0)
    runs = torch.tensor(
        [
            float(sum(1 for t, s in enumerate(train) if s and (t == 0 or not train[t - 1])))
            for train in spikes.T.tolist()
        ]
    )
    rate, stable = firing_rate(spikes), skeleton(spikes)
    torch.testing.assert_close(rate, ones / steps)
    torch.testing.assert_close(stable, (ones - runs) / (steps - 1))
    assert (stable <= rate).all()
    constant = (ones == 0) | (ones == steps)
    assert torch.equal(stable == rate, constant)


@pytest.mark.parametrize("steps", range(2, 9))
@pytest.mark.parametrize("function", ["mse", "kl", "huber"])
def test_consistency_is_zero_only_for_constant_trains(steps, function):
    for train in trains(steps).T:
        spikes = train[:, None]
        loss = spike_consistency(skeleton(spikes), firing_rate(spikes), function=function)
        if train.min() == train.max():
            assert loss == 0
        else:
            assert loss > 0


def test_hand_worked_train():
    spikes = torch.tensor([1.0, 1.0, 0.0, 1.0])[:, None, None]  # n = 3 ones in r = 2 runs
    assert firing_rate(spikes).item() == 0.75
    assert skeleton(spikes).item() == pytest.approx(1 / 3)
    assert skeleton(spikes, "or").item() == 1.0
    assert skeleton(spikes, "xor").item() == pytest.approx(2 / 3)
    assert temporal_inconsistency(spikes).item() == pytest.approx((3 / 4 - 1 / 3) ** 2)


def test_consistency_functions_by_hand():
    stable, rate = torch.tensor([[0.25, 0.0], [0.5, 1.0]]), torch.tensor([[0.5, 0.25], [0.5, 1.0]])

    def value(**options):
        return spike_consistency(stable, rate, **options).item()

    assert value() == pytest.approx(2 * 0.25**2 / 4)
    assert value(reduction="sample_sum") == pytest.approx(2 * 0.25**2 / 2)
    assert value(function="huber") == pytest.approx(2 * 0.1 * (0.25 - 0.05) / 4)
    assert value(function="huber", huber_delta=1.0) == pytest.approx(value() / 2)
    kl = 0.25 * log(0.25 / 0.5) + 0.75 * log(0.75 / 0.5) + log(1 / 0.75)
    assert value(function="kl", epsilon=1e-6) == pytest.approx(kl / 4, rel=1e-4)
    cosine = 1 - 0.125 / (0.25 * (0.25 + 0.0625) ** 0.5)  # the second sample agrees
    assert value(function="cosine", epsilon=1e-9) == pytest.approx(cosine / 2, rel=1e-4)


@pytest.mark.parametrize("function", ["mse", "kl", "cosine", "huber"])
def test_silent_and_saturated_maps_have_finite_gradients(function):
    for value in ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]):
        spikes = torch.tensor(value)[:, None, None].repeat(1, 2, 3).requires_grad_()
        loss = spike_consistency(skeleton(spikes), firing_rate(spikes), function=function)
        (grad,) = torch.autograd.grad(loss, spikes)
        assert torch.isfinite(grad).all()
        assert (loss.abs() < 1e-6) == (len(set(value)) == 1)
        if len(set(value)) > 1:
            assert grad.abs().sum() > 0


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_order_of_skeletons(steps, batch, seed, p):
    spikes = random_spikes(steps, batch, 7, p=p, seed=seed)
    rate = firing_rate(spikes)
    assert (skeleton(spikes, "and") <= rate + 1e-6).all()
    assert (skeleton(spikes, "or") >= rate - 1e-6).all()
    torch.testing.assert_close(
        skeleton(spikes, "or") - skeleton(spikes, "and"), skeleton(spikes, "xor"), atol=1e-6, rtol=0
    )
    assert torch.equal(skeleton(spikes), skeleton(spikes.flip(0)))


# Unit 3: expectations.


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_independent_spikes_have_a_skeleton_of_p_squared(p):
    assert skeleton(random_spikes(4, 200, 1000, p=p)).mean().item() == pytest.approx(p * p, abs=1e-2)


def test_mean_of_the_noisy_rate_is_twice_the_skeleton():
    stable = skeleton(trains(4))
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([perturb(stable, generator=generator) for _ in range(4000)])
    torch.testing.assert_close(draws.mean(0), 2 * stable, atol=0.04, rtol=0)
    eps = draws - stable
    torch.testing.assert_close(eps, eps.round())
    assert eps.round().unique().tolist() == [0, 1]
    halved = torch.stack([perturb(stable, scale=0.5, generator=generator) for _ in range(4000)])
    torch.testing.assert_close(halved.mean(0), stable, atol=0.02, rtol=0)


def test_other_noises():
    stable = torch.full((400, 500), 1 / 3)
    generator = torch.Generator().manual_seed(0)
    bernoulli = perturb(stable, noise="bernoulli", bernoulli_p=0.2, generator=generator) - stable
    assert bernoulli.mean().item() == pytest.approx(0.2, abs=5e-3)
    gaussian = perturb(stable, noise="gaussian", gaussian_std=0.5, generator=generator) - stable
    assert gaussian.mean().item() == pytest.approx(0, abs=5e-3)
    assert gaussian.std().item() == pytest.approx(0.5, abs=5e-3)
    clamped = perturb(stable, clamp=True, generator=generator)
    assert clamped.max() == 1 and clamped.min() == stable[0, 0]


def test_noise_is_reproducible_with_a_generator_and_leaves_the_global_one_alone():
    stable, before = skeleton(random_spikes(5, 3, 40)), torch.get_rng_state()
    draws = [perturb(stable, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


# Unit 4: the head.


def test_a_linear_head_commutes_with_the_mean_over_time():
    model = Tiny()
    spikes = random_spikes(5, 3, 4, 4, 4)
    torch.testing.assert_close(
        model.forward_head(spikes).mean(0), model.forward_head(firing_rate(spikes)), atol=1e-5, rtol=0
    )


# Unit 5: two steps.


def test_two_steps_leave_no_randomness():
    spikes = random_spikes(2, 6, 3, 5, 5)
    for seed in range(5):
        noisy = perturb(skeleton(spikes), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(noisy, 2 * spikes[0] * spikes[1])


# Unit 6: the divergence.


def test_divergence_by_hand():
    clean, noisy = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    p = 1 / (1 + torch.e**-1)  # softmax([1, 0]) at alpha = 2
    forward = p * log(p / 0.5) + (1 - p) * log((1 - p) / 0.5)
    backward = 0.5 * log(0.5 / p) + 0.5 * log(0.5 / (1 - p))
    assert forward != pytest.approx(backward, rel=0.05)
    assert noise_consistency(clean, noisy).item() == pytest.approx(4 * forward, rel=1e-5)
    assert noise_consistency(clean, noisy, direction="noisy_target").item() == pytest.approx(
        4 * backward, rel=1e-5
    )
    assert noise_consistency(clean, noisy).item() == pytest.approx(0.443776, rel=1e-4)
    batch = noise_consistency(clean.repeat(3, 1), noisy.repeat(3, 1))
    assert batch.item() == pytest.approx(4 * forward, rel=1e-5)
    half = noise_consistency(clean / 2, noisy, alpha=1.0)
    assert half.item() == pytest.approx(forward, rel=1e-5)


@given(st.integers(0, 10**6), st.sampled_from(["clean_target", "noisy_target"]), st.floats(0.5, 8))
@settings(max_examples=50, deadline=None)
def test_divergence_is_positive_and_zero_for_equal_logits(seed, direction, alpha):
    clean, noisy = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert noise_consistency(clean, noisy, alpha=alpha, direction=direction) > 0
    assert noise_consistency(clean, clean, alpha=alpha, direction=direction).abs() < 1e-12
    shifted = noise_consistency(clean, clean + 3, alpha=alpha, direction=direction)
    assert shifted.abs() < 1e-9  # softmax ignores a constant


def test_detached_clean_logits_get_no_gradient():
    clean, noisy = torch.randn(2, 3, 4).requires_grad_().unbind(0)
    for detach in (False, True):
        grads = torch.autograd.grad(
            noise_consistency(clean, noisy, detach_clean=detach), (clean, noisy), allow_unused=True
        )
        assert (grads[0] is None) == detach and grads[1].abs().sum() > 0


# Unit 7: gradients.


@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_each_term_alone_reaches_the_backbone(steps, weights):
    model = Tiny()
    generator = torch.Generator().manual_seed(0)
    objective = StableSpike(StableSpikeConfig(beta_spike=weights[0], gamma_noise=weights[1]), generator)
    plain = StableSpike(StableSpikeConfig(beta_spike=0, gamma_noise=0))
    outputs = collect(model, frames(steps), objective)
    extra = objective(outputs, TARGET).total - plain(outputs, TARGET).total
    (grad,) = torch.autograd.grad(extra, model.conv.weight)
    assert grad.abs().max() > 1e-6


def test_gradient_of_the_spike_term_by_hand():
    spikes = torch.tensor([1.0, 0.0])[:, None, None].requires_grad_()  # Phi = 1/2, Phi~ = 0
    # L = (s0 s1 - (s0 + s1) / 2)^2; dL/ds0 = 2 (Phi~ - Phi)(s1 - 1/2), dL/ds1 = 2 (Phi~ - Phi)(s0 - 1/2)
    (grad,) = torch.autograd.grad(spike_consistency(skeleton(spikes), firing_rate(spikes)), spikes)
    assert grad.flatten().tolist() == [0.5, -0.5]
    (grad,) = torch.autograd.grad(spike_consistency(skeleton(spikes).detach(), firing_rate(spikes)), spikes)
    assert grad.flatten().tolist() == [0.5, 0.5]


def spike_gradient(**options) -> torch.Tensor:
    spikes = random_spikes(4, 3, 20).requires_grad_()
    head = nn.Linear(20, 3)
    objective = StableSpike(StableSpikeConfig(gamma_noise=0, **options))
    # Constant logits: all gradient on the spikes comes from the spike term.
    total = objective(Outputs(torch.zeros(4, 3, 3), {"s": spikes}, head), TARGET[:3]).total
    return torch.autograd.grad(total, spikes)[0]


def test_detached_skeleton_leaves_the_gradient_through_the_rate():
    spikes = random_spikes(4, 3, 20)
    through_rate = 2 * (firing_rate(spikes) - skeleton(spikes)) / spikes[0].numel() / 4
    expected = through_rate.expand(4, -1, -1)
    torch.testing.assert_close(spike_gradient(detach_skeleton=True), expected)
    torch.testing.assert_close(spike_gradient(skeleton_grad="boolean"), expected)
    assert not torch.allclose(spike_gradient(), expected)


def noise_gradient(**options) -> torch.Tensor | None:
    spikes = random_spikes(4, 3, 20).requires_grad_()
    objective = StableSpike(StableSpikeConfig(beta_spike=0, **options), torch.Generator().manual_seed(0))
    head = nn.Linear(20, 3)
    logits = torch.randn(4, 3, 3, requires_grad=True)
    total = objective(Outputs(logits, {"s": spikes}, head), TARGET[:3]).total
    return torch.autograd.grad(total, spikes, allow_unused=True)[0]


def test_the_noise_term_reaches_the_skeleton_unless_it_is_boolean():
    assert noise_gradient().abs().sum() > 0
    assert noise_gradient(detach_skeleton=True).abs().sum() > 0  # an anchor of the spike term only
    assert noise_gradient(skeleton_grad="boolean") is None


@pytest.mark.parametrize("noise", ["amplitude", "bernoulli", "gaussian"])
def test_no_gradient_passes_through_the_noise(noise):
    stable = torch.full((3, 4), 0.4, requires_grad=True)
    (grad,) = torch.autograd.grad(perturb(stable, noise=noise, scale=0.5).sum(), stable)
    assert torch.equal(grad, torch.full((3, 4), 0.5))


# Unit 8: integer features.


@given(st.integers(2, 5), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_sums_of_spikes_use_the_minimum(steps, seed):
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 5, (steps, 2, 9), generator=generator).float()
    assert torch.equal(stable_maps(counts, integer=True), torch.minimum(counts[:-1], counts[1:]))
    stable = skeleton(counts, integer=True)
    noisy = perturb(stable, generator=generator)
    assert ((noisy - stable) > -1e-6).all() and ((noisy - stable) < 1 + 1e-6).all()
    binary = (counts > 2).float()
    assert torch.equal(stable_maps(binary, integer=True), stable_maps(binary))


def test_integer_features_are_noticed():
    counts = torch.randint(0, 5, (3, 2, 9), generator=torch.Generator().manual_seed(0)).float()
    counts[0, 0, 0] = 4
    head = nn.Linear(9, 3)
    outputs, target = outputs_of(counts, head), torch.tensor([0, 1])
    expected = spike_consistency(skeleton(counts, integer=True), firing_rate(counts))
    assert torch.equal(StableSpike()(outputs, target).parts["spike_consistency"], expected)
    assert temporal_inconsistency(counts) == expected
    product = StableSpike(StableSpikeConfig(integer_and="product"))(outputs, target)
    assert product.parts["spike_consistency"] > expected
    with pytest.raises(RecipeError, match="sums of spikes"):
        StableSpike(StableSpikeConfig(consistency="kl"))(outputs, target)


# Unit 9: inference, and T = 1.


def test_inference_is_untouched():
    model, x = Tiny().eval(), frames(4)
    before = torch.get_rng_state()
    with torch.no_grad():
        plain = model(x)
        with_method = collect(model, x, StableSpike()).logits
    assert torch.equal(plain, with_method)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(model.state_dict()) == list(Tiny().state_dict())
    assert not model.neuron._forward_hooks


def test_one_step_is_refused():
    model = Tiny()
    with pytest.raises(DataError, match="needs T >= 2"):
        StableSpike()(collect(model, frames(1), StableSpike()), TARGET)
    with pytest.raises(DataError, match="T >= 2"):
        temporal_inconsistency(torch.ones(1, 2, 3))
    off = StableSpike(StableSpikeConfig(beta_spike=0, gamma_noise=0))
    assert list(off(collect(model, frames(1), off), TARGET).parts) == ["cross_entropy"]


# The objective as a whole.


def test_total_is_the_weighted_sum_and_parts_are_for_the_log():
    config = StableSpikeConfig(beta_spike=0.3, gamma_noise=0.7)
    model = Tiny()
    objective = StableSpike(config, torch.Generator().manual_seed(3))
    outputs = collect(model, frames(4), objective)
    loss = objective(outputs, TARGET)
    assert list(loss.parts) == ["cross_entropy", "spike_consistency", "noise_consistency"]
    assert not any(part.requires_grad for part in loss.parts.values())

    spikes = outputs.spikes["neuron"]
    clean = outputs.logits.mean(0)
    stable = (spikes[:-1] * spikes[1:]).mean(0)
    eps = torch.bernoulli(stable.detach(), generator=torch.Generator().manual_seed(3))
    p, q = (clean / 2).softmax(1), (model.forward_head(stable + eps) / 2).softmax(1)
    ce = -clean.log_softmax(1)[range(5), TARGET].mean()
    spike, noise = ((stable - spikes.mean(0)) ** 2).mean(), 4 * (p * (p / q).log()).sum(1).mean()
    for part, expected in zip(loss.parts.values(), (ce, spike, noise), strict=True):
        torch.testing.assert_close(part, expected.detach())
    torch.testing.assert_close(loss.total, ce + 0.3 * spike + 0.7 * noise)


def test_a_term_of_weight_zero_is_not_computed():
    def no_head(rate):
        raise AssertionError("the head ran")

    spikes = random_spikes(4, 3, 6)
    before = torch.get_rng_state()
    outputs = Outputs(torch.randn(4, 3, 3, generator=torch.Generator()), {"s": spikes}, no_head)
    loss = StableSpike(StableSpikeConfig(gamma_noise=0))(outputs, TARGET[:3])
    assert list(loss.parts) == ["cross_entropy", "spike_consistency"]
    assert torch.equal(torch.get_rng_state(), before)
    only_noise = StableSpike(StableSpikeConfig(beta_spike=0))(outputs_of(spikes), TARGET[:3])
    assert list(only_noise.parts) == ["cross_entropy", "noise_consistency"]
    off = StableSpike(StableSpikeConfig(beta_spike=0, gamma_noise=0))
    assert not off.needs_features and off.layers(Tiny()) == ()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bit_op": "or"},
        {"bit_op": "xor"},
        {"noise": "bernoulli"},
        {"noise": "gaussian"},
        {"skeleton_grad": "boolean"},
        {"detach_skeleton": True},
        {"kl_direction": "noisy_target", "detach_clean_logits": True},
        {"mse_reduction": "sample_sum"},
        {"clamp_noise": True},
        {"noise_scale": 0.5},
        {"integer_and": "min"},
        {"consistency": "kl"},
        {"consistency": "cosine"},
        {"consistency": "huber"},
        {"label_smoothing": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [2, 4])
def test_every_option_trains(options, steps):
    model = Tiny()
    objective = StableSpike(StableSpikeConfig(**options))
    assert isinstance(objective, Objective)
    loss = objective(collect(model, frames(steps), objective), TARGET)
    loss.total.backward()
    for parameter in model.parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"bit_op": "or"}),
        ({}, {"bit_op": "xor"}),
        ({}, {"integer_and": "min"}),
        ({}, {"skeleton_grad": "boolean"}),
        ({}, {"detach_skeleton": True}),
        ({}, {"consistency": "kl"}),
        ({}, {"consistency": "cosine"}),
        ({}, {"consistency": "huber"}),
        ({}, {"mse_reduction": "sample_sum"}),
        ({"consistency": "huber"}, {"huber_delta": 0.2}),
        ({"consistency": "kl"}, {"rate_epsilon": 0.01}),
        ({"consistency": "cosine"}, {"rate_epsilon": 0.01}),
        ({}, {"noise": "bernoulli"}),
        ({}, {"noise": "gaussian"}),
        ({"noise": "bernoulli"}, {"bernoulli_p": 0.9}),
        ({"noise": "gaussian"}, {"gaussian_std": 0.9}),
        ({}, {"clamp_noise": True}),
        ({}, {"noise_scale": 0.5}),
        ({}, {"kl_alpha": 1.0}),
        ({}, {"kl_direction": "noisy_target"}),
        ({}, {"detach_clean_logits": True}),
        ({}, {"label_smoothing": 0.1}),
    ],
    ids=str,
)
def test_every_option_matters(base, change):
    spikes = random_spikes(4, 3, 40)
    weight, logits = torch.randn(43, 3, generator=torch.Generator().manual_seed(1)).split((40, 3))

    def loss_and_gradients(options):
        leaves = [spikes.clone().requires_grad_(), (logits.expand(4, 3, 3) + 0).requires_grad_()]
        objective = StableSpike(StableSpikeConfig(**options), torch.Generator().manual_seed(0))
        total = objective(
            Outputs(leaves[1], {"s": leaves[0]}, lambda rate: rate @ weight / 6), TARGET[:3]
        ).total
        return torch.cat([total[None], *(grad.flatten() for grad in torch.autograd.grad(total, leaves))])

    assert torch.equal(loss_and_gradients(base), loss_and_gradients(base))
    assert not torch.allclose(
        loss_and_gradients(base), loss_and_gradients(base | change), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("inside", [True, False])
def test_mixed_precision(inside):
    model, objective = Tiny(), StableSpike()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = collect(model, frames(4), objective)
        loss = objective(outputs, TARGET) if inside else None
    loss = loss or objective(outputs, TARGET)
    assert loss.total.dtype == torch.float32
    loss.total.backward()
    assert torch.isfinite(model.conv.weight.grad).all()


def test_half_precision_spikes_get_noise_in_float32():
    spikes = random_spikes(4, 3, 6).bfloat16()
    seen = []

    def head(rate):
        seen.append(rate.dtype)
        return rate[:, :3]

    StableSpike()(Outputs(torch.randn(4, 3, 3).bfloat16(), {"s": spikes}, head), TARGET[:3])
    assert seen == [torch.float32]


# What can go wrong, and what it says.


def test_a_map_that_is_not_spikes_is_refused():
    pooled = torch.full((4, 3, 6), 0.25)
    with pytest.raises(DataError, match=r"Hook the neuron itself"):
        StableSpike()(outputs_of(pooled), TARGET[:3])
    with pytest.raises(DataError, match=r"not made of spikes"):
        temporal_inconsistency(-torch.ones(2, 3, 4))
    StableSpike(StableSpikeConfig(integer_and="product"))(outputs_of(pooled), TARGET[:3])


def test_missing_or_misplaced_features_are_refused():
    objective, spikes = StableSpike(), random_spikes(4, 3, 6)
    with pytest.raises(DataError, match="collect"):
        objective(Outputs(torch.zeros(4, 3, 3), {}, nn.Linear(6, 3)), TARGET[:3])
    with pytest.raises(DataError, match="'elsewhere'"):
        StableSpike(StableSpikeConfig(hook_point="elsewhere"))(outputs_of(spikes), TARGET[:3])
    with pytest.raises(DataError, match="time axis"):
        objective(Outputs(torch.zeros(4, 3, 3), {"s": spikes.transpose(0, 1)}, nn.Linear(6, 3)), TARGET[:3])
    with pytest.raises(DataError, match="pooling"):
        objective(Outputs(torch.zeros(4, 3, 3), {"s": spikes}, lambda rate: rate), TARGET[:3])
    with pytest.raises(RecipeError, match="set hook_point"):
        objective.layers(nn.Linear(2, 2))


def test_hook_point_chooses_the_layer():
    assert StableSpike().layers(Tiny()) == ("neuron",)
    assert StableSpike(StableSpikeConfig(hook_point="conv")).layers(Tiny()) == ("conv",)
    first, last = random_spikes(4, 3, 6, seed=1), random_spikes(4, 3, 6, seed=2)
    outputs = Outputs(torch.zeros(4, 3, 3), {"a": first, "b": last}, nn.Linear(6, 3))
    for config, used in ((StableSpikeConfig(), last), (StableSpikeConfig(hook_point="a"), first)):
        assert StableSpike(config)(outputs, TARGET[:3]).parts["spike_consistency"] == temporal_inconsistency(
            used
        )


@pytest.mark.parametrize(
    "call",
    [
        lambda x: stable_maps(x, "nand"),
        lambda x: spike_consistency(x[0], x[1], function="mae"),
        lambda x: spike_consistency(x[0], x[1], reduction="max"),
        lambda x: perturb(x[0], noise="uniform"),
        lambda x: noise_consistency(x[0], x[1], direction="both"),
    ],
)
def test_unknown_names_list_the_known(call):
    with pytest.raises(RecipeError, match="Known: "):
        call(torch.ones(2, 3, 4))


@pytest.mark.parametrize("name", ["vgg9", "ms_resnet18"])
def test_models_of_the_house_need_no_configuration(name):
    model = create_model(name, num_classes=3, in_channels=2, input_size=(16, 16), width=0.125)
    objective = StableSpike()
    outputs = collect(model, (frames(3).repeat(1, 1, 1, 4, 4) > 0).float(), objective)
    assert list(outputs.spikes) == [model.feature_layer]
    rate = firing_rate(outputs.spikes[model.feature_layer])
    torch.testing.assert_close(outputs.head(rate), outputs.logits.mean(0), atol=1e-5, rtol=0)
    objective(outputs, TARGET).total.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
