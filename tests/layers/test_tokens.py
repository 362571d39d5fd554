"""Maps as tokens: each layer against the matrices of its equation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import DataError, RecipeError
from rheobase.layers import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.layers.tokens import heads_of, map_of

sizes = st.tuples(*[st.integers(1, 4)] * 5)  # heads, d, H, W, N


def spikes(*shape, seed=0):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5).double()


@given(sizes)
def test_a_map_is_a_matrix_of_tokens_for_each_head(size):
    heads, d, height, width, n = size
    x = torch.randn(3, n, heads * d, height, width)
    tokens = heads_of(x, heads)
    assert tokens.shape == (3, n, heads, height * width, d)
    assert tokens[-1, -1, -1, width - 1, d - 1] == x[-1, -1, heads * d - 1, 0, width - 1]
    assert torch.equal(map_of(tokens, (height, width)), x)
    assert torch.equal(HeadSum(heads)(x), map_of(tokens.sum(-1, keepdim=True), (height, width)))


@given(sizes)
def test_products_of_maps_are_those_of_matrices(size):
    heads, d, height, width, n = size
    q, k, v = (spikes(2, n, heads * d, height, width, seed=i) for i in range(3))
    Q, K, V = (heads_of(x, heads) for x in (q, k, v))
    attention = HeadMatMul(heads, "second")(q, k)
    memory = HeadMatMul(heads, "first")(k, v)
    assert attention.shape == (2, n, heads * height * width, height, width)
    assert memory.shape == (2, n, heads * d, d, 1)
    assert torch.equal(heads_of(attention, heads), Q @ K.transpose(-2, -1))
    assert torch.equal(heads_of(memory, heads), K.transpose(-2, -1) @ V)
    both = HeadMatMul(heads)(attention, v), HeadMatMul(heads)(q, memory)
    assert torch.equal(both[0], both[1]) and torch.equal(
        heads_of(both[0], heads), Q @ K.transpose(-2, -1) @ V
    )


@given(sizes)
def test_gates_of_tokens_and_of_channels(size):
    heads, d, height, width, n = size
    x = torch.randn(2, n, heads * d, height, width)
    tokens, channels = torch.randn(2, n, heads, height, width), MapSum()(x)
    assert torch.equal(channels, x.sum((3, 4))[..., None, None])
    assert torch.equal(heads_of(Gate()(tokens, x), heads), heads_of(x, heads) * heads_of(tokens, heads))
    assert torch.equal(Gate()(channels, x), channels * x)


def test_shapes_that_do_not_go_together_are_refused():
    x = torch.zeros(2, 1, 6, 2, 3)
    for wrong in (
        lambda: HeadSum(4)(x),
        lambda: Gate()(torch.zeros(2, 1, 4, 2, 3), x),
        lambda: Gate()(torch.zeros(2, 1, 3, 3, 2), x),
        lambda: HeadMatMul(2)(x, x),
        lambda: HeadMatMul(4, "first")(x, x),
    ):
        with pytest.raises(DataError):
            wrong()
    for wrong in (lambda: HeadMatMul(2, "left"), lambda: HeadSum(0), lambda: Scale(0.0)):
        with pytest.raises(RecipeError):
            wrong()
    assert torch.equal(Scale(0.125)(x + 8), x + 1)
