"""search_bits: the knapsack against all choices, the budget, what is measured, and what is left alone."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.compression import (
    LibraConfig,
    LSQConfig,
    QuantConfig,
    ReScaWConfig,
    quantise_,
    quantisers,
    search_bits,
    weight_bytes,
)
from rheobase.compression.search import knapsack
from rheobase.errors import LatticeError, RecipeError
from rheobase.models import create_model
from rheobase.training.loader import ArrayFrames

RNG = np.random.default_rng(0)
DATA = ArrayFrames(RNG.poisson(0.5, (40, 2, 2, 16, 16)).astype(np.uint8), RNG.integers(0, 4, 40))


def small():
    torch.manual_seed(0)
    return create_model("vgg_small", num_classes=4, in_channels=2, input_size=(16, 16), width=0.5).eval()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([1, 2, 4, 8]), st.tuples(st.integers(0, 20), st.integers(-9, 30)), min_size=1
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 60),
)
def test_knapsack_is_the_best_of_all_choices(layers, budget):
    cost = {str(i): {b: c for b, (c, _) in options.items()} for i, options in enumerate(layers)}
    rise = {str(i): {b: float(r) for b, (_, r) in options.items()} for i, options in enumerate(layers)}
    choices = [
        dict(zip(cost, bits, strict=True)) for bits in itertools.product(*(cost[name] for name in cost))
    ]
    fits = [c for c in choices if sum(cost[name][b] for name, b in c.items()) <= budget]
    found = knapsack(rise, cost, budget)
    if not fits:
        assert found is None
        return
    assert found in fits
    best = min(sum(rise[name][b] for name, b in c.items()) for c in fits)
    assert sum(rise[name][b] for name, b in found.items()) == best


def test_found_widths_fit_the_budget_and_go_to_quantise():
    model = small()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    widest = weight_bytes(quantise_(small(), QuantConfig(weights=ReScaWConfig(bits=8))))
    found = search_bits(model, DATA, widest // 2)
    assert list(found.bits) == ["features.conv2", "features.conv3", "features.conv4"]
    assert found.bytes_weights <= widest // 2
    quantise_(model, overrides=found.overrides)
    assert weight_bytes(model) == found.bytes_weights
    assert {n: q.config.bits for n, q in quantisers(model).items() if n in found.bits} == found.bits
    latent = {
        name.replace(".parametrizations.weight.original", ".weight"): t
        for name, t in model.state_dict().items()
    }
    assert all(torch.equal(state[name], latent[name]) for name in state), "the model itself is left as it was"
    assert all(set(each) == {1, 2, 4, 8} for each in found.rise.values())


def test_a_sensitive_layer_keeps_its_bits():
    """With one layer's rise made large, it gets the bytes."""
    rise = {"a": {1: 9.0, 8: 0.0}, "b": {1: 0.1, 8: 0.0}}
    cost = {name: {1: 1, 8: 8} for name in rise}
    assert knapsack(rise, cost, 9) == {"a": 8, "b": 1}


def test_layers_with_overrides_and_other_widths():
    config = QuantConfig(weights=LSQConfig(), overrides={"*conv3": LibraConfig()})
    found = search_bits(small(), DATA, 10**6, config=config, choices=(1, 3, 8))
    assert list(found.bits) == ["features.conv2", "features.conv4"]
    assert all(set(each) == {3, 8} for each in found.rise.values())


def test_edges_are_searched_when_asked():
    found = search_bits(small(), DATA, 2500, edges=True)
    assert next(iter(found.bits)) == "features.conv1" and list(found.bits)[-1] == "head.linear"
    assert not found.overrides["head.linear"].per_channel, "one unit for all logits"
    assert weight_bytes(quantise_(small(), overrides=found.overrides)) == found.bytes_weights <= 2500


def test_refusals():
    with pytest.raises(RecipeError, match=r"fits 100 bytes: the smallest takes \d+"):
        search_bits(small(), DATA, 100)
    with pytest.raises(RecipeError, match="has 1 bits, none of 2, 4"):
        search_bits(small(), DATA, 10**6, config=QuantConfig(weights=LibraConfig()), choices=(2, 4))
    with pytest.raises(LatticeError, match="quantised already"):
        search_bits(quantise_(small()), DATA, 10**6)
