import os
import subprocess
import sys
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import EVENTS, MEMBRANES, OPTIONS, PLAIN, VARIANTS, drive, gradients, needs_compiler
from torch.utils.flop_counter import FlopCounterMode

from rheobase.errors import RheobaseError
from rheobase.kernels import (
    Atan,
    Rectangular,
    Sigmoid,
    TanhMembrane,
    buffers,
    fused,
    neuron_scan,
    operator,
    scan,
    scan_reference,
)
from rheobase.native import CompilerError, compiler

pytestmark = needs_compiler
library = fused.library() if compiler() else None
FORWARD = library.scan_forward_block() if library else 1024


def backward_block(steps):
    return library.scan_backward_block(steps) if library else 64


def agree(x, leak, threshold, options, seed=0, close=None):
    """Fused against reference: the same spikes, close gradients, none silently zero."""
    close = close or {"rtol": 1e-4, "atol": 1e-5}
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.dtype)
    ours = gradients(neuron_scan, x, leak, threshold, grad, options)
    theirs = gradients(scan_reference, x, leak, threshold, grad, options)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1].dtype == x.dtype
    torch.testing.assert_close(ours[1], theirs[1], **close)
    for mine, other in zip(ours[2:], theirs[2:], strict=True):  # sums over many elements, of both signs
        scale = max(1.0, float(theirs[1].float().abs().sum()) / max(1, other.numel()))
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6 * scale)
    return ours


@pytest.mark.parametrize("variant", VARIANTS + EVENTS)
@pytest.mark.parametrize("options", OPTIONS)
def test_all_options(options, variant):
    options = options | variant
    x = drive(6, 2, 3, 5, 7)
    ours = agree(x, torch.tensor(0.5), torch.tensor(1.0), options)
    values = {-1.0, 0.0, 1.0} if "ternary" in variant else {0.0, 1.0}
    assert set(ours[0].unique().tolist()) == values
    per_channel = torch.tensor([0.3, 0.5, 1.0]), torch.tensor([1.0, 0.75, 0.4])
    assert all(value.abs().sum() > 0 for value in (*ours, *agree(x, *per_channel, options)))
    agree(x, torch.tensor(0.5), per_channel[1], options)
    agree(x, per_channel[0], torch.tensor(1.0), options)


@pytest.mark.parametrize("dtype", fused.DTYPES, ids=str)
@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
@pytest.mark.parametrize("membrane", MEMBRANES, ids=repr)
def test_every_membrane(membrane, v_reset, ternary, dtype):
    """Over a block's end, for one step, and for parameters per channel of a channels-last map."""
    options = PLAIN | {"v_reset": v_reset, "ternary": ternary, "membrane": membrane}
    close = {
        torch.float32: {"rtol": 1e-4, "atol": 1e-5},
        torch.bfloat16: {"rtol": 1e-2, "atol": 1e-5},
        torch.float16: {"rtol": 1e-2, "atol": 2e-3},
    }[dtype]
    numbers = torch.tensor(0.5), torch.tensor(1.0)
    generator = torch.Generator().manual_seed(5)
    for x in (drive(4, FORWARD + 1), 2 * torch.randn(4, backward_block(4) + 3, generator=generator)):
        assert agree(x.to(dtype), *numbers, options, close=close)[0].abs().sum() > 0
    agree(torch.randn(1, 2, 33, generator=generator).to(dtype), *numbers, options, close=close)
    per_channel = torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75])
    agree(LAYOUTS["channels_last"]().to(dtype), *per_channel, options, close=close)


@pytest.mark.parametrize("strict", [False, True])
def test_roundings_are_those_of_torch(strict):
    """Each threshold is the membrane torch computes: a fused multiply-add would break the tie."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(2, 1, 3000, generator=generator) + torch.tensor([0.0, 1.0])[:, None, None]
    leak = torch.rand(3000, generator=generator)
    threshold = x[1, 0] + leak * x[0, 0]
    spikes = neuron_scan(x, leak, threshold, **PLAIN | {"strict": strict})
    assert spikes[0].sum() == 0
    assert spikes[1].sum() == (0 if strict else 3000)


@pytest.mark.parametrize("steps", [1, 4, 40, 1000])
@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("blocks", [1, 2])
def test_block_boundaries(steps, off, blocks):
    for block in {FORWARD, backward_block(steps)} if steps < 1000 else {backward_block(steps)}:
        agree(drive(steps, blocks * block + off), torch.tensor(0.5), torch.tensor(1.0), PLAIN)


@pytest.mark.parametrize("variant", VARIANTS)
def test_thousand_steps(variant):
    ours = agree(
        drive(1000, 1, 3, 5), torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75]), PLAIN | variant
    )
    assert ours[0][-100:].abs().sum() > 0


def test_channels_that_cross_blocks():
    for inner in (FORWARD // 2 + 1, FORWARD, FORWARD + 1):
        options = PLAIN | {"v_reset": 0.0}
        agree(drive(2, 2, 3, inner), torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75]), options)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3, *[st.integers(1, 40)] * 2),
    leak=st.floats(-0.5, 1.0),
    threshold=st.floats(0.125, 2.0),
    v_reset=st.sampled_from([None, 0.0, 0.25]),
    detach=st.booleans(),
    strict=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_numbers(shape, leak, threshold, v_reset, detach, strict, seed):
    options = {"surrogate": Atan(), "v_reset": v_reset, "detach_reset": detach, "strict": strict}
    agree(drive(*shape, seed=seed), torch.tensor(leak), torch.tensor(threshold), options, seed)


def test_threads_share_the_blocks():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        x = drive(2, 1, 2, fused.GRAIN + 77)  # three threads' worth
        ours = agree(x, torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.5]), PLAIN)
        torch.set_num_threads(1)
        alone = agree(x, torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.5]), PLAIN)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(ours[0], alone[0]) and torch.equal(ours[1], alone[1])


LAYOUTS = {
    "channels_last": lambda: drive(4 * 2, 3, 5, 6).to(memory_format=torch.channels_last).view(4, 2, 3, 5, 6),
    "time_inside": lambda: drive(2, 4, 3, 5, 6).transpose(0, 1),
    "time_last": lambda: drive(2, 3, 5, 6, 4).permute(4, 0, 1, 2, 3),
    "every_second": lambda: drive(4, 2, 3, 5, 12)[..., ::2],
    "expanded": lambda: drive(1, 2, 3, 5, 6).expand(4, 2, 3, 5, 6),
    "batch_inside": lambda: drive(4, 3, 5, 6, 2).permute(0, 4, 1, 2, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    x = LAYOUTS[layout]()
    assert not x.is_contiguous()
    leak, threshold = torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75])
    spikes = agree(x, leak, threshold, PLAIN)[0]
    assert torch.equal(spikes, scan_reference(x.contiguous(), leak, threshold, **PLAIN))


def test_channels_last_stays_channels_last():
    x = LAYOUTS["channels_last"]().requires_grad_()
    spikes = neuron_scan(x, 0.5, 1.0, **PLAIN)
    (grad,) = torch.autograd.grad(spikes.mean(0).sum(), x)  # upstream gradient expanded along time
    assert spikes.stride() == grad.stride() == x.stride()


@pytest.mark.parametrize("variant", VARIANTS + EVENTS[:2])
@pytest.mark.parametrize("size", [33, 1 << 19])  # the larger is written around the cache
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions(dtype, size, variant):
    x = drive(4, 2, 3, size).to(dtype) if size < 100 or not variant else drive(4, 2, 3, 7).to(dtype)
    leak, threshold = torch.tensor([0.3, 0.5, 0.9]), torch.tensor([1.0, 0.5, 0.75])
    close = {"rtol": 1e-2, "atol": 2e-3 if dtype == torch.float16 else 1e-6}
    assert agree(x, leak, threshold, PLAIN | variant, close=close)[0].dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_round_as_torch_does(dtype):
    """Every finite half is read right, and every gradient is rounded to nearest even."""
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    every = every[every.isfinite()]
    options = PLAIN | {"surrogate": Rectangular(width=1e30), "detach_reset": True}
    x = every[None].clone().requires_grad_()
    upstream = torch.full_like(every, 1.0)[None]
    for scan_ in (neuron_scan, scan_reference):
        spikes = scan_(x, 0.0, 0.5, **options)
        assert torch.equal(spikes[0], (every.float() >= 0.5).to(dtype))
    options["surrogate"] = Rectangular(width=2.0)
    grads = [
        torch.autograd.grad(scan_(x, 0.0, 1e-30, **options), x, upstream * every)[0]
        for scan_ in (neuron_scan, scan_reference)
    ]
    assert torch.equal(*grads)
    assert (grads[0] != 0).sum() > 1000


def test_nan_is_not_hidden():
    x = torch.tensor([[float("nan")], [1.0]], requires_grad=True)
    for scan_ in (neuron_scan, scan_reference):
        (grad,) = torch.autograd.grad(scan_(x, 0.5, 1.0, **PLAIN).sum(), x)
        assert grad.isnan().all()


def test_empty_batch_and_float64():
    assert neuron_scan(torch.zeros(4, 0, 3), torch.ones(3), 1.0, **PLAIN).shape == (4, 0, 3)
    x = drive(4, 5).double()
    assert torch.equal(neuron_scan(x, 0.5, 1.0, **PLAIN), scan_reference(x, 0.5, 1.0, **PLAIN))


def test_result_outlives_its_neighbours():
    """Large results live in memory that is used again: only once nothing refers to it."""
    x = drive(4, 1 << 17)
    first = neuron_scan(x, 0.5, 1.0, **PLAIN)
    part, kept, address = first[2, 5:], first[2, 5:].clone(), first.data_ptr()
    del first
    others = [neuron_scan(x + shift, 0.5, 1.0, **PLAIN) for shift in (-3.0, 3.0)]
    assert torch.equal(part, kept) and all(other.data_ptr() != address for other in others)
    del part
    assert neuron_scan(x, 0.5, 1.0, **PLAIN).data_ptr() == address
    others[0].add_(1.0).resize_(3)


def test_idle_memory_is_bounded(monkeypatch):
    buffers.release()
    monkeypatch.setattr(buffers, "IDLE", 6 << 20)
    for size in (1, 2, 3):
        held = [buffers.empty_strided((size << 19,), (1,), torch.float32) for _ in range(4)]
        del held
        assert buffers.idle_bytes() <= 6 << 20
    buffers.release()
    assert buffers.idle_bytes() == 0


@pytest.mark.parametrize("variant", VARIANTS + EVENTS)
def test_eager_call_and_operator_agree(variant):
    x, leak = drive(4, 2, 3, 50), torch.tensor([0.3, 0.5, 0.9])
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    light = gradients(neuron_scan, x, leak, torch.tensor(1.0), grad, PLAIN | variant)
    with FlopCounterMode(display=False):  # something that watches calls must see the operator
        full = gradients(neuron_scan, x, leak, torch.tensor(1.0), grad, PLAIN | variant)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(light, full, strict=True))


def test_exports():
    class Net(torch.nn.Module):
        def forward(self, x):
            return neuron_scan(x, 0.5, 1.0, **PLAIN | {"ternary": True, "membrane": TanhMembrane(bits=4)})

    x = drive(4, 2, 3, 5)
    program = torch.export.export(Net(), (x,))
    assert "rheobase.neuron_scan" in str(program.graph)
    assert torch.equal(program.module()(x), Net()(x))


def test_no_second_derivative():
    x = drive(4, 5).requires_grad_()
    loss = (neuron_scan(x, 0.5, 1.0, **PLAIN) ** 2).sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize(
    "membrane", [(None, 0, (), None, 0.0, False), ("squat", 4, (1.0, 0.0, 0.2, 0.5), "band", 0.5, True)]
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_operator_contract(per_channel, membrane):
    leak, threshold = (torch.full((3,) * per_channel, value, requires_grad=True) for value in (0.5, 1.0))
    x = drive(4, 2, 3, 5).requires_grad_()
    torch.library.opcheck(
        operator.fused_scan, (x, leak, threshold, None, False, False, "sigmoid", 4.0, False, *membrane)
    )
    bare = [value.detach() for value in (x, x, leak, threshold)]
    for want in (False, True):
        torch.library.opcheck(
            operator.fused_scan_backward, (*bare, 0.0, True, True, "atan", 2.0, True, *membrane, want)
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the second runs the reference
@pytest.mark.parametrize("variant", VARIANTS + EVENTS[:2])
def test_compiles_without_a_graph_break(variant, dtype):
    torch._dynamo.reset()
    x = drive(3, 2, 4).to(dtype).requires_grad_()
    leak = torch.tensor(0.5, requires_grad=True)

    def loss(x, leak):
        return (neuron_scan(x * 1.5, leak, 1.0, **PLAIN | variant) * x).sum()

    found = torch.autograd.grad(torch.compile(loss, backend="aot_eager", fullgraph=True)(x, leak), (x, leak))
    for ours, theirs in zip(found, torch.autograd.grad(loss(x, leak), (x, leak)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_variable_chooses_the_reference(monkeypatch):
    def refuse(*_):
        raise AssertionError("the fused kernel was called")

    monkeypatch.setattr(operator, "scan", refuse)
    monkeypatch.setenv(scan.VARIABLE, "reference")
    neuron_scan(drive(2, 3), 0.5, 1.0, **PLAIN)
    monkeypatch.setenv(scan.VARIABLE, "refernce")
    with pytest.raises(RheobaseError, match="did you mean 'reference'"):
        neuron_scan(drive(2, 3), 0.5, 1.0, **PLAIN)


def test_without_a_compiler_one_warning(monkeypatch):
    def missing(*_):
        raise CompilerError("no C compiler found")

    monkeypatch.delenv(scan.VARIABLE, raising=False)
    monkeypatch.setattr(fused, "compile_shared", missing)
    fused.library.cache_clear()
    try:
        with pytest.warns(UserWarning, match="falls back to plain torch.*no C compiler"):
            first = neuron_scan(drive(2, 3), 0.5, 1.0, **PLAIN)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(first, neuron_scan(drive(2, 3), 0.5, 1.0, **PLAIN))
    finally:
        fused.library.cache_clear()


def test_fork_keeps_working():
    """A process forked after a threaded scan can scan too (data loaders do)."""
    code = (
        "import os, torch; from rheobase.kernels import Rectangular, neuron_scan\n"
        "run = lambda: neuron_scan(torch.ones(2, 1 << 20), 0.5, 1.0, v_reset=None, detach_reset=True,"
        " strict=False, surrogate=Rectangular())\n"
        "run(); child = os.fork()\n"
        "if child == 0: torch.set_num_threads(1); os._exit(0 if run().shape[0] == 2 else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "2"}
    )


def test_surrogate_shape_reaches_the_kernel():
    for kind in (Rectangular(width=0.5), Sigmoid(alpha=1.0), Atan(alpha=5.0)):
        agree(drive(4, 50), torch.tensor(0.5), torch.tensor(1.0), PLAIN | {"surrogate": kind})
