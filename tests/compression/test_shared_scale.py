"""One scale for weights and membranes: the layer in whole numbers is the layer in floats."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.compression import QuantConfig, quantise_, quantisers
from rheobase.compression.quantisers import Shared, SharedConfig
from rheobase.layers import Dense
from rheobase.neurons import NeuronConfig, UniformMembrane, build_neuron


@given(bits=st.sampled_from([2, 4, 8]), seed=st.integers(0, 99), tau=st.sampled_from([1.0, 2.0, 4.0]))
@settings(max_examples=40)
def test_integers_give_the_spikes_of_floats(bits: int, seed: int, tau: float) -> None:
    """Membranes in units of a/n, a threshold of ceil(v_threshold n/a), and the leak as a fraction of 1/tau."""
    n = 2 ** (bits - 1) - 1
    limit = n / 8  # a unit of 1/8, so that floats are exact; a threshold between two units
    config = NeuronConfig(
        tau=tau,
        v_threshold=1.05,
        v_reset=0.0,
        ternary=True,
        membrane=UniformMembrane(bits=bits, limit=limit),
    )
    generator = torch.Generator().manual_seed(seed)
    dense = Dense(12, 7)
    quantise_(dense, QuantConfig(overrides={"": SharedConfig(bits=bits, limit=limit)}))
    x = torch.randint(-1, 2, (15, 3, 12, 1, 1), generator=generator).float()
    found = build_neuron(config)(dense(x))

    weight = quantisers(dense)[""].integers(dense.parametrizations.weight.original)[0][..., 0, 0].long()
    part, kept = int(tau), int(tau) - 1  # leak = kept / part
    threshold = -(-part * 105 * 8 // 100)  # ceil(1.05 / (1/8)), in units of a/n/part
    v = torch.zeros(3, 7, dtype=torch.long)
    for step, expected in zip(x[..., 0, 0].long(), found[..., 0, 0], strict=True):
        h = kept * v + part * (step @ weight.T)
        s = (h >= threshold).long() - (h <= -threshold).long()
        assert torch.equal(s.float(), expected)
        v = torch.where(s != 0, 0, (2 * h + part) // (2 * part)).clamp(-n, n)


@pytest.mark.parametrize(("bits", "levels"), [(2, 3), (4, 15), (8, 255)])
def test_levels_unit_and_gradient(bits: int, levels: int) -> None:
    quantiser = Shared(SharedConfig(bits=bits, limit=0.5))
    weight = (torch.randn(256, 800, generator=torch.Generator().manual_seed(0)) ** 3).requires_grad_()
    integers, unit = quantiser.integers(weight)
    assert len(integers.unique()) == levels and unit.item() == pytest.approx(0.5 / (levels // 2))
    quantised = quantiser(weight)
    assert torch.equal(quantised, integers * unit) and quantised.max().item() == pytest.approx(0.5)
    quantised.sum().backward()
    c = quantiser.clip(weight).item()
    inside = weight.abs() <= c
    torch.testing.assert_close(weight.grad[inside], torch.full_like(weight.grad[inside], 0.5 / c))
    assert not weight.grad[~inside].any()


def test_two_bits_take_the_threshold_of_ternary_weights() -> None:
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    integers, _ = Shared(SharedConfig(bits=2)).integers(weight)
    assert torch.equal(integers != 0, weight.abs() > 0.7 * weight.abs().mean())


def test_the_size_of_the_latent_weights_does_not_matter() -> None:
    weight, quantiser = torch.randn(8, 30), Shared(SharedConfig(bits=4))
    torch.testing.assert_close(quantiser(4 * weight), quantiser(weight))
    assert not quantiser(torch.zeros(3, 3)).any()
