"""Binary attention against the matrices of its equations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError, RecipeError
from rheobase.layers import BinaryAttention, Concat, HeadScale
from rheobase.layers.tokens import heads_of
from rheobase.neurons import NeuronConfig, build_neuron, preset

T, N, HEADS, WIDTH, SIZE = 3, 2, 2, 16, (3, 4)
L, D = 12, WIDTH // HEADS


def attention(order="qk_first", seed=0, **options):
    torch.manual_seed(seed)
    made = BinaryAttention(WIDTH, HEADS, preset("lif_sj"), order=order, **{"scale": 0.5, "T": T} | options)
    for norm in (made.q_norm, made.k_norm, made.v_norm):
        torch.nn.init.ones_(norm.bias)  # so that all of it fires
    return made.double()


def currents(seed=0, gain=3.0):
    generator = torch.Generator().manual_seed(seed)
    return gain * torch.randn(T, N, WIDTH, *SIZE, generator=generator, dtype=torch.float64)


def caught(module, x):
    """The output of the attention, and those of its layers by name."""
    seen = {}
    handles = [
        layer.register_forward_hook(lambda m, args, out, name=name: seen.update({name: out}))
        for name, layer in module.named_children()
    ]
    y = module(x)
    for handle in handles:
        handle.remove()
    return y, seen


@pytest.mark.parametrize(("order", "shape"), [("qk_first", (L, L)), ("kv_first", (D, D))])
def test_the_map_is_binary_and_the_rest_follows_its_equation(order, shape):
    module, x = attention(order), currents()
    with torch.no_grad():
        module.lam.factor.copy_(torch.rand_like(module.lam.factor) + 0.5)
    y, seen = caught(module, x)
    q, k, v = (heads_of(seen[f"{name}_neuron"], HEADS) for name in "qkv")
    first = q @ k.transpose(-2, -1) if order == "qk_first" else k.transpose(-2, -1) @ v
    fires = build_neuron(preset("lif_sj").model_copy(update={"v_reset": None}))
    binary = fires(first)
    found = heads_of(seen["map_neuron"], HEADS)
    assert found.shape == (T, N, HEADS, *shape) and torch.equal(found, binary)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    mixed = (binary @ v if order == "qk_first" else q @ binary) * 0.5 * module.lam.factor
    assert torch.equal(heads_of(seen["lam"], HEADS), mixed)
    assert y.shape == x.shape and y.unique().numel() > 100, "a current"
    assert module.attention_neuron.config.v_threshold == 0.5 and module.attention_neuron.config.v_reset == 0.0


def test_orders_agree_without_the_neuron_on_the_map_and_differ_with_it():
    for binary in (False, True):
        models = [attention(order, binary=binary) for order in ("qk_first", "kv_first")]
        models[1].load_state_dict(models[0].state_dict())
        one, two = (caught(model, currents(1))[1]["mix"] for model in models)
        assert torch.equal(one, two) != binary
        assert one.abs().sum() > 0


def test_the_neuron_of_the_map_is_soft_and_needs_an_overlap_of_two():
    neuron = attention().map_neuron
    counts = torch.tensor([1.0, 2.0, 3.0, 5.0]).view(1, 1, 4)
    assert neuron(counts).flatten().tolist() == [0, 1, 1, 1], "tau 2 halves the input: two coincidences"
    # by hand: h = 7/2, v = 5/2 after the spike; h = 5/4, v = 1/4; h = 1/8
    once = torch.tensor([7.0, 0.0, 0.0]).view(3, 1, 1)
    assert neuron(once).flatten().tolist() == [1, 1, 0], "what is beyond the threshold is kept"
    assert build_neuron(preset("lif_sj"))(once).flatten().tolist() == [1, 0, 0], "the others reset to 0"


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_factors_by_step_and_head(steps, heads, d, seed):
    layer, generator = HeadScale(heads, T=4), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.factor.copy_(torch.randn(layer.factor.shape, generator=generator))
    assert layer.factor.shape == (4, 1, heads, 1, 1)
    x = torch.randn(steps, 2, heads * d, 2, 3, generator=generator)
    assert torch.equal(heads_of(layer(x), heads), heads_of(x, heads) * layer.factor[:steps])
    per_head = HeadScale(heads)
    with torch.no_grad():
        per_head.factor.copy_(layer.factor[:1])
    assert torch.equal(per_head(x)[0], layer(x)[0])


def test_gradients_reach_every_parameter():
    for order in ("qk_first", "kv_first"):
        module = attention(order)
        module(currents()).square().sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_refusals():
    with pytest.raises(RecipeError, match="3 heads cannot share 16"):
        BinaryAttention(16, 3, NeuronConfig())
    with pytest.raises(RecipeError, match=r"qk_fist.*did you mean 'qk_first'"):
        BinaryAttention(16, 2, NeuronConfig(), order="qk_fist")
    with pytest.raises(DataError, match="factors of 2 steps"):
        HeadScale(2, T=2)(torch.zeros(3, 1, 4, 1, 1))
    with pytest.raises(DataError, match="agree in all axes but"):
        Concat()(torch.zeros(1, 1, 2, 3, 3), torch.zeros(1, 1, 2, 3, 4))
    joined = Concat()(torch.zeros(1, 1, 2, 3, 3), torch.ones(1, 1, 1, 3, 3))
    assert joined[0, 0, :, 0, 0].tolist() == [0, 0, 1]
