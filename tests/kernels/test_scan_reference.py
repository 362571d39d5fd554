import pytest
import torch
from scan_cases import MEMBRANES, OPTIONS, PLAIN, VARIANTS, gradients

from rheobase.errors import RheobaseError
from rheobase.kernels import (
    SURROGATES,
    Rectangular,
    Triangular,
    membrane_trace,
    neuron_scan,
    scan_reference,
)


def column(*values):
    return torch.tensor(values)[:, None]


def test_soft_reset_by_hand():
    # h: 0.75 | 0.375+0.75 = 1.125 fires, v 0.125 | 0.0625+0.9375 = 1 fires on the tie, v 0 | 2.5 fires, v 1.5
    x = column(0.75, 0.75, 0.9375, 2.5, 0.0)
    spikes, h = membrane_trace(x, 0.5, 1.0, **PLAIN)
    assert h.flatten().tolist() == [0.75, 1.125, 1.0, 2.5, 0.75]
    assert spikes.flatten().tolist() == [0, 1, 1, 1, 0]


def test_hard_reset_by_hand():
    # v_reset -0.5; h: 1 fires, v=-0.5 | -0.25+1.25=1 fires, v=-0.5 | -0.25+1=0.75 | 0.375+0.5=0.875
    x = column(1.0, 1.25, 1.0, 0.5)
    spikes, h = membrane_trace(x, 0.5, 1.0, **PLAIN | {"v_reset": -0.5})
    assert h.flatten().tolist() == [1.0, 1.0, 0.75, 0.875]
    assert spikes.flatten().tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "v_reset, after", [(None, [-1.0, -1.0, 1.25, 1.0]), (0.5, [-1.0, -0.75, 1.125, 1.125])]
)
def test_ternary_by_hand(v_reset, after):
    # soft: -1 fires -1, v=0 | -0.5-0.5=-1 fires -1, v=0 | 1.25, v=0.25 | 0.125+0.875=1 fires
    # hard, v_reset 0.5: -1 fires, v=-0.5 | -0.25-0.5=-0.75, no | -0.375+1.5=1.125, v=0.5 | 0.25+0.875=1.125
    x = column(-1.0, -1.0, 1.25, 0.875) if v_reset is None else column(-1.0, -0.5, 1.5, 0.875)
    options = PLAIN | {"v_reset": v_reset, "ternary": True}
    spikes, h = membrane_trace(x, 0.5, 1.0, **options)
    assert h.flatten().tolist() == after
    expected = [-1, -1, 1, 1] if v_reset is None else [-1, 0, 1, 1]
    assert spikes.flatten().tolist() == expected == neuron_scan(x, 0.5, 1.0, **options).flatten().tolist()


@pytest.mark.parametrize("scan", [scan_reference, neuron_scan])
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_tie_at_the_threshold(scan, v_reset):
    x = column(1.0, 0.0, 1.0)  # strict: h = 1, 0.5, 1.25
    options = PLAIN | {"v_reset": v_reset}
    assert scan(x, 0.5, 1.0, **options).flatten().tolist() == [1, 0, 1]
    assert scan(x, 0.5, 1.0, **options | {"strict": True}).flatten().tolist() == [0, 0, 1]


@pytest.mark.parametrize("scan", [scan_reference, neuron_scan])
def test_backward_by_hand(scan):
    # T=2, soft, triangular gamma=1, leak 1/2, threshold 1, upstream (0, 1): h = 0.5, 0.25 + 0.5; s = 0, 0.
    # d = 0.5, 0.75. dL/dh2 = 0.75; dL/dv1 = 0.375; not detached: dL/ds1 = -0.375, dL/dh1 = 0.375/2.
    x, leak, threshold = column(0.5, 0.5), torch.tensor(0.5), torch.tensor(1.0)
    options = PLAIN | {"surrogate": Triangular()}
    grad = column(0.0, 1.0)
    _, gx, gleak, gthreshold = gradients(scan, x, leak, threshold, grad, options)
    assert gx.flatten().tolist() == [0.1875, 0.75]
    assert gleak.item() == 0.75 * 0.5
    assert gthreshold.item() == -0.75 + 0.375 * 0.5
    _, gx, _, gthreshold = gradients(scan, x, leak, threshold, grad, options | {"detach_reset": True})
    assert gx.flatten().tolist() == [0.375, 0.75]
    assert gthreshold.item() == -0.75


def analytic(x, leak, threshold, grad, options):
    """Independent backward: the textbook recursion over one neuron at a time, in Python floats."""
    surrogate, v_reset = options["surrogate"], options["v_reset"]
    gx, gleak, gthreshold = torch.zeros_like(x), 0.0, 0.0
    for e in range(x.shape[1]):
        v, trace = 0.0, []
        for t in range(x.shape[0]):
            h = leak * v + x[t, e].item()
            s = float(h > threshold if options["strict"] else h >= threshold)
            trace.append((v, h, s))
            v = h - threshold * s if v_reset is None else (v_reset if s else h)
        gv = 0.0
        for t in reversed(range(x.shape[0])):
            v, h, s = trace[t]
            d = surrogate.derivative(torch.tensor(h - threshold, dtype=torch.float64)).item()
            gs = grad[t, e].item()
            if not options["detach_reset"]:
                gs += gv * (-threshold if v_reset is None else v_reset - h)
            gh = gs * d + gv * (1.0 if v_reset is None else 1.0 - s)
            gthreshold -= gs * d + (gv * s if v_reset is None else 0.0)
            gleak += gh * v
            gx[t, e], gv = gh, gh * leak
    return gx, torch.tensor(gleak, dtype=x.dtype), torch.tensor(gthreshold, dtype=x.dtype)


@pytest.mark.parametrize("options", OPTIONS)
def test_backward_is_the_analytic_recursion(options):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    grad = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    leak, threshold = (torch.tensor(value, dtype=torch.float64) for value in (0.7, 0.6))
    _, *found = gradients(scan_reference, x, leak, threshold, grad, options)
    for ours, theirs in zip(found, analytic(x, 0.7, 0.6, grad, options), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.abs().sum() > 0


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_smooth_scan_passes_finite_differences(name, v_reset, variant):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    leak = torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    options = PLAIN | {"surrogate": SURROGATES[name](), "v_reset": v_reset, "smooth": True} | variant
    assert torch.autograd.gradcheck(
        lambda *given: scan_reference(*given, **options), (x, leak, threshold), eps=1e-7, atol=1e-5
    )


@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("membrane", MEMBRANES, ids=repr)
def test_smooth_quantisers_pass_finite_differences(membrane, v_reset):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    leak, threshold = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.6, 0.8))
    options = PLAIN | {"v_reset": v_reset, "membrane": membrane, "smooth": True}
    assert torch.autograd.gradcheck(
        lambda *given: scan_reference(*given, **options), (x, leak, threshold), eps=1e-7, atol=1e-5
    )


def test_half_precision_keeps_the_membrane_in_float32():
    x = torch.full((300, 1), 1 / 256, dtype=torch.bfloat16)  # a bfloat16 membrane would stick at 1 - 1/256
    assert scan_reference(x, 1.0, 1.0, **PLAIN).sum() == 1
    assert scan_reference(x, 1.0, 1.0, **PLAIN).dtype == torch.bfloat16


@pytest.mark.parametrize("scan", [scan_reference, neuron_scan])
def test_wrong_shapes_are_refused(scan):
    options = PLAIN | {"surrogate": Rectangular()}
    with pytest.raises(RheobaseError, match=r"leak has shape \[4\].*\[C\].*\[2, 2, 3\]"):
        scan(torch.zeros(2, 2, 3), torch.ones(4), 1.0, **options)
    with pytest.raises(RheobaseError, match="threshold has shape"):
        scan(torch.zeros(2, 3), 0.5, torch.ones(3), **options)
    with pytest.raises(RheobaseError, match="T >= 1"):
        scan(torch.zeros(0, 3), 0.5, 1.0, **options)
