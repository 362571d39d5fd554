"""Where gradients exist under an event gradient, by hand and as properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import PLAIN, drive, gradients

from rheobase.kernels import EventGradient, Rectangular, Triangular, neuron_scan, scan_reference

BOTH = pytest.mark.parametrize("scan", [scan_reference, neuron_scan])
HARD = PLAIN | {"v_reset": 0.0, "detach_reset": True, "surrogate": Triangular()}
LEAK, ONE = torch.tensor(0.5), torch.tensor(1.0)


def column(*values):
    return torch.tensor(values)[:, None]


def to_input(scan, x, options, grad=None):
    return gradients(scan, x, LEAK, ONE, torch.ones_like(x) if grad is None else grad, options)[:2]


@BOTH
def test_by_hand(scan):
    # h: 0.5 | 1.25 fires, v = 0 | 0.75; tent: 0.5, 0.75, 0.75. Upstream 1 each; hard reset, detached.
    # full: g3 = .75; g2 = .75 (the reset cuts); g1 = .5 + .5 * .75 ... only through v1: h2's gradient .75 * leak
    x = column(0.5, 1.0, 0.75)
    expected = {
        None: [0.5 + 0.5 * 0.75, 0.75, 0.75],
        ("spike", "isi"): [0.5 * 0.75, 0.75, 0.0],
        ("spike", "event_local"): [0.0, 0.75, 0.0],
        ("band", "isi"): [0.5 * 0.75, 0.75, 0.75],
        ("band", "event_local"): [0.0, 0.75, 0.75],
    }
    for kind, values in expected.items():
        gradient = None if kind is None else EventGradient(mask=kind[0], temporal=kind[1], band=0.25)
        spikes, gx = to_input(scan, x, HARD | {"gradient": gradient})
        assert spikes.flatten().tolist() == [0, 1, 0]
        assert gx.flatten().tolist() == values, kind


@BOTH
def test_a_strict_tie_is_no_event(scan):
    x = column(1.0)
    for strict, expected in ((False, 1.0), (True, 0.0)):
        options = HARD | {"strict": strict, "gradient": EventGradient()}
        spikes, gx = to_input(scan, x, options)
        assert spikes.item() == gx.item() == expected


@BOTH
def test_soft_reset_carries_on_from_spike_to_spike(scan):
    # h: 2 fires, v = 1 | 1.5 fires | 0.25 + 0.25 silent; a box of height 1/8 wide enough for all
    options = PLAIN | {
        "detach_reset": True,
        "surrogate": Rectangular(width=8.0),
        "gradient": EventGradient(),
    }
    spikes, gx = to_input(scan, column(2.0, 1.0, 0.25), options)
    assert spikes.flatten().tolist() == [1, 1, 0]
    assert gx.flatten().tolist() == [0.125 + 0.5 * 0.125, 0.125, 0.0]


@BOTH
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    strict=st.booleans(),
    ternary=st.booleans(),
    soft=st.booleans(),
    detach=st.booleans(),
)
def test_no_gradient_without_a_spike(scan, seed, strict, ternary, soft, detach):
    x = drive(6, 4, 20, seed=seed)
    options = HARD | {"strict": strict, "ternary": ternary, "detach_reset": detach}
    options |= {"v_reset": None if soft else 0.0, "gradient": EventGradient()}
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    spikes, gx = to_input(scan, x, options, grad)
    assert not gx[spikes == 0].any()
    assert gx[spikes != 0].any()
    wide = options | {"surrogate": Rectangular(width=1e3)}
    if detach and not soft:  # a purely spatial gradient, at every spike
        _, gx = to_input(scan, x, wide, grad)
        torch.testing.assert_close(gx, spikes.abs() * grad / 1e3)


@BOTH
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_isi_reaches_back_to_the_last_spike(scan, seed):
    """With all of the error at one spike, gradients reach from it back to just after the spike before."""
    x = drive(12, 1, 1, seed=seed) * 0.6
    isi = HARD | {"surrogate": Rectangular(width=1e3), "gradient": EventGradient(temporal="isi")}
    spikes = scan(x, LEAK, ONE, **isi).flatten()
    for t in spikes.nonzero().flatten().tolist():
        grad = torch.zeros_like(x)
        grad[t] = 1e3
        gx = to_input(scan, x, isi, grad)[1].flatten()
        before = spikes[:t].nonzero().flatten().tolist()
        start = before[-1] + 1 if before else 0
        expected = [0.5 ** (t - i) if start <= i <= t else 0.0 for i in range(12)]
        torch.testing.assert_close(gx, torch.tensor(expected))


@pytest.mark.parametrize("mask", ["spike", "band"])
@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("ternary", [False, True])
def test_smooth_isi_passes_finite_differences(mask, v_reset, ternary):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    leak, threshold = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.6, 0.8))
    options = PLAIN | {"v_reset": v_reset, "ternary": ternary, "smooth": True}
    options |= {"gradient": EventGradient(mask=mask, temporal="isi")}
    assert torch.autograd.gradcheck(
        lambda *given: scan_reference(*given, **options), (x, leak, threshold), eps=1e-7, atol=1e-5
    )


@BOTH
def test_nan_is_not_hidden(scan):
    x = column(float("nan"), 1.0)
    assert to_input(scan, x, PLAIN | {"gradient": EventGradient()})[1].isnan().all()
