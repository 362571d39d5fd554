"""Spiking self-attention: both orders, the merged projection, gradients, and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError, RecipeError
from rheobase.layers import attention
from rheobase.layers.attention import BatchNormLast, SpikingSelfAttention, choose_order, spike_attention
from rheobase.neurons import NeuronConfig, lif

NEURON = NeuronConfig(v_reset=0.0, detach_reset=True)


def spikes(*shape, rate=0.3, seed=0, dtype=torch.float64):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


def layer(width=12, heads=3, seed=0, **options):
    torch.manual_seed(seed)
    return SpikingSelfAttention(width, heads, NEURON, **options)


def slow(q, k, v, scale):
    """Spikformer's eq. 6, written out for one head: y_i = scale * sum_j (q_i . k_j) v_j."""
    y = torch.zeros_like(v)
    for i in range(len(q)):
        for j in range(len(k)):
            y[i] += scale * sum(q[i, c] * k[j, c] for c in range(q.shape[1])) * v[j]
    return y


@pytest.mark.parametrize("order", attention.ORDERS)
def test_each_order_is_the_equation(order):
    q, k, v = (spikes(5, 3, seed=seed) for seed in range(3))
    torch.testing.assert_close(spike_attention(q, k, v, 0.125, order), slow(q, k, v, 0.125), rtol=0, atol=0)


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 99),
)
def test_orders_give_the_same_numbers_for_spikes(tokens, width, dtype, seed):
    q, k, v = spikes(3, 2, 4, tokens, width, seed=seed, dtype=dtype)
    linear, quadratic = (spike_attention(q, k, v, 0.125, order) for order in ("linear", "quadratic"))
    assert torch.equal(linear, quadratic)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_orders_are_close_for_any_numbers(dtype, tolerance):
    q, k, v = torch.randn(3, 2, 50, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    linear, quadratic = (spike_attention(q, k, v, 0.3, order) for order in ("linear", "quadratic"))
    torch.testing.assert_close(linear, quadratic, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("tokens", "width", "order"), [(196, 32, "linear"), (32, 32, "linear"), (16, 32, "quadratic")]
)
def test_the_cheaper_order_is_chosen(tokens, width, order, monkeypatch):
    assert choose_order(tokens, width) == order
    sizes = []
    real = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: sizes.append(real(a, b)) or sizes[-1])
    spike_attention(*spikes(3, tokens, width), 0.125)
    assert sizes[0].shape == ((width, width) if order == "linear" else (tokens, tokens))


def test_the_products_pass_gradcheck():
    for order in ("linear", "quadratic"):
        qkv = torch.randn(3, 2, 4, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, order=order: spike_attention(*x, 0.5, order), (qkv,))


@pytest.mark.parametrize("training", [True, False])
def test_one_projection_is_three_separate_ones(training):
    block = layer().double().train(training)
    with torch.no_grad():
        for norm in (block.qkv_norm, block.out_norm):
            norm.weight.uniform_(0.5, 2)
            norm.bias.uniform_(-1, 1)
            norm.running_mean.uniform_(-1, 1)
    x = spikes(4, 2, 7, 12)
    options = {"tau": 2.0, "v_reset": 0.0, "detach_reset": True}

    def project(rows):
        norm = block.qkv_norm
        part = BatchNormLast(12).double().train(training)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(part, name).data.copy_(getattr(norm, name)[rows])
        return lif(part(x @ block.qkv.weight[rows].T), **options)

    q, k, v = (project(slice(12 * i, 12 * i + 12)) for i in range(3))
    heads = [spike_attention(*(z[..., 4 * h : 4 * h + 4] for z in (q, k, v)), 0.125) for h in range(3)]
    attended = lif(torch.cat(heads, -1), v_threshold=0.5, **options)
    expected = lif(block.out_norm(attended @ block.out.weight.T), **options)
    y = block(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    assert 0 < float(y.detach().mean()) < 1


def test_the_layer_gives_spikes_for_any_order_and_the_same_gradients():
    x = spikes(4, 2, 9, 12, dtype=torch.float32)
    upstream = torch.randn(4, 2, 9, 12, generator=torch.Generator().manual_seed(1))
    results = []
    for order in attention.ORDERS:
        block, leaf = layer(order=order, scale=0.5), x.clone().requires_grad_()
        y = block(leaf)
        y.backward(upstream)
        assert set(y.unique().tolist()) == {0.0, 1.0}
        results.append([y, leaf.grad, *(parameter.grad for parameter in block.parameters())])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert all(bool(grad.abs().sum() > 0) for grad in results[0][1:])


def test_no_time_step_sees_a_later_one():
    block = layer().eval()
    x = spikes(4, 2, 9, 12, dtype=torch.float32)
    later = torch.cat([x[:2], 1 - x[2:]])
    assert torch.equal(block(x)[:2], block(later)[:2])


def test_batch_norm_is_torchs_over_the_last_axis():
    mine, theirs = BatchNormLast(6), torch.nn.BatchNorm1d(6)
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    y = theirs(x.permute(1, 3, 0, 2).reshape(3, 6, 20)).reshape(3, 6, 4, 5).permute(2, 0, 3, 1)
    torch.testing.assert_close(mine(x), y)
    torch.testing.assert_close(mine.running_var, theirs.running_var)


def test_mistakes():
    with pytest.raises(RecipeError, match="5 heads cannot share a width of 12 evenly"):
        SpikingSelfAttention(12, 5)
    with pytest.raises(RecipeError, match="0 heads cannot"):
        SpikingSelfAttention(12, 0)
    with pytest.raises(RecipeError, match="unknown order of attention 'quadratik'; did you mean 'quadratic'"):
        SpikingSelfAttention(12, 3, order="quadratik")
    with pytest.raises(RecipeError, match="unknown order of attention 'fast'"):
        spike_attention(*spikes(3, 4, 4), 1.0, "fast")
    for shape in ((4, 2, 12), (4, 2, 9, 11), (4, 2, 12, 3, 3)):
        with pytest.raises(DataError, match=r"takes \[T, N, L, 12\], got .*flatten\(3\)"):
            layer()(torch.zeros(shape))


def test_it_says_what_it_is():
    assert "12, heads=3, scale=0.125, order=auto" in repr(layer())
