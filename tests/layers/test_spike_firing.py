"""Spike firing approximation: integers in training are trains of binary spikes at inference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheobase.errors import RecipeError
from rheobase.layers.spike_firing import SpikeFiring, spike_firing, virtual_spikes


def test_values_and_gradient_by_hand():
    x = torch.tensor([-1.0, 0.0, 0.4, 0.6, 1.5, 2.5, 3.9, 4.0, 4.1, 9.0], requires_grad=True)
    y = SpikeFiring(4)(x)
    y.backward(torch.full_like(x, 4.0))
    assert y.tolist() == [0, 0, 0, 0.25, 0.5, 0.5, 1, 1, 1, 1]  # halves go to the even integer
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert SpikeFiring(4, norm=1)(x).tolist() == (4 * y).tolist()


@given(st.integers(1, 8), st.sampled_from([None, 1.0, 2.0]), st.integers(0, 99))
def test_a_layer_reads_the_spikes_as_it_reads_the_integer(levels, norm, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64) * levels
    weight = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    y = spike_firing(x, levels, norm)
    train = virtual_spikes(y, levels, norm)
    assert train.shape == (levels, 3, 2, 5) and set(train.unique().tolist()) <= {0.0, 1.0}
    by_spike = sum(step @ weight.T for step in train) / (levels if norm is None else norm)
    torch.testing.assert_close(by_spike, y @ weight.T)


def test_mistakes():
    with pytest.raises(RecipeError, match="levels >= 1"):
        SpikeFiring(0)
    with pytest.raises(RecipeError, match="norm > 0"):
        SpikeFiring(4, norm=0)
