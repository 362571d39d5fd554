"""The sparse backward pass against the dense one, and what it counts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rheobase.kernels import EventGradient, Executed, counted, sparse, sparse_backward
from rheobase.native import compiler
from rheobase.neurons import NeuronConfig, Triangular, build_neuron

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def spikes(*shape, rate=0.2, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def backward(layer, x, mask):
    """Gradients to x and the layer's parameters under an upstream gradient that is 0 off `mask`."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return torch.autograd.grad(
        y, (x, *layer.parameters()), mask * torch.linspace(-1, 2, y.numel()).view_as(y)
    )


def agree(layer, x, mask):
    ours = []
    for context in (sparse_backward(), torch.enable_grad()):
        with context:
            ours.append(backward(layer, x, mask))
    for mine, theirs in zip(*ours, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@needs_compiler
@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 5)] * 2),
    st.integers(1, 70),
    st.integers(1, 20),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.booleans(),
)
def test_linear(leading, n, m, rate, active, bias):
    torch.manual_seed(0)
    layer = nn.Linear(n, m, bias=bias)
    agree(layer, spikes(*leading, n, rate=rate) * 1.5, spikes(*leading, m, rate=active, seed=1))


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(4, 7), st.integers(4, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 2),
    st.integers(0, 2),
)
def test_convolution(channels, outputs, size, kernel, stride, padding):
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, outputs, kernel, stride=stride, padding=padding)
    x = spikes(3, channels, *size)
    agree(layer, x, spikes(*layer(x).shape, rate=0.3, seed=1))


@needs_compiler
def test_threads_and_blocks_of_rows():
    """More rows than a block, more columns than a thread's grain."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        agree(nn.Linear(700, 333), spikes(211, 700), spikes(211, 333, rate=0.3, seed=1))
    finally:
        torch.set_num_threads(before)


@needs_compiler
def test_counts_by_hand():
    """Rows with 2 and 1 of 3 spikes, errors at 1 and 2 of 4 outputs: 2*1 + 1*2 pairs, 3 errors of 3 inputs each.

    So few errors are no reason to visit pairs: 3 spikes meet all 4 outputs.
    """
    layer, x = nn.Linear(3, 4), torch.tensor([[1.0, 0, 1], [0, 1, 0]], requires_grad=True)
    delta = torch.tensor([[0, 5.0, 0, 0], [1, 0, 0, -1]])
    with sparse_backward(), counted() as work:
        layer(x).backward(delta)
    assert work == Executed(3 * 4, 3 * 3, 4, lanes=(0, 9, 12), dense=(2 * 12, 2 * 12, 2 * 12))
    assert work.picojoules(1, 10, 100) == 12 + 90 + 400


@needs_compiler
def test_dense_errors_of_few_outputs_count_what_is_active():
    """Every output errs: products are dense, operations those of 2 + 1 active inputs and of 4 errors."""
    layer, x = nn.Linear(3, 2), torch.tensor([[1.0, 0, 1], [0, 1, 0]], requires_grad=True)
    with sparse_backward(), counted() as work:
        layer(x).backward(torch.tensor([[3.0, 5.0], [1, -1]]))
    assert work == Executed(3 * 2, 4 * 3, 3 * 2, lanes=(0, 12, 12), dense=(12, 12, 12))


@needs_compiler
@pytest.mark.parametrize("active", [0.005, 0.3])
def test_rare_and_frequent_errors(active):
    """Both ways to the weights, over several blocks of rows and of outputs; spikes that are not 1."""
    layer, x, mask = nn.Linear(37, 75), spikes(600, 37) * 2, spikes(600, 75, rate=active, seed=1)
    agree(layer, x, mask)
    with sparse_backward(), counted() as work:
        layer(x).backward(mask)
    assert (work.lanes[2] == work.updates) == (active < 1 / 24)


@needs_compiler
def test_counts_of_a_convolution():
    """One spike in the middle of 3x3 is seen by four 2x2 windows; errors at two of the four positions."""
    layer, x = nn.Conv2d(1, 1, 2, bias=False), torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1.0
    with sparse_backward(), counted() as work:
        layer(x.requires_grad_()).backward(torch.tensor([[[[1.0, 0], [0, 2.0]]]]))
    assert work == Executed(4, 2 * 4, 2, lanes=(0, 8, 4), dense=(16, 16, 16))
    assert layer.weight.grad.flatten().tolist() == [2.0, 0.0, 0.0, 1.0]


def test_what_is_left_alone():
    x = spikes(4, 6)
    with sparse_backward(), counted() as work:
        nn.Linear(6, 3).double()(x.double()).sum().backward()
        F.conv2d(x.view(1, 2, 3, 4), torch.ones(2, 1, 2, 2, requires_grad=True), groups=2).sum().backward()
        with torch.no_grad():
            nn.Linear(6, 3)(x)
    assert work == Executed()
    with counted() as work:
        nn.Linear(6, 3)(x).sum().backward()
    assert work == Executed()


def test_without_a_compiler_dense(monkeypatch):
    monkeypatch.setattr(sparse, "library", lambda: None)
    agree(nn.Linear(5, 4), spikes(3, 5), spikes(3, 4, seed=1))


@needs_compiler
def test_events_save_an_order_of_magnitude():
    """A hidden layer between two, rates below a fifth: updates at least ten times below the time-step surrogate."""
    torch.manual_seed(0)
    work = {}
    for name, gradient in (("event", EventGradient()), ("full", None)):
        neuron = NeuronConfig(v_reset=0.0, detach_reset=True, surrogate=Triangular(), gradient=gradient)
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(50, 80), build_neuron(neuron), nn.Linear(80, 80), build_neuron(neuron), nn.Linear(80, 4)
        )
        nn.init.normal_(net[2].weight, std=0.4)
        with sparse_backward(), counted() as work[name]:
            hidden = net[:4](spikes(6, 16, 50, rate=0.3) * 3)
            hidden.sum().backward()
        assert 0.02 < hidden.mean() < 0.2
    assert work["event"].dense == work["full"].dense
    assert work["event"].updates * 10 <= work["event"].dense[2]
    assert work["event"].errors * 4 <= work["event"].dense[1]
    assert work["event"].updates < work["full"].updates < work["full"].dense[2]
