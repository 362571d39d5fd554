"""The saccadic neuron: three evaluations, causality, the decoupled rule, starts, gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rheobase.errors import DataError, RecipeError
from rheobase.kernels import Rectangular, Sigmoid
from rheobase.neurons import lif
from rheobase.neurons.saccadic import (
    SaccadicConfig,
    SaccadicNeuron,
    decoupled,
    folded_thresholds,
    integrate,
    lif_mixing,
    mismatch,
    saccade,
    saccade_step,
)

seeds = st.integers(0, 10_000)


def draws(seed):
    return torch.Generator().manual_seed(seed)


def saliences(t=4, n=2, heads=3, size=(2, 3), seed=0, dtype=torch.float32):
    return torch.poisson(torch.full((t, n, heads, *size), 3.0, dtype=dtype), generator=draws(seed)) / 16


def matrices(t=4, heads=0, seed=0):
    """Lower-triangular, of either sign, diagonal positive."""
    m = torch.randn(*([heads] if heads else []), t, t, generator=draws(seed + 1)).tril(-1) / 2
    return m + torch.rand(t, generator=draws(seed + 2)).add(0.2).diag()


def settings():
    return st.tuples(
        st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans(), seeds
    )


def case(setting):
    t, n, heads, per_head, scaled, seed = setting
    p = saliences(t, n, heads, seed=seed)
    threshold = torch.rand(t, *([heads] if scaled else []), generator=draws(seed + 3)) / 4
    return p, matrices(t, heads if per_head else 0, seed), threshold


@given(settings())
def test_integration_is_the_sum(setting):
    p, m, _ = case(setting)
    m = m.expand(p.shape[2], *m.shape[-2:])
    expected = torch.zeros_like(p)
    for t in range(len(p)):
        for j in range(t + 1):
            for h in range(p.shape[2]):
                expected[t, :, h] += m[h, t, j] * p[j, :, h]
    torch.testing.assert_close(integrate(p, m), expected)


@given(settings())
def test_step_by_step_is_the_whole_sequence_to_the_last_bit(setting):
    p, m, v = case(setting)
    whole = saccade(p, m, v)
    assert set(whole.unique().tolist()) <= {0.0, 1.0}
    for t in range(len(p)):
        assert torch.equal(saccade_step(p[: t + 1], m, v), whole[t])


@given(settings(), st.data())
def test_fewer_steps_take_the_leading_block(setting, data):
    p, m, v = case(setting)
    few = data.draw(st.integers(1, len(p)))
    whole = saccade(p, m, v)[:few]
    assert torch.equal(saccade(p[:few], m, v), whole)
    assert torch.equal(saccade(p[:few], m[..., :few, :few], v[:few]), whole)
    assert torch.equal(decoupled(p[:few], m, v), decoupled(p, m, v)[:few])


@given(settings(), st.data())
def test_no_step_sees_a_later_one(setting, data):
    p, m, v = case(setting)
    step = data.draw(st.integers(0, len(p) - 1))
    other = torch.cat([p[:step], 10 - p[step:]])
    for rule in (saccade, decoupled):
        assert torch.equal(rule(p, m, v)[:step], rule(other, m, v)[:step])


def test_a_tie_fires():
    gates = saccade(torch.tensor([0.5, 0.25]).reshape(2, 1, 1), 2 * torch.eye(2), torch.tensor([1.0, 1.0]))
    assert gates.flatten().tolist() == [1.0, 0.0]


@given(settings(), st.integers(-6, 6))
def test_a_factor_on_salience_and_threshold_changes_no_gate(setting, power):
    p, m, v = case(setting)
    assert torch.equal(saccade(p * 2.0**power, m, v * 2.0**power), saccade(p, m, v))


# --- the decoupled rule


@given(settings())
def test_decoupled_is_exact_for_a_diagonal_and_for_one_step(setting):
    p, m, v = case(setting)
    p, v = p.double(), v.double()
    diagonal = torch.diag_embed(
        2.0 ** torch.randint(-2, 3, m.shape[:-1], generator=draws(setting[-1]))
    ).double()
    assert torch.equal(decoupled(p, diagonal, v), saccade(p, diagonal, v))
    assert torch.equal(
        decoupled(p[:1], diagonal[..., :1, :1], v[:1]), saccade(p[:1], diagonal[..., :1, :1], v[:1])
    )
    assert float(mismatch(p, diagonal, v)) == 0


def test_decoupled_is_not_exact_in_general():
    m, v = torch.tensor([[0.5, 0.0], [0.25, 0.5]]), torch.ones(2)
    p = torch.tensor([3.0, 0.6]).reshape(2, 1, 1)
    torch.testing.assert_close(integrate(p, m).flatten(), torch.tensor([1.5, 1.05]))
    assert saccade(p, m, v).flatten().tolist() == [1.0, 1.0]
    assert folded_thresholds(m, v).tolist() == [2.0, 1.0]
    assert decoupled(p, m, v).flatten().tolist() == [1.0, 0.0]
    assert float(mismatch(p, m, v)) == 0.5


@pytest.mark.parametrize("tau", [1.0, 2.0, 3.0])
def test_folded_thresholds_of_a_lif_matrix(tau):
    v = torch.full((5,), 0.7, dtype=torch.float64)
    expected = torch.tensor([0.7 * tau, 0.7, 0.7, 0.7, 0.7], dtype=torch.float64)
    torch.testing.assert_close(folded_thresholds(lif_mixing(5, tau), v), expected)


@given(settings())
def test_folded_thresholds_solve_the_system_of_each_head(setting):
    p, m, v = case(setting)
    folded, heads = folded_thresholds(m.double(), v.double()), p.shape[2]
    for h in range(heads):
        matrix = (m[h] if m.dim() == 3 else m).double()
        given = folded[:, h] if folded.dim() == 2 else folded
        torch.testing.assert_close(matrix @ given, (v[:, h] if v.dim() == 2 else v).double())


@given(settings())
def test_decoupled_firing_at_all_steps_so_far_implies_firing(setting):
    p, m, v = case(setting)
    p, m, v = (
        p.double(),
        m.double().abs(),
        v.double() - 1e-12,
    )  # ties of the solved thresholds round either way
    all_so_far = decoupled(p, m, v + 1e-9).cumprod(0)
    assert bool((saccade(p, m, v) >= all_so_far).all())


def test_mismatch_of_poisson_saliences_is_what_the_method_page_says():
    """LIF-like M, V = 1, Poisson(3)/2: 11.5 % at T = 4; over 100,000 patches the standard error is .05 points."""
    p = torch.poisson(torch.full((4, 100_000, 1), 3.0), generator=draws(0)) / 2
    assert float(mismatch(p, lif_mixing(4, 2.0).float(), torch.ones(4))) == pytest.approx(0.115, abs=0.004)


def test_the_lif_matrix_is_a_lif_that_never_fires():
    x = saliences(6, seed=3)
    h = torch.zeros_like(x[0])
    for t in range(6):
        h = h + (x[t] - h) / 2
        torch.testing.assert_close(integrate(x, lif_mixing(6, 2.0).float())[t], h)
    spikes = lif(x, tau=2.0, v_threshold=10.0, v_reset=0.0, decay_input=True)
    assert not spikes.any()


# --- the module

CONFIGS = [
    {},
    {"mixing": "identity"},
    {"diagonal": "free"},
    {"sharing": "head"},
    {"threshold": 0.25},
    {"surrogate": Rectangular(), "tau": 3.0},
]


def neuron(t=4, heads=3, scaled=False, **options):
    return SaccadicNeuron(t, heads, SaccadicConfig(**options), scaled=scaled)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("options", CONFIGS)
def test_it_starts_as_configured_and_passes_half(options, scaled):
    made = neuron(scaled=scaled, **options)
    tau = options.get("tau", 2.0)
    matrix = torch.eye(4) if options.get("mixing") == "identity" else lif_mixing(4, tau).float()
    torch.testing.assert_close(made.mixing_matrix(), matrix.expand_as(made.mixing_matrix()))
    assert made.mixing_matrix().shape == ((3, 4, 4) if options.get("sharing") == "head" else (4, 4))
    assert made.thresholds().shape == ((4, 3) if scaled else (4,))
    gates = made(torch.rand(4, 8, 3, 5, 5, generator=draws(0)) / 50)
    if made.config.threshold == "median":
        assert bool(((gates.mean((1, 2, 3, 4)) - 0.5).abs() < 0.01).all())
    else:
        torch.testing.assert_close(made.thresholds(), torch.full_like(made.thresholds(), 0.25))


@given(seeds)
def test_the_median_lies_between_values_even_where_they_tie(seed):
    """Counts tie often: at each step, the threshold is no value of H, and no other cut halves it better."""
    made = neuron(t=3, heads=2)
    p = torch.poisson(torch.full((3, 20, 2), 1.0), generator=draws(seed))
    with torch.no_grad():
        gates, h = made(p), integrate(p, made.mixing_matrix())
    for t in range(3):
        values = h[t].unique()
        shares = [float((h[t] > value).float().mean()) for value in values[:-1]]
        assert float((gates[t].mean() - 0.5).abs()) <= min(abs(share - 0.5) for share in shares) + 1e-6
        assert not bool((h[t] == made.thresholds()[t]).any())


def test_the_start_is_taken_once_in_training_alone():
    made, p = neuron(), saliences()
    made.eval()(p)
    assert not bool(made.thresholds().any()) and not made.begun
    made.train()(p)
    first = made.thresholds().detach().clone()
    made(p * 7)
    assert torch.equal(made.thresholds(), first) and bool(made.begun)
    again = neuron()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.eval()(p), made.eval()(p))


def test_silence_has_no_half():
    made = neuron()
    gates = made(torch.zeros(4, 2, 3, 2, 2))
    assert float(made.unit) == 1 and not bool(made.thresholds().any()) and bool(gates.all())


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("options", CONFIGS)
def test_causal_and_parallel_evaluation_are_training(options, scaled):
    p = saliences(seed=5)
    trained = neuron(scaled=scaled, **options)
    trained(saliences(seed=6))
    expected = trained(p)
    assert set(expected.unique().tolist()) == {0.0, 1.0}
    for infer in ("causal", "parallel", "decoupled"):
        made = neuron(scaled=scaled, **(options | {"infer": infer}))
        made.load_state_dict(trained.state_dict())
        assert torch.equal(made.train()(p), expected)
        if infer != "decoupled":
            assert torch.equal(made.eval()(p), expected)
            assert torch.equal(made(p[:2]), expected[:2])
        else:
            assert torch.equal(made.eval()(p), decoupled(p, made.mixing_matrix(), made.thresholds()))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("options", CONFIGS)
def test_gradients_reach_all_parameters_and_steps_keep_the_future_out(options, optimiser, scaled):
    made = neuron(scaled=scaled, **options)
    stepper = optimiser(made.parameters(), lr=0.3, weight_decay=0.1)
    before = [p.detach().clone() for p in made.parameters()]
    for seed in range(3):
        p = saliences(seed=seed).requires_grad_()
        loss = (made(p) * torch.randn(p.shape, generator=draws(seed + 9))).sum()
        stepper.zero_grad()
        loss.backward()
        for name, parameter in [*made.named_parameters(), ("salience", p)]:
            assert parameter.grad is not None and bool(parameter.grad.any()), name
        stepper.step()
        assert not bool(made.mixing.triu(1).any())
        assert not bool(made.mixing_matrix().triu(1).any())
        if made.config.diagonal == "softplus":
            assert bool((made.mixing_matrix().diagonal(dim1=-2, dim2=-1) > 0).all())
    assert all(not torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))


def test_the_gradient_is_the_surrogates():
    p, made = (
        saliences(2, 1, 1, (1, 2), dtype=torch.float64).requires_grad_(),
        neuron(2, 1, threshold=0.1).double(),
    )
    made(p).sum().backward()
    m = made.mixing_matrix().detach()
    slope = Sigmoid(alpha=4.0).derivative(integrate(p.detach(), m) - 0.1)
    expected = torch.stack([m[0, 0] * slope[0] + m[1, 0] * slope[1], m[1, 1] * slope[1]])
    torch.testing.assert_close(p.grad, expected)
    torch.testing.assert_close(made.threshold.grad, -slope.flatten(1).sum(1).to(made.threshold.grad.dtype))


def test_gates_and_gradients_do_not_depend_on_the_unit_of_salience():
    results = []
    for factor in (1.0, 2.0**-10):
        made, p = neuron(), saliences(seed=2).requires_grad_()
        gates = made(p * factor)
        (gates * torch.arange(gates.numel()).reshape(gates.shape)).sum().backward()
        results.append((gates, p.grad, made.mixing.grad, made.threshold.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_mistakes():
    with pytest.raises(RecipeError, match="needs T >= 1, got T = 0"):
        SaccadicNeuron(0, 2)
    with pytest.raises(
        DataError,
        match=r"parameters for T = 4 steps, got 5: give at most 4 steps, or create the model with T=5",
    ):
        neuron()(saliences(5))
    with pytest.raises(DataError, match=r"takes saliences \[T, N, 3, ...\], got \[4, 2, 2, 2, 3\]"):
        neuron(scaled=True)(saliences(heads=2))
    for made in (neuron().eval(), neuron(infer="decoupled").eval()):
        with pytest.raises(DataError, match="parameters for T = 4 steps, got 5"):
            made(saliences(5))
    assert "T=4, heads=3, causal" in repr(neuron())
    assert functional.softplus(neuron(scaled=True).alpha).tolist() == pytest.approx([1.0, 1.0, 1.0])
