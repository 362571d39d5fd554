"""What one count of the input is worth: scaled before the first layer, folded into the first thresholds when hardened."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rheobase import layers
from rheobase.compression import QuantConfig, ReScaWConfig, harden, quantise_
from rheobase.compression.graph import layer_names
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, repeat
from rheobase.models import create_model
from rheobase.objectives import capture
from rheobase.program import reference, verify
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

UNIT = 1 / 255


def network(unit, name="vgg_small", size=16, seed=0, **options):
    torch.manual_seed(seed)
    return create_model(
        name,
        num_classes=5,
        in_channels=3,
        input_size=(size, size),
        input_unit=unit,
        **{"width": 0.5} | options,
    )


def images(seed, samples=4, size=16):
    """Smooth random images, whole numbers 0..255. Shape: [N, 3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(samples, 3, 4, 4, generator=generator)
    return (torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear") * 255).round()


def quantised(name="vgg_small", size=16, **options):
    """A quantised network of images, with batch-norm as after training."""
    model = network(UNIT, name, size, neuron="lif_tet", **options)
    quantise_(model, QuantConfig(weights=ReScaWConfig(bits=4)))
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.4)
    model(repeat(images(1, 16, size), 4))
    return model.eval()


def test_it_scales_what_the_first_layer_sees():
    plain, scaled = network(1.0).eval(), network(UNIT).eval()
    x = repeat(images(0), 4)
    torch.testing.assert_close(scaled(x), plain(x * UNIT))
    torch.testing.assert_close(scaled.forward_features(x), plain.forward_features(x * UNIT))
    assert scaled.state_dict().keys() == plain.state_dict().keys()
    assert create_model(**dict(scaled.config)).config == scaled.config


def test_it_is_a_plain_layer_or_nothing():
    assert layer_names(network(UNIT))[0] == "input"
    assert layer_names(network(1.0))[0] == "features.conv1"
    with pytest.raises(RecipeError, match="input_unit"):
        network(0.0)


@pytest.mark.parametrize("training", [False, True])
def test_a_still_image_is_still_after_it(training):
    unit = layers.InputUnit(UNIT)
    assert unit(repeat(images(0), 4)).stride(0) == 0
    model, convolved = network(UNIT).train(training), []
    for T in (1, 5):
        with FlopCounterMode(display=False) as counter:
            model(repeat(images(0), T))
        first = counter.get_flop_counts()["SpikingModel.features.conv1"]
        convolved.append(sum(first.values()))
    assert convolved[0] == convolved[1] > 0


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vgg_small", 16, {}),
        ("vgg_small", 16, {"head": "gap"}),
        ("vgg16_avg", 32, {"width": 1 / 16}),
    ],
)
def test_the_program_of_an_image_network_equals_the_hardened_model(name, size, options):
    hardened = harden(quantised(name, size, **options))
    frames = repeat(images(2, 6, size), 4).numpy().astype(np.uint8)
    frames = np.concatenate([frames, np.full_like(frames[:, :1], 255), np.zeros_like(frames[:, :1])], 1)
    program = lower(hardened, name="images", T=4)
    trace = hardened_trace(hardened, frames)
    found = verify(lambda x: reference.run(program, x), trace, frames)
    assert found.exact, found.first_difference
    assert all(0.001 < spikes.mean() < 0.9 for spikes in trace.spikes)


def test_hardened_reads_bytes_as_the_model_does():
    """Had the unit been lost, the first layer would see currents 255 times as large."""
    model = quantised()
    frames = repeat(images(3, 16), 4)
    first = next(iter(model.neurons()))
    with capture(model, [first]) as soft, torch.no_grad():
        model(frames)
    hard = hardened_trace(harden(model), frames.numpy().astype(np.uint8)).spikes[0]
    assert 0.02 < hard.mean() < 0.9
    assert (soft.spikes()[first].numpy() != hard).mean() < 0.01
