"""Rules with a first threshold crossing: closed forms, causal sets and exact gradients."""

import math

import pytest
import torch
from cases import CROSSING, INF, fire, named, potential, random_layer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import lambertw

from rheobase.errors import DataError
from rheobase.spiketime import Comsa, EventProp, Geometry, Goltz1, Goltz2, Mostafa, Reference, RelPsp
from rheobase.spiketime.lambert import lambert_w0

T = torch.tensor
D = torch.float64


@pytest.mark.parametrize("rule", CROSSING, ids=named)
def test_spike_is_the_first_crossing(rule):
    times, weight = random_layer(rule)
    grid = torch.arange(0, rule.t_max, 1e-3, dtype=D)
    fired = fire(rule, times, weight)
    silent = 0
    for s, row in enumerate(fired):
        for j, t in enumerate(row):
            V = potential(rule, grid, times[s], weight[j])
            if t == INF:
                silent += 1
                assert V.max() < 1 + 1e-9
            else:
                assert potential(rule, t, times[s], weight[j]) == pytest.approx(1, abs=1e-8)
                assert (V[grid < t - 1e-9] < 1 + 1e-9).all()
    assert 5 < silent < fired.numel() - 20


@pytest.mark.parametrize("rule", CROSSING, ids=named)
def test_gradients_are_central_differences(rule):
    rule = rule.model_copy(update={"slope_min": 0.0, "silent": "none"})
    times, weight = random_layer(rule, m=30, seed=1)
    geometry, eps = Geometry(times.shape[1]), 1e-5
    found = Reference().forward(rule, times, weight, geometry)
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    fired = rule.fire(t, w, geometry)
    checked = late = 0
    for s, j in torch.nonzero(found.slope[:, 0] > 0.1).tolist():
        exact = torch.autograd.grad(fired[s, 0, j], (t, w), retain_graph=True)
        exact = exact[0][s], exact[1][j]
        for which in (0, 1):
            for i in torch.nonzero(times[s].isfinite()).flatten().tolist():
                moved = []
                for sign in (1, -1):
                    x = [times[s : s + 1].clone(), weight[j : j + 1].clone()]
                    x[which][0, i] += sign * eps
                    moved.append(Reference().forward(rule, *x, geometry))
                if any(m.last.item() != found.last[s, 0, j] for m in moved):
                    continue  # the causal set changes: gradients jump
                numeric = (moved[0].times - moved[1].times).item() / (2 * eps)
                assert exact[which][i].item() == pytest.approx(numeric, rel=1e-6, abs=1e-7)
                checked += 1
                late += times[s, i].item() > fired[s, 0, j].item()
    assert checked > 200 and late > 10


def test_late_inputs_do_not_count():
    w = T([[1, 0.5, -3, 0.7]], dtype=D, requires_grad=True)
    t = T([[0, 0.4, 5, 1]], dtype=D, requires_grad=True)
    fired = fire(RelPsp(), t, w)
    assert fired.item() == pytest.approx(0.8, abs=1e-15)
    fired.sum().backward()  # W = 1.5
    assert w.grad.tolist()[0] == pytest.approx([-0.8 / 1.5, -0.4 / 1.5, 0, 0])
    assert t.grad.tolist()[0] == pytest.approx([1 / 1.5, 0.5 / 1.5, 0, 0])


def test_mostafa_by_hand():
    # One input at 0, w = 2: z = 2/(2 - 1).
    assert fire(Mostafa(), T([[0.0]]), T([[2.0]])).item() == pytest.approx(math.log(2))
    # At weight 1 it would fire at infinity.
    assert fire(Mostafa(t_max=None), T([[0.0]]), T([[1.0]])).item() == INF


def test_comsa_is_goltz_in_other_units():
    times, weight = random_layer(Comsa())
    assert torch.equal(fire(Comsa(tau=2.0), times, weight), fire(Goltz1(tau=0.5, gl=2.0), times, weight))


def test_eventprop_is_goltz_where_that_has_a_closed_form():
    """tau_m = 2 tau_s: bisection finds the root, and the adjoint gives the gradients, of Goltz's second case."""
    times, weight = random_layer(Goltz2())
    results = []
    for rule in (EventProp(tau_m=1.4, tau_s=0.7, t_max=8.0), Goltz2(tau_s=0.7, gl=1.0, t_max=8.0)):
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        fired = fire(rule.model_copy(update={"silent": "none", "slope_min": 0.0}), t, w)
        fired[fired.isfinite()].sum().backward()
        results.append((fired, t.grad, w.grad))
    assert results[0][0].isfinite().float().mean() > 0.2
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-8)


def test_equal_time_constants_are_another_rule():
    with pytest.raises(ValidationError, match="goltz1"):
        EventProp(tau_m=1.0, tau_s=1.0)


@pytest.mark.parametrize("rule", CROSSING, ids=named)
def test_time_shift_moves_spikes_and_sums_to_one(rule):
    rule = rule.model_copy(update={"t_max": None, "slope_min": 0.0})
    times, weight = random_layer(rule)
    t = times.clone().requires_grad_()
    fired, later = fire(rule, t, weight), fire(rule, times + 0.75, weight)
    assert torch.equal(fired.isfinite(), later.isfinite())
    alive = fired.isfinite()
    assert torch.allclose(later[alive], fired[alive] + 0.75, rtol=1e-7, atol=1e-7)
    fired.where(alive, 0).sum().backward()
    assert torch.allclose(t.grad.nan_to_num().sum(1), alive.sum(1).double(), rtol=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 6), st.integers(0, 12)), min_size=1, max_size=7),
    st.integers(1, 12),
    st.integers(1, 9),
    st.booleans(),
)
def test_crossing_at_an_arrival_fires_there(inputs, at, thirds, excite):
    """V is made to reach the threshold as another input arrives, in numbers that do not divide evenly."""
    w = T([w / 3 for w, _ in inputs], dtype=D)
    t = T([t / 7 for _, t in inputs], dtype=D)
    when = T(at / 7, dtype=D)
    V = potential(RelPsp(), when, t, w)
    early = potential(RelPsp(), t, t, w)[t < when]
    if V <= 0.1 or (len(early) and early.max() >= V):
        return
    w = torch.cat([w / V, T([thirds / 3 if excite else -thirds / 3], dtype=D)])
    t = torch.cat([t, when.view(1)])
    slope = w[:-1][t[:-1] < when].sum()
    if slope <= 0.01:
        return
    fired = fire(RelPsp(t_max=None), t.view(1, -1), w.view(1, -1)).item()
    if excite:  # an inhibitory input may hide a crossing that rounding puts behind it
        assert fired == pytest.approx(when.item(), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_event_scan_agrees(seed):
    """An independent scan over events, with ties, in plain Python."""
    g = torch.Generator().manual_seed(seed)
    t = torch.randint(0, 8, (6,), generator=g).double() / 4
    t[torch.rand(6, generator=g) < 0.2] = INF
    w = torch.randn(6, generator=g, dtype=D) + 0.3
    W = S = 0.0
    expected = INF
    events = sorted((float(x), float(v)) for x, v in zip(t, w, strict=True) if x < INF)
    for k, (x, v) in enumerate(events):
        W, S = W + v, S + v * x
        end = events[k + 1][0] if k + 1 < len(events) else INF
        if W > 0 and end > x and x - 1e-12 <= (1 + S) / W <= end + 1e-12:
            expected = (1 + S) / W
            break
    if expected > 6:
        expected = INF
    assert fire(RelPsp(), t.view(1, -1), w.view(1, -1)).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rule", CROSSING, ids=named)
def test_silence(rule):
    quiet = fire(rule, torch.full((2, 3), INF), torch.ones(4, 3))
    assert quiet.tolist() == [[INF] * 4] * 2
    assert fire(rule, T([[0.0, 1.0]]), T([[-1.0, -2.0]])).item() == INF
    w = torch.full((1, 2), 9.0, requires_grad=True)
    t = T([[INF, INF]], requires_grad=True)
    fire(rule.model_copy(update={"silent": "none"}), t, w).clamp(max=9).sum().backward()
    assert w.grad.tolist() == t.grad.tolist() == [[0, 0]]


def test_t_max_cuts():
    t, w = T([[0.0]]), T([[0.5]])
    assert fire(RelPsp(t_max=2.0), t, w).item() == 2.0
    assert fire(RelPsp(t_max=1.99), t, w).item() == INF


def test_interval_form_agrees_away_from_coincidences():
    times, weight = random_layer(RelPsp(), m=200)
    assert torch.allclose(
        fire(RelPsp(), times, weight), fire(RelPsp(crossing="interval"), times, weight), rtol=1e-14
    )


@pytest.mark.parametrize("rule", CROSSING, ids=named)
def test_chunks_change_nothing(rule):
    times, weight = random_layer(rule)
    results = []
    for engine in (Reference(), Reference(chunk=1), Reference(chunk=100)):
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        fired = fire(rule, t, w, engine=engine)
        fired.where(fired.isfinite(), 0).square().sum().backward()
        results.append((fired.detach(), t.grad, w.grad))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


def test_slope_is_held_up_in_gradients():
    w = T([[0.25]], dtype=D, requires_grad=True)
    fire(RelPsp(slope_min=0.5), T([[0.0]], dtype=D), w).sum().backward()
    assert w.grad.item() == -4 / 0.5  # x = 4, W = .25


@pytest.mark.parametrize("engine", [None, Reference()], ids=["default", "reference"])
def test_silent_neuron_learns_at_t_max(engine):
    w = T([[0.1, -0.2, 3.0], [1.0, 1.0, 1.0]], dtype=D, requires_grad=True)
    rule = RelPsp(t_max=2.0, silent="t_max_gradient", silent_rate=0.5)
    fired = fire(rule, T([[0.0, 1.5, 2.5]], dtype=D), w, engine=engine)
    assert fired.tolist() == [[INF, 1.0]]
    fired.backward(T([[4.0, 0.0]], dtype=D))
    assert w.grad.tolist() == [[-4.0, -1.0, 0.0], [0.0, 0.0, 0.0]]  # -4 * .5 * (2 - t)


def test_silent_neuron_is_pushed():
    w = T([[0.1, -0.2], [1.0, 1.0]], dtype=D, requires_grad=True)
    times = T([[0.0, 0.0], [INF, 0.0]], dtype=D)
    fire(RelPsp(silent="push", silent_rate=0.5), times, w).backward(torch.zeros(2, 2, dtype=D))
    assert w.grad.tolist() == [[-0.5, -0.5], [0.0, 0.0]]  # row 0 is silent in both samples


def test_options_that_need_each_other():
    with pytest.raises(ValueError, match="give t_max"):
        RelPsp(t_max=None, silent="t_max_gradient")


def test_shapes_are_checked():
    with pytest.raises(DataError, match=r"times \[N, 3\]"):
        RelPsp().fire(torch.zeros(2, 4), torch.ones(5, 3), Geometry(3))


@given(st.floats(-1 / math.e + 1e-6, 50))
def test_lambert_w(x):
    assert lambert_w0(T(x, dtype=D)).item() == pytest.approx(lambertw(x).real, rel=1e-12, abs=1e-14)


def test_lambert_w_at_and_below_its_end():
    assert lambert_w0(T(-1 / math.e, dtype=D)).item() == pytest.approx(-1, abs=1e-6)
    assert lambert_w0(T(-0.4, dtype=D)).isnan()
