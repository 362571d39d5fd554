"""STD-ED: closed form against simulation, saturations, gradients, and the proxy form."""

import pytest
import torch
from cases import INF
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.spiketime import CodingConv2d, Geometry, MinPool2d, StdEd, WindowEnd
from rheobase.spiketime.std_ed import fire_proxy, fire_times, inputs, to_activations, to_times

T = torch.tensor
D = torch.float64


def layer(seed, n=8, m=30, samples=4, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    times = torch.rand(samples, n, generator=g, dtype=D)
    times[torch.rand(samples, n, generator=g) < 0.3] = INF
    return times, spread * torch.randn(m, n, generator=g, dtype=D)


def times_form(t, w, clip=1e5):
    return fire_times(t, w, Geometry(t.shape[1]), clip)[:, 0]


def proxy_form(a, w, clip=1e5):
    return to_activations(fire_proxy(to_times(a), w, Geometry(a.shape[1]), clip))[:, 0]


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_spike_is_the_first_crossing_of_the_falling_threshold(spread):
    times, weight = layer(0, spread=spread)
    grid = torch.arange(1, 2, 1e-3, dtype=D)
    fired = times_form(times, weight)
    kinds = set()
    for s, row in enumerate(fired):
        for j, t in enumerate(row):
            x = grid.unsqueeze(1) - times[s]
            V = torch.where(times[s].isfinite(), weight[j] * x, 0).nan_to_num(0, 0, 0).sum(1)
            above = 2 - grid <= V
            first = grid[above.float().argmax()].item() - 1 if above.any() else INF
            if t == INF:
                assert first == INF
            else:
                assert min(first, 1) == pytest.approx(t.item(), abs=1.1e-3)
            kinds.add("start" if t == 0 else "silent" if t == INF else "inside")
    assert kinds == {"start", "silent", "inside"}


@pytest.mark.parametrize(
    "w, t, expected",
    [
        ([3.0, -5.0], [0.0, 1.0], 0.0),  # W = -2, I = -5: t_j = 3 > 2, yet V(1) = 3
        ([4.0, -4.5], [0.0, 1.0], 0.0),  # W = -.5, I = -4.5: t_j = -5 < 0, yet V(1) = 4
        ([1.0], [0.0], 0.0),  # V(1) = theta(1)
        ([0.5], [0.0], 2 / 1.5 - 1),
        ([0.5, -1.0], [0.0, 0.0], INF),
        ([-1.0], [0.0], INF),  # 1 + W = 0
        ([1.0, -2.0], [0.5, 0.5], INF),  # W = -1
        ([2.0], [INF], INF),
    ],
)
def test_cases(w, t, expected):
    w, t = T([w], dtype=D, requires_grad=True), T([t], dtype=D, requires_grad=True)
    fired = times_form(t, w)
    assert fired.item() == pytest.approx(expected, abs=1e-15)
    fired.clamp(max=2).sum().backward()
    if not 0 < expected < 1:
        assert not w.grad.any() and not t.grad.any()


def test_gradients_are_central_differences():
    times, weight = layer(1, spread=0.5)
    eps, checked = 1e-5, 0
    for form, x in ((times_form, times), (proxy_form, to_activations(times))):
        a, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
        fired = form(a, w)
        one_plus = 1 + (times.isfinite().double() @ weight.T)
        for s, j in torch.nonzero((fired > 1e-3) & (fired < 1 - 1e-3) & (one_plus > 0.2)).tolist():
            exact = torch.autograd.grad(fired[s, j], (a, w), retain_graph=True)
            for i in torch.nonzero(times[s].isfinite()).flatten().tolist():
                for which, value in enumerate((exact[0][s, i], exact[1][j, i])):
                    moved = []
                    for sign in (1, -1):
                        y = [x[s : s + 1].clone(), weight[j : j + 1].clone()]
                        y[which][0, i] += sign * eps
                        moved.append(form(*y).item())
                    numeric = (moved[0] - moved[1]) / (2 * eps)
                    assert value.item() == pytest.approx(numeric, rel=1e-6, abs=1e-8)
                    checked += 1
    assert checked > 300


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0, 4.0]))
def test_proxy_equals_times(seed, spread):
    times, weight = layer(seed, spread=spread)
    times[0] = INF  # a window in which all inputs are silent
    fired = times_form(times, weight)
    a = proxy_form(to_activations(times), weight)
    assert (to_activations(fired) - a).abs().max() < 1e-12
    assert torch.equal(fired.isfinite(), a > 0)
    assert torch.isinf(fired[0]).all()


def test_both_forms_have_the_same_gradients():
    times, weight = layer(3)
    grads = []
    for training in ("times", "proxy"):
        rule = StdEd(training=training, clip_times=1e5, clip_proxy=1e5)
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        to_activations(rule.fire(t, w, Geometry(8), training=True)).square().sum().backward()
        grads.append((t.grad, w.grad))
    for a, b in zip(*grads, strict=True):
        assert a.abs().max() > 0 and torch.allclose(a, b, rtol=1e-9, atol=1e-11)


def onset_gradients(onset, spread=1.0):
    """Times, weights, membranes at the window's end, and the gradients of the sum of activations."""
    times, weight = layer(7, spread=spread)
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    rule = StdEd(onset=onset)
    to_activations_of_all(rule.fire(t, w, Geometry(8), training=True)[:, 0]).backward()
    fired = times.isfinite().double()
    V = (fired + to_activations(times)) @ weight.T
    V[to_activations(times) @ weight.T >= 1] = INF  # these fire, however negative V is
    return times, weight, V, t.grad, w.grad


def to_activations_of_all(times):
    """The sum of a; silent neurons get the gradient 1 as well, as from a layer that learns what it misses."""
    fired, a = inputs(times, learns=True)
    return a.sum() + fired.sum()


def test_onset_adds_a_triangle_below_the_threshold():
    onset = 0.7
    times, weight, V, exact_t, exact_w = onset_gradients(0.0)
    *_, t_grad, w_grad = onset_gradients(onset)
    slope = torch.where(V <= 0, (1 - V.abs() / onset).clamp(min=0) / onset, 0)
    assert (slope > 0).any() and (slope == 0).any()
    counted = times.isfinite().double() + to_activations(times)  # dV/dw
    assert torch.allclose(w_grad - exact_w, slope.T @ counted)
    assert torch.equal(exact_t[times == INF], torch.zeros((times == INF).sum(), dtype=D))
    silent = times == INF  # what W would gain if an input fired, through firing neurons too
    assert (t_grad[silent] != 0).all()
    assert torch.allclose((t_grad - exact_t)[~silent], -(slope @ weight)[~silent])


def test_onset_changes_no_spike_and_is_of_the_proxy_form():
    times, weight = layer(2)
    fired = [StdEd(onset=onset).fire(times, weight, Geometry(8), training=True) for onset in (0.0, 1.0)]
    assert torch.equal(*fired)
    with pytest.raises(ValueError, match="onset=1 is of the proxy form"):
        StdEd(training="times", onset=1.0)


def test_factors_are_clipped():
    w = T([[-0.9]], dtype=D, requires_grad=True)  # 1 + W = .1, but 2W - I <= 0 for t = 0
    t = T([[2.0]], dtype=D, requires_grad=True)  # I = -1.8: 2W - I = 0: just silent
    assert times_form(t, w).item() == INF
    w = T([[-0.9, 0.05]], dtype=D, requires_grad=True)  # W = -.85, I = -.9*.99 + 0: t = 1.109/.15 - 1 > 1
    t = T([[1.0, -18.0]], dtype=D, requires_grad=True)  # I = -1.8: W - I = .95, 2W - I = .1: t = .2/.15 - 1
    fired = times_form(t, w, clip=2.0)
    assert fired.item() == pytest.approx(1 / 3)
    fired.sum().backward()
    assert t.grad.tolist()[0] == pytest.approx([-0.9 * 2, 0.05 * 2])  # 1/.15 clipped to 2
    assert w.grad.tolist()[0] == pytest.approx([2 * 1.0 - 2, 2 * -18.0 - 2])  # -.2/.15^2 clipped to -2


def test_convolution_is_a_linear_layer_per_window():
    g = torch.Generator().manual_seed(0)
    geometry = Geometry(2, (5, 4), (3, 2), (2, 1), (1, 0))
    times = torch.rand(3, geometry.inputs, generator=g, dtype=D)
    times[torch.rand(times.shape, generator=g) < 0.4] = INF
    weight = torch.randn(6, geometry.fan_in, generator=g, dtype=D)
    rule = StdEd()
    whole = rule.fire(times, weight, geometry)
    windows = rule.fire(geometry.patches(times), weight, Geometry(geometry.fan_in))
    assert torch.equal(whole.isfinite().flatten(0, 1), windows[:, 0].isfinite())
    assert (to_activations(whole).flatten(0, 1) - to_activations(windows[:, 0])).abs().max() < 1e-12


def test_window_end_is_the_membrane_at_two():
    times, _ = layer(5)
    for form in ("window_end", "proxy"):
        readout = WindowEnd(8, 3, form).double()
        fired = times.isfinite()
        W = fired.double() @ readout.weight.T
        I = torch.where(fired, times, 0) @ readout.weight.T  # noqa: E741
        expected = 2 * W - I if form == "window_end" else W - I
        assert torch.allclose(readout(times), expected, rtol=1e-12)


def test_pool_and_all_silent_window():
    t = torch.full((1, 1, 2, 4), INF)
    t[0, 0, 0, 0], t[0, 0, 1, 1] = 0.7, 0.2
    assert MinPool2d(2)(t).tolist() == [[[[pytest.approx(0.2), INF]]]]


def test_activations_and_times_are_inverse():
    assert to_times(to_activations(T([0.0, 0.25, INF]))).tolist() == [0.0, 0.25, INF]


def test_coding_layer():
    coding = CodingConv2d(1, 2, 1)
    with torch.no_grad():
        coding.conv.weight.copy_(T([0.5, -1.0]).view(2, 1, 1, 1))
    x = T([0.5, 4.0]).view(1, 1, 1, 1, 2)
    assert coding(x).tolist() == [[[[0.75, 0.0]], [[INF, INF]]]]
