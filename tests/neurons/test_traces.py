"""Every preset against four steps worked out by hand."""

import pytest
import torch
from torch import Tensor

from rheobase.kernels import membrane_trace
from rheobase.neurons import build_neuron, preset

# name: input, membrane before the reset, spikes. All numbers but the 127ths are exact in binary.
TRACES = {
    # h = v/2 + x; a spike takes 1 off
    "lif_soft": ([0.5, 0.75, 1.5, 0.25], [0.5, 1.0, 1.5, 0.5], [0, 1, 1, 0]),
    # h = v/2 + x/2; a spike clears the membrane
    "lif_sj": ([1.0, 1.5, 2.5, 2.0], [0.5, 1.0, 1.25, 1.0], [0, 1, 1, 1]),
    # h = v/2 + x; fires only above 1, so the second step does not
    "lif_tet": ([0.5, 0.75, 0.75, 1.0], [0.5, 1.0, 1.25, 1.0], [0, 0, 1, 0]),
    # h = v/4 + x; 0.5 fires
    "lif_nda": ([0.25, 0.4375, 0.25, 0.125], [0.25, 0.5, 0.25, 0.1875], [0, 1, 0, 0]),
    # h = v/4 + x; 0.5 does not fire
    "lif_ms": ([0.25, 0.4375, 0.5, 0.25], [0.25, 0.5, 0.625, 0.25], [0, 0, 1, 0]),
    # h = v/2 + x; 1 does not fire; kept are round(127 tanh(1)) = 97 and round(127 tanh(0.25)) = 31 of 127
    "q_snn": ([1.0, 0.75, 0.25, 1.0], [1.0, 97 / 254 + 0.75, 0.25, 31 / 254 + 1.0], [0, 1, 0, 1]),
    # tau starts at 2: the same as lif_sj
    "plif_sew": ([1.0, 1.5, 2.5, 2.0], [0.5, 1.0, 1.25, 1.0], [0, 1, 1, 1]),
    # h = v + x; what exceeds the threshold is kept
    "if_soft": ([0.5, 0.5, 0.75, 0.25], [0.5, 1.0, 0.75, 1.0], [0, 1, 0, 1]),
}


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize("name", TRACES)
def test_four_steps(name: str) -> None:
    x, membrane, spikes = (column(v) for v in TRACES[name])
    neuron = build_neuron(preset(name))
    assert torch.equal(neuron(x), spikes)

    _, h = membrane_trace(
        x * neuron.gain(),
        neuron.leak(),
        neuron.threshold(),
        **neuron.reset_options(),
    )
    assert torch.equal(h, membrane)


@pytest.mark.parametrize("name", TRACES)
def test_tie_at_the_threshold(name: str) -> None:
    neuron = build_neuron(preset(name))
    at = torch.full((1, 1, 1), neuron.config.v_threshold) / neuron.gain()
    assert neuron(at).item() == (0.0 if neuron.config.strict else 1.0)
    assert neuron.config.strict == (name in ("lif_tet", "lif_ms", "q_snn"))
