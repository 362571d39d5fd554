"""Training through the integer roundings: the spikes that will ship, with gradients of the float model."""

import numpy as np
import pytest
import torch

from rheobase.compression import LibraConfig, QuantConfig, ReScaWConfig, harden, quantise_, through_roundings
from rheobase.errors import LatticeError
from rheobase.models import create_model
from rheobase.objectives import capture
from rheobase.training import ArrayFrames, OptimiserConfig, TrainConfig, fit
from rheobase.training.loader import as_input

RNG = np.random.default_rng(3)
FRAMES = RNG.poisson(0.5, (24, 3, 2, 16, 16)).astype(np.uint8)
DATA = ArrayFrames(FRAMES, RNG.integers(0, 4, 24))


def trained(weights, neuron="lif_soft", edge_bits=8):
    """A small quantised network whose batch-norms have seen the data."""
    torch.manual_seed(0)
    model = create_model(
        "vgg_small", num_classes=4, in_channels=2, input_size=(16, 16), width=0.25, neuron=neuron
    )
    quantise_(model, QuantConfig(weights=weights, edge_bits=edge_bits))
    fit(model, DATA, train=TrainConfig(epochs=12, batch_size=6), quiet=True)
    return model


def spikes(model, layers):
    with capture(model, layers) as captured, torch.no_grad():
        model.eval()(as_input(FRAMES))
    return list(captured.spikes(steps=3).values())


def hardened_spikes(model):
    hardened = harden(model)
    names = [f"ops.{hardened.names.index(name)}" for name in hardened.neurons()]
    return spikes(hardened, names)


@pytest.mark.parametrize(
    "weights", [ReScaWConfig(bits=2), ReScaWConfig(bits=8), LibraConfig()], ids=lambda c: f"{c.name}{c.bits}"
)
@pytest.mark.parametrize(
    "neuron",
    [
        "lif_soft",
        {"kind": "lif", "tau": 4.0, "v_reset": 0.0, "strict": True},
        {"kind": "lif", "tau": 3.0, "membrane": {"name": "tanh", "bits": 4}, "v_reset": 0.0},
    ],
    ids=["soft", "hard", "4-bit membrane"],
)
def test_spikes_are_those_of_the_hardened_model(weights, neuron):
    model = trained(weights, neuron)
    float_spikes = spikes(model, list(model.neurons()))
    with through_roundings(model):
        rounded = spikes(model, list(model.neurons()))
    hardened = hardened_spikes(model)
    assert all(0.01 < layer.mean() < 0.9 for layer in hardened), "silent layers prove nothing"
    for one, other in zip(rounded, hardened, strict=True):
        assert torch.equal(one, other)
    again = spikes(model, list(model.neurons()))
    assert all(map(torch.equal, float_spikes, again)), "nothing stays behind"


def test_it_differs_from_the_float_model():
    """Else the test above would pass with a context that does nothing."""
    model = trained(LibraConfig(), {"kind": "lif", "tau": 3.0, "membrane": {"name": "tanh", "bits": 4}})
    float_spikes = spikes(model, list(model.neurons()))
    assert any(not torch.equal(a, b) for a, b in zip(float_spikes, hardened_spikes(model), strict=True))


def test_gradients_are_those_of_the_float_path():
    """Of the last layer before the readout, where forward values differ from the float ones by roundings alone."""
    model = trained(ReScaWConfig(bits=2))
    x = as_input(FRAMES)

    def gradients():
        model.zero_grad()
        model(x).square().mean().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    model.eval()
    plain = gradients()
    with through_roundings(model):
        rounded = gradients()
    assert set(plain) == set(rounded), "no parameter loses its gradient"
    for name, gradient in rounded.items():
        assert gradient.abs().sum() > 0, name
        cosine = torch.nn.functional.cosine_similarity(gradient.flatten(), plain[name].flatten(), dim=0)
        assert cosine > 0.9, name


def test_training_moves_weights_and_not_statistics():
    model = trained(ReScaWConfig(bits=2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    with through_roundings(model):
        fit(
            model,
            DATA,
            optimiser=OptimiserConfig(lr=0.05),
            train=TrainConfig(epochs=2, batch_size=6),
            quiet=True,
        )
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after if "running" in name)
    moved = [name for name in after if not torch.equal(before[name], after[name])]
    assert any("norm" in name for name in moved) and any("conv" in name for name in moved)
    assert model.features.norm1.training, "batch-norm trains again afterwards"


def test_what_cannot_be_hardened_is_refused_before_training():
    model = trained(ReScaWConfig(bits=2), edge_bits=None)
    with pytest.raises(LatticeError, match=r"features.conv1.*float weights"), through_roundings(model):
        raise AssertionError("never reached")
