"""The Triton scan in Triton's interpreter, on CPU tensors: its arithmetic, not its speed."""

import math
import os

import pytest
import torch
from scan_cases import EVENTS, MEMBRANES, OPTIONS, PLAIN, VARIANTS, drive

from rheobase.kernels import scan_reference
from rheobase.kernels.options import scan_options

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are defined
pytest.importorskip("triton", reason="triton is not installed (it comes with torch for CUDA)")

from rheobase.kernels import triton_scan


def agree(x, leak, threshold, given):
    """Triton against reference: the same spikes, close gradients, none silently zero."""
    options = scan_options(**given)
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)
    inputs = [value.detach().requires_grad_() for value in (x, leak, threshold)]
    spikes = scan_reference(*inputs, **given)
    theirs = torch.autograd.grad(spikes, inputs, grad)
    assert torch.equal(triton_scan.forward(x, leak, threshold, options), spikes)
    gx, sums = triton_scan.backward(grad, x, leak, threshold, options, True)
    close = {"rtol": 1e-4, "atol": 1e-5} if x.dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-3}
    torch.testing.assert_close(gx, theirs[0], **close)
    for total, value, other in zip(sums, (leak, threshold), theirs[1:], strict=True):
        ours = (total if value.ndim else total.sum()).to(other.dtype)
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-4)
        assert ours.abs().sum() > 0
    plain, none = triton_scan.backward(grad, x, leak, threshold, options, False)
    assert none is None and torch.equal(plain, gx)


@pytest.mark.parametrize("variant", VARIANTS + EVENTS)
@pytest.mark.parametrize("options", OPTIONS[::3])
def test_all_options(options, variant):
    leak, threshold = torch.tensor([0.3, 0.5, 1.0]), torch.tensor([1.0, 0.75, 0.4])
    agree(drive(5, 2, 3, 4), leak, threshold, options | variant)


@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("membrane", MEMBRANES, ids=repr)
def test_every_membrane(membrane, v_reset, ternary):
    leak, threshold = torch.tensor([0.3, 0.5, 1.0]), torch.tensor([1.0, 0.75, 0.4])
    options = PLAIN | {"v_reset": v_reset, "ternary": ternary, "membrane": membrane}
    agree(drive(4, 2, 3, 30), leak, threshold, options)
    agree(2 * torch.randn(3, 2, 3, 30, generator=torch.Generator().manual_seed(5)), leak, threshold, options)


def test_nan_membrane_stays_nan():
    options = scan_options(**PLAIN | {"membrane": MEMBRANES[0]})
    x = torch.tensor([[[math.nan]], [[1.0]]])
    _, sums = triton_scan.backward(torch.ones_like(x), x, 0.5, 1.0, options, True)
    assert sums.isnan().all()


@pytest.mark.parametrize("n", [1, triton_scan.BLOCK - 1, triton_scan.BLOCK, 2 * triton_scan.BLOCK + 1])
@pytest.mark.parametrize("steps", [1, 4])
def test_block_boundaries(n, steps):
    x = drive(steps, n)
    x[0], x[-1] = 1.0, 0.5
    if steps > 1:
        agree(x, torch.tensor(0.5), torch.tensor(1.0), PLAIN)
    else:
        spikes = triton_scan.forward(x, 0.5, 0.5, scan_options(**PLAIN))
        assert torch.equal(spikes, scan_reference(x, 0.5, 0.5, **PLAIN))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions(dtype):
    x = drive(4, 2, 3, 33).to(dtype)
    agree(x, torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75]), PLAIN)


def test_layouts():
    leak, threshold = torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75])
    agree(drive(2, 4, 3, 5, 6).transpose(0, 1), leak, threshold, PLAIN)
    x = drive(4 * 2, 3, 5, 6).to(memory_format=torch.channels_last).view(4, 2, 3, 5, 6)
    agree(x, leak, threshold, PLAIN)
