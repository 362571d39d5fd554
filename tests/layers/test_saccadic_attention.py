"""Saccadic attention: the identities behind its linear cost, its modes, its memory, and what it is made of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rheobase.compression.graph import trace
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d
from rheobase.layers.attention.saccadic import (
    SaccadicSelfAttention,
    cross_attention,
    v1_ref,
    v2a,
    v2b,
)
from rheobase.layers.tokens import heads_of, map_of
from rheobase.neurons import NeuronConfig, preset
from rheobase.neurons.saccadic import SaccadicConfig, lif_mixing, saccade

NEURON = preset("lif_sj")
LIVELY = NeuronConfig(tau=2.0, v_threshold=0.5, v_reset=0.0, decay_input=True, detach_reset=True)
shapes = st.tuples(*[st.integers(1, 5)] * 5, st.integers(0, 10_000))  # T, N, heads, L, d, seed


def spikes(*shape, rate=0.4, seed=0, dtype=torch.float32):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


def random_matrix(t, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(t, t, generator=g).tril(-1) + torch.rand(t, generator=g).add(0.2).diag()


@given(shapes)
def test_salience_is_the_row_sum_of_a_matrix_of_rank_one(shape):
    *size, seed = shape
    q, k = spikes(*size, seed=seed), spikes(*size, seed=seed + 1)
    attention = cross_attention(q, k)
    pairs = torch.einsum("tnhli,tnhmj->tnhlm", q, k)  # all pairs of bits of two tokens
    assert torch.equal(attention, pairs)
    assert torch.equal(attention.sum(-1), q.sum(-1) * k.sum((-2, -1))[..., None])


def test_cross_attention_is_no_product_of_matrices():
    q, k = spikes(2, 1, 1, 4, 3), spikes(2, 1, 1, 4, 3, seed=1)
    assert not torch.equal(cross_attention(q, k), q @ k.mT)


@given(shapes)
def test_linear_cost_is_the_definition_to_the_last_bit(shape):
    *size, seed = shape
    q, k = spikes(*size, seed=seed), spikes(*size, seed=seed + 1)
    m, ones = random_matrix(size[0], seed), torch.ones_like(q)
    threshold = torch.rand(size[0], generator=torch.Generator().manual_seed(seed)) / 4
    gates = v2a(q, k, ones, m, threshold)
    assert torch.equal(gates, v1_ref(q, k, ones, m, threshold))
    v = spikes(*size, seed=seed + 2)
    assert torch.equal(v2a(q, k, v, m, threshold), gates * v)


@given(shapes)
def test_norm_of_the_rate_is_absorbed_by_the_threshold(shape):
    """A power of two for L d^2: scaling is then exact."""
    t, n, heads, _, _, seed = shape
    q, k, v = (spikes(t, n, heads, 4, 8, seed=seed + i) for i in range(3))
    m, threshold = lif_mixing(t, 2.0).float(), torch.full((t,), 0.1)
    counts = q.sum(-1) * k.sum((-2, -1))[..., None]
    assert torch.equal(saccade(counts, m, threshold * 256)[..., None] * v, v2a(q, k, v, m, threshold))


def test_without_keys_it_is_the_definition_where_keys_are_constant():
    q, v = spikes(4, 3, 2, 16, 8), spikes(4, 3, 2, 16, 8, seed=1)
    m, threshold = lif_mixing(4, 2.0).float(), torch.full((4,), 3 / 64)
    constant = torch.zeros_like(q)
    constant[..., :2] = 1  # a quarter of the bits of every token
    alpha = torch.full((2,), 0.25)
    assert torch.equal(v2b(q, v, m, threshold, alpha), v1_ref(q, constant, v, m, threshold))
    varying = constant * torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None, None, None, None]
    differs = v2b(q, v, m, threshold, alpha) != v1_ref(q, varying, v, m, threshold)
    assert float(differs.float().mean()) > 0.01


def test_raw_counts_saturate_the_gate():
    """Up to L d^2: at V = 1 nearly all tokens pass, with rates and their median about half."""
    q, k = spikes(4, 2, 2, 64, 16, rate=0.2), spikes(4, 2, 2, 64, 16, rate=0.2, seed=1)
    counts = q.sum(-1) * k.sum((-2, -1))[..., None]
    assert float(saccade(counts, lif_mixing(4, 2.0).float(), torch.ones(4)).mean()) > 0.95


# --- the module

MODES = [
    {"mode": "v2a"},
    {"mode": "v2b"},
    {"salience_norm": "bn"},
    {"salience_norm": "none"},
    {"memory_gate": "lif", "salience_norm": "bn"},
    {"saccadic": SaccadicConfig(sharing="head")},
]


def attention(width=8, heads=2, t=4, tokens=20, neuron=LIVELY, seed=0, **options):
    torch.manual_seed(seed)
    made = SaccadicSelfAttention(width, heads, t, neuron, tokens=tokens, **options)
    for module in made.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0  # statistics of the last batch
    return made


def parts(module, x):
    """What the inner layers gave during a call."""
    found = {}
    handles = [
        getattr(module, name).register_forward_hook(lambda m, i, o, name=name: found.update({name: o}))
        for name in ("query", "value", "saccade", "look")
    ]
    if hasattr(module, "key"):
        handles.append(module.key.register_forward_hook(lambda m, i, o: found.update(key=o)))
    y = module(x)
    for handle in handles:
        handle.remove()
    return found, y


@pytest.mark.parametrize("mode", ["v2a", "v2b"])
@pytest.mark.parametrize("training", [True, False])
def test_on_maps_it_is_the_equation_on_tokens(mode, training):
    made = attention(mode=mode)
    x = spikes(4, 3, 8, 4, 5)
    made(x)
    found, y = parts(made.train(training), x)
    q, v = (heads_of(found[name], 2) for name in ("query", "value"))
    m, threshold = made.saccade.mixing_matrix(), made.saccade.thresholds()
    if mode == "v2a":
        expected = v1_ref(q, heads_of(found["key"], 2), v, m, threshold)
    else:
        one = torch.ones(2)
        expected = v2b(q, v, m, made.saccade.start + made.saccade.unit * made.saccade.threshold, one)
    assert torch.equal(found["look"], map_of(expected, (4, 5)))
    assert bool(found["look"].any())
    if not training:
        assert torch.equal(y, made.out_norm(made.out(found["look"])))


@pytest.mark.parametrize("options", MODES)
def test_what_passes_are_spikes_and_what_does_not_is_zero(options):
    made, x = attention(**options), spikes(4, 3, 8, 4, 5)
    found, y = parts(made, x)
    assert y.shape == x.shape
    assert set(found["look"].unique().tolist()) == {0.0, 1.0}
    shut = (found["saccade"] == 0).repeat_interleave(4, dim=2)
    assert bool(shut.any()) and not bool(found["look"][shut].any())
    assert torch.equal(found["look"][~shut], found["value"][~shut])
    if "memory_gate" not in options:
        assert 0.3 <= float(found["saccade"].detach().mean()) <= 0.7


@pytest.mark.parametrize("options", MODES)
def test_gradients_reach_everything(options):
    made = attention(**options)
    x = spikes(4, 6, 8, 4, 5).requires_grad_()
    y = made(x)
    (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    named = {name: p.grad for name, p in made.named_parameters()} | {"x": x.grad}
    for name, grad in named.items():
        assert grad is not None and bool(grad.isfinite().all()) and bool(grad.any()), name
    assert ("saccade.alpha" in named) == (options.get("mode") == "v2b")
    assert ("key.conv.weight" in named) == (options.get("mode") != "v2b")


@pytest.mark.parametrize("options", MODES)
def test_in_evaluation_no_step_sees_a_later_one_and_fewer_steps_will_do(options):
    made, x = attention(**options), spikes(4, 3, 8, 4, 5)
    made(x)
    made.eval()
    y = made(x)
    later = torch.cat([x[:2], 1 - x[2:]])
    assert torch.equal(made(later)[:2], y[:2])
    assert torch.equal(made(x[:3]), y[:3])


def test_a_norm_of_the_salience_is_folded_before_the_decoupled_rule():
    """On y = a P + b the rule is `y >= M^-1 V`, so `P >= a^-1 (M^-1 V - b)`: one threshold for each head."""
    made = attention(salience_norm="bn", saccadic=SaccadicConfig(infer="decoupled"))
    x = spikes(4, 3, 8, 4, 5)
    made(x)
    made.eval()
    with torch.no_grad():
        found, _ = parts(made, x)
        norm, neuron = made.norm, made.saccade
        a = norm.weight / (norm.running_var + norm.eps).sqrt()
        b = norm.bias - a * norm.running_mean
        folded = torch.linalg.inv(neuron.mixing_matrix()) @ neuron.thresholds()
        counts = made.weigh(made.all_keys(made.key_sum(found["key"])), made.query_sum(found["query"]))
        limit = (folded[:, None] - b) / a  # [T, heads]
        assert torch.equal(found["saccade"], (counts >= limit[:, None, :, None, None]).float())


# --- cost


class Allocations(TorchDispatchMode):
    """Elements of the largest tensor that any operation gives."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor):
                self.largest = max(self.largest, each.untyped_storage().nbytes() // each.element_size())
        return out


def largest(run, side):
    x = [spikes(2, 1, 8, side, side, seed=i).requires_grad_() for i in range(3)]
    with Allocations() as seen:
        run(*x).sum().backward()
    return seen.largest


@pytest.mark.parametrize("mode", ["v2a", "v2b"])
def test_no_matrix_of_tokens_by_tokens_is_ever_made(mode):
    m, threshold = lif_mixing(2, 2.0).float(), torch.full((2,), 0.1)

    def saccadic(q, k, v):
        made = attention(width=8, t=2, tokens=q.shape[-1] ** 2, mode=mode)
        return made(q) + made(k) + made(v)

    def reference(q, k, v):
        return v1_ref(*(heads_of(x, 2) for x in (q, k, v)), m, threshold)

    sizes = [largest(saccadic, side) for side in (16, 32)]
    assert sizes[1] == 4 * sizes[0]
    assert sizes[1] <= 8 * 2 * 8 * 32**2  # a few maps
    assert largest(reference, 16) >= 2 * 2 * 256**2  # the meter sees what should not be


def test_it_is_made_of_leaf_layers():
    made = attention()
    graph = trace(made)
    assert {node.op for node in graph.nodes} == {"placeholder", "call_module", "output"}
    leaves = {name for name, m in made.named_modules() if not list(m.children())}
    assert {str(node.target) for node in graph.nodes if node.op == "call_module"} == leaves


def test_mistakes():
    with pytest.raises(RecipeError, match="3 heads cannot share a width of 8 evenly"):
        attention(heads=3)
    with pytest.raises(RecipeError, match="unknown mode of saccadic attention 'v2c'; did you mean 'v2"):
        attention(mode="v2c")
    with pytest.raises(RecipeError, match="unknown norm of the salience 'layer'"):
        attention(salience_norm="layer")
    with pytest.raises(RecipeError, match="unknown memory gate 'plif'; did you mean 'lif'"):
        attention(memory_gate="plif")
    with pytest.raises(
        RecipeError, match=r"memory_gate 'lif' has a fixed threshold.*give salience_norm='bn'"
    ):
        attention(memory_gate="lif")
