"""Attention on maps: every layer against its equation on tokens, both orders, gradients, and what a trace sees."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rheobase.compression.graph import trace
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, SpikingSelfAttention
from rheobase.layers.attention import (
    MaskedAttention,
    QKAttention,
    RepAttention,
    WideAttention,
    choose_order,
    masked_attention,
    qk_attention,
    spike_attention,
)
from rheobase.layers.attention.driven import RepConv, TokenErode
from rheobase.layers.attention.spiking import ORDERS
from rheobase.layers.tokens import heads_of, map_of
from rheobase.neurons import NeuronConfig, lif

NEURON = NeuronConfig(v_reset=0.0, detach_reset=True)
OPTIONS = {"tau": 2.0, "v_reset": 0.0, "detach_reset": True}
SIZE = (3, 4)


def spikes(*shape, rate=0.3, seed=0, dtype=torch.float64):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


def made(kind, *arguments, seed=0, **options):
    """A layer in float64 with uneven batch-norms, in evaluation mode."""
    torch.manual_seed(seed)
    layer = kind(*arguments, **options).double().eval()
    for module in layer.modules():
        if isinstance(module, BatchNorm2d):
            for tensor, (low, high) in (
                (module.weight, (2, 4)),
                (module.bias, (0, 1)),
                (module.running_mean, (-0.2, 0.2)),
            ):
                nn.init.uniform_(tensor, low, high)
    return layer


def fire(x, threshold=0.5):
    """The neuron after the products, on tokens."""
    return lif(x, v_threshold=threshold, **OPTIONS)


def slow(q, k, v, scale):
    """Spikformer's eq. 6, written out for one head: y_i = scale * sum_j (q_i . k_j) v_j."""
    y = torch.zeros_like(v)
    for i in range(len(q)):
        for j in range(len(k)):
            y[i] += scale * sum(q[i, c] * k[j, c] for c in range(q.shape[1])) * v[j]
    return y


# -- products


@pytest.mark.parametrize("order", ORDERS)
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
    assert SpikingSelfAttention(2 * width, 2, NEURON, tokens=tokens).products.order == order
    sizes = []
    real = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: sizes.append(real(a, b)) or sizes[-1])
    spike_attention(*spikes(3, tokens, width), 0.125)
    assert sizes[0].shape == ((width, width) if order == "linear" else (tokens, tokens))


def test_the_products_pass_gradcheck():
    for order in ("linear", "quadratic"):
        qkv = torch.randn(3, 2, 4, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, order=order: spike_attention(*x, 0.5, order), (qkv,))


# -- layers against the functions on tokens


@pytest.mark.parametrize("neuron_first", [False, True])
@pytest.mark.parametrize("order", ["linear", "quadratic"])
def test_spiking_self_attention(order, neuron_first):
    layer = made(SpikingSelfAttention, 12, 3, NEURON, order=order, neuron_first=neuron_first)
    x = spikes(4, 2, 12, *SIZE, rate=0.5) * (2 if neuron_first else 1)
    s = lif(x, **OPTIONS) if neuron_first else x
    q, k, v = (heads_of(each(s), 3) for each in (layer.q, layer.k, layer.v))
    attended = map_of(fire(spike_attention(q, k, v, 0.125)), SIZE)
    assert 0.02 < attended.mean() < 0.98
    assert torch.equal(layer(x), layer.out(attended))
    assert (set(layer(x).unique().tolist()) == {0.0, 1.0}) != neuron_first


@pytest.mark.parametrize("over", ["token", "channel"])
def test_qk_attention(over):
    layer = made(QKAttention, 12, 3, NEURON, over=over)
    x = spikes(4, 2, 12, *SIZE, rate=0.5)
    q, k = heads_of(layer.q(x), 3), heads_of(layer.k(x), 3)
    kept = qk_attention(q, k, fire, over)
    assert 0 < kept.mean() < k.mean()
    assert torch.equal(layer(x), layer.out(map_of(kept, SIZE)))
    # keys masked: a token (or channel) passes whole or not at all
    axis = -1 if over == "token" else -2
    assert bool(((kept == k).all(axis) | (kept == 0).all(axis)).all())


@pytest.mark.parametrize("erode", ["off", "spatial", "tokens"])
def test_masked_attention(erode):
    layer = made(MaskedAttention, 12, 3, NEURON, erode=erode)
    x = 2 * spikes(4, 2, 12, *SIZE, rate=0.2)
    s = lif(x, **OPTIONS)
    q, k, v = (heads_of(each(s), 3) for each in (layer.q, layer.k, layer.v))
    if erode == "off":
        kept = masked_attention(q, k, v, fire)
        assert bool(((kept == q).all(-2) | (kept == 0).all(-2)).all()), "queries masked by channel"
    else:
        assert (layer.k.spikes(s) <= layer.k(s)).all() and layer.k(s).mean() > layer.k.spikes(s).mean()

        def spread(tokens):
            if erode == "tokens":
                return nn.functional.max_pool2d(tokens.flatten(0, 1), 3, 1, 1).reshape(tokens.shape)
            pooled = nn.functional.max_pool2d(map_of(tokens, SIZE).flatten(0, 1), 3, 1, 1)
            return heads_of(pooled.reshape(4, 2, 12, *SIZE), 3)

        kept = spread(fire(spread(k * v).sum(-2, keepdim=True)) * q)
    assert torch.equal(layer(x), layer.out(map_of(kept, SIZE)))


def test_erosion_by_tokens_is_over_neighbouring_tokens_and_entries_of_a_head():
    x = torch.zeros(1, 1, 6, 2, 3)
    x[0, 0, 1, 0, 2] = 1  # head 0 of 2, entry 1, token 2
    y = heads_of(TokenErode(2)(x), 2)[0, 0]
    assert y[0].nonzero().tolist() == [[t, c] for t in (1, 2, 3) for c in (0, 1, 2)] and not y[1].any()


def test_attention_with_reparametrised_projections():
    layer = made(RepAttention, 12, 3, NEURON, order="linear")
    x = 2 * spikes(4, 2, 12, *SIZE, rate=0.5)
    s = lif(x, **OPTIONS)
    q, k, v = (heads_of(each(s), 3) for each in (layer.q, layer.k, layer.v))
    attended = map_of(fire(spike_attention(q, k, v, 0.125)), SIZE)
    assert 0.02 < attended.mean() < 0.98
    assert torch.equal(layer(x), layer.out(attended))


def test_a_rep_conv_is_one_convolution_of_a_border_of_zeros():
    """No neuron stands between its parts, so it folds: impulses give the kernel, and the sum over them gives the layer."""
    layer = made(RepConv, 3)
    offset = layer(torch.zeros(1, 1, 3, 5, 5).double())
    kernel = torch.stack(
        [
            layer(nn.functional.one_hot(torch.tensor(i * 25 + 12), 75).reshape(1, 1, 3, 5, 5).double())
            - offset
            for i in range(3)
        ]
    )[:, 0, 0, :, 1:4, 1:4]  # [in, out, 3, 3]
    x = torch.randn(2, 1, 3, 5, 5, dtype=torch.float64)
    folded = nn.functional.conv2d(x[:, 0], kernel.transpose(0, 1).flip(2, 3), padding=1)
    torch.testing.assert_close(layer(x)[:, 0], folded + offset[0])
    assert torch.equal(offset, offset[..., :1, :1].expand_as(offset)), "the border is what a zero inside is"


def test_wide_attention():
    layer = made(WideAttention, 8, 2, order="linear")
    x = torch.randn(2, 2, 8, *SIZE, dtype=torch.float64).mul(3)
    s = layer.neuron(x)
    q, k, v = (heads_of(each(s), 2) for each in (layer.q, layer.k, layer.v))
    assert v.shape[-1] == 4 * q.shape[-1] == 16
    mixed = map_of(spike_attention(q, k, v, 2 / 4**0.5), SIZE)
    attended = mixed.clamp(0, 4).round() / 4
    assert 0 < attended.mean() < 1
    torch.testing.assert_close(layer(x), layer.out(attended))


# -- what all keep

LAYERS = {
    "ssa": (SpikingSelfAttention, {"order": "linear"}),
    "ssa quadratic": (SpikingSelfAttention, {"order": "quadratic"}),
    "qk token": (QKAttention, {"over": "token"}),
    "qk channel": (QKAttention, {"over": "channel"}),
    "sdsa v1": (MaskedAttention, {}),
    "sdsa v1 eroded": (MaskedAttention, {"erode": "tokens"}),
    "sdsa v2": (RepAttention, {"order": "linear"}),
}
named = pytest.mark.parametrize("name", LAYERS)


@named
def test_no_time_step_sees_a_later_one(name):
    kind, options = LAYERS[name]
    layer = made(kind, 12, 3, NEURON, **options)
    x = 2 * spikes(4, 2, 12, *SIZE)
    assert torch.equal(layer(x)[:2], layer(torch.cat([x[:2], 2 - x[2:]]))[:2])


@named
def test_a_trace_sees_leaves_and_nothing_else(name):
    kind, options = LAYERS[name]
    layer = made(kind, 12, 3, NEURON, **options)
    graph = trace(layer)
    assert {node.op for node in graph.nodes} == {"placeholder", "call_module", "output"}
    assert all(
        isinstance(each, torch.fx.Node)
        for node in graph.nodes
        if node.op == "call_module"
        for each in node.args
    )
    x = 2 * spikes(2, 1, 12, *SIZE)
    assert torch.equal(torch.fx.GraphModule(layer, graph)(x), layer(x))


@pytest.mark.parametrize("name", ["qk token", "qk channel", "sdsa v1", "sdsa v1 eroded"])
def test_masks_form_no_matrix_of_tokens_by_tokens(name):
    kind, options = LAYERS[name]
    layer, sizes = made(kind, 12, 3, NEURON, **options), []
    for module in layer.modules():
        module.register_forward_hook(lambda module, args, y: sizes.append(y[0, 0].numel()))
    layer(spikes(2, 1, 12, 12, 12))
    assert max(sizes) == 12 * 144 < 144 * 144


def test_orders_train_alike():
    x = spikes(4, 2, 12, *SIZE, dtype=torch.float32)
    upstream = torch.randn(4, 2, 12, *SIZE, generator=torch.Generator().manual_seed(1))
    results = []
    for order in ("linear", "quadratic"):
        layer, leaf = (
            made(SpikingSelfAttention, 12, 3, NEURON, order=order, scale=0.5),
            x.clone().requires_grad_(),
        )
        y = layer.float().train()(leaf)
        y.backward(upstream)
        results.append([y, leaf.grad, *(parameter.grad for parameter in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert all(bool(grad.abs().sum() > 0) for grad in results[0][1:])


def test_mistakes():
    for kind in (SpikingSelfAttention, QKAttention, MaskedAttention, RepAttention):
        with pytest.raises(RecipeError, match="5 heads cannot share a width of 12 evenly"):
            kind(12, 5, NEURON)
        with pytest.raises(RecipeError, match="0 heads cannot"):
            kind(12, 0, NEURON)
    with pytest.raises(RecipeError, match="unknown order of attention 'quadratik'; did you mean 'quadratic'"):
        SpikingSelfAttention(12, 3, order="quadratik")
    with pytest.raises(RecipeError, match="unknown order of attention 'fast'"):
        spike_attention(*spikes(3, 4, 4), 1.0, "fast")
    with pytest.raises(RecipeError, match=r"give tokens=H\*W"):
        SpikingSelfAttention(12, 3)
    with pytest.raises(RecipeError, match="unknown QK attention 'tokens'; did you mean 'token'"):
        QKAttention(12, 3, NEURON, over="tokens")
