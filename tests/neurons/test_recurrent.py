"""Recurrent neurons against those without recurrence, and against a scalar loop."""

import pytest
import torch
from torch import Tensor

from rheobase.errors import DataError
from rheobase.neurons import PRESETS, NeuronConfig, Recurrent, UniformMembrane, build_neuron


def drive(T: int = 12, N: int = 3, C: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(T, N, C, 1, 1, generator=torch.Generator().manual_seed(seed)) * 1.5


@pytest.mark.parametrize("name", PRESETS)
def test_without_weights_it_is_the_neuron(name: str) -> None:
    neuron = Recurrent(PRESETS[name], 5)
    torch.nn.init.zeros_(neuron.recurrent.weight)
    x = drive()
    ours, plain = (each.requires_grad_() for each in (x.clone(), x.clone()))
    spikes, expected = neuron(ours), build_neuron(PRESETS[name])(plain)
    assert torch.equal(spikes, expected) and spikes.any()
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
    (spikes * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_against_a_scalar_loop(ternary: bool, v_reset: float | None) -> None:
    config = NeuronConfig(
        tau=4.0, v_reset=v_reset, ternary=ternary, membrane=UniformMembrane(bits=4, limit=1.75)
    )
    neuron = Recurrent(config, 4, strength=1.0).double()
    x = drive(C=4).double()
    weight = neuron.recurrent.weight.detach()
    expected = torch.zeros_like(x)
    for n in range(x.shape[1]):
        v, s = [0.0] * 4, [0.0] * 4
        for t in range(len(x)):
            h = [
                0.75 * v[i] + float(x[t, n, i]) + sum(float(weight[i, j]) * s[j] for j in range(4))
                for i in range(4)
            ]
            s = [float(each >= 1) - float(ternary and -each >= 1) for each in h]
            w = [h[i] - s[i] if v_reset is None else h[i] * (1 - abs(s[i])) for i in range(4)]
            v = [max(-7, min(7, round(each / 0.25))) * 0.25 for each in w]
            expected[t, n, :, 0, 0] = torch.tensor(s)
    assert torch.equal(neuron(x), expected)
    assert set(expected.unique().tolist()) == ({-1.0, 0.0, 1.0} if ternary else {0.0, 1.0})


def test_odd_where_ternary() -> None:
    neuron = Recurrent(PRESETS["qt_snn"], 6, strength=1.0)
    x = drive(C=6)
    assert torch.equal(neuron(-x), -neuron(x)) and neuron(x).any()


def test_gradients_reach_the_weights() -> None:
    neuron = Recurrent(PRESETS["plif_sew"], 5)
    neuron(drive()).square().sum().backward()
    assert neuron.w.grad is not None and neuron.w.grad.abs() > 0
    assert neuron.recurrent.weight.grad.abs().max() > 0


def test_wrong_channels() -> None:
    with pytest.raises(DataError, match=r"needs \[T, N, 5, 1, 1\], got \[3, 2, 4, 1, 1\]"):
        Recurrent(PRESETS["lif_soft"], 5)(torch.zeros(3, 2, 4, 1, 1))
