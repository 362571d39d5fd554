"""Networks for signals: layers, oddness of ternary networks, two bits, and what cannot be built."""

import pytest
import torch

from rheobase.compression import QuantConfig, TernaryConfig, harden, quantise_
from rheobase.errors import RecipeError
from rheobase.models import create_model
from rheobase.models.sequence import ChannelDropout
from rheobase.objectives import capture


def network(name: str = "spiking_tcn", size=(1, 1), channels: int = 6, neuron="qt_snn", **options):
    torch.manual_seed(0)
    return create_model(
        name,
        num_classes=4,
        in_channels=channels,
        input_size=size,
        neuron=neuron,
        options={"hidden": [20, 12], **options},
    )


def spikes(T: int = 9, N: int = 3, C: int = 6, H: int = 1) -> torch.Tensor:
    return torch.randint(-1, 2, (T, N, C, H, 1), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("name", ["spiking_mlp", "spiking_rnn", "spiking_tcn"])
def test_ternary_networks_are_odd(name: str) -> None:
    model = network(name).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 4.0)  # so that all layers fire
    x = spikes()
    with capture(model, list(model.neurons())) as first:
        model(x)
    with capture(model, list(model.neurons())) as second:
        model(-x)
    for layer, found in first.spikes().items():
        assert torch.equal(second.spikes()[layer], -found) and found.any()
        assert set(found.unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_parameters_that_the_docstrings_name() -> None:
    counts = {
        name: sum(
            p.numel()
            for p in create_model(name, num_classes=12, in_channels=40, input_size=(1, 1)).parameters()
        )
        for name in ("spiking_mlp", "spiking_rnn", "spiking_tcn")
    }
    assert counts == {"spiking_mlp": 23564, "spiking_rnn": 56332, "spiking_tcn": 109580}


def test_memory_ratio_of_two_bits() -> None:
    from rheobase.compression import weight_bytes

    model = network()
    before = weight_bytes(model)
    quantise_(model, QuantConfig(weights=TernaryConfig(), edges=TernaryConfig()))
    assert weight_bytes(model) / before == 1 - 0.9375
    for layer in (model.features.dense1, model.features.dense2, model.head.linear):
        values = layer.weight.unique()
        assert len(values) == 3 and values[1] == 0 and values[0] == -values[2]


def test_convolutions_over_the_height() -> None:
    convs = [
        {"channels": 8, "kernel": 4, "stride": 2, "delays": [0, 1, 3]},
        {"channels": 6, "kernel": 3},
    ]
    model = network(size=(20, 1), channels=1, convs=convs, readout=[0, 2]).eval()
    x = spikes(C=1, H=20)
    features = model.forward_features(x)
    assert model.features.conv1.weight.shape == (8, 3, 4, 1)
    assert model.features.conv2.weight.shape == (6, 8, 3, 1)
    assert model.features.dense1.weight.shape == (20, 6 * 5, 7, 1)  # 5 delays
    assert features.shape == (9, 3, 24, 1, 1) and model(x).shape == (9, 3, 4)
    assert torch.equal(features[2:, :, 12:], features[:-2, :, :12])


def test_each_layer_has_its_delays_and_the_last_serves_the_rest() -> None:
    model = network(hidden=[4, 4, 4], delays=[[0, 1], [0, 2, 4]])
    assert [model.features.delays1.steps, model.features.delays2.steps, model.features.delays3.steps] == [
        (0, 1),
        (0, 2, 4),
        (0, 2, 4),
    ]


def test_without_norm() -> None:
    assert not any("norm" in name for name, _ in network(norm=False).named_modules())


def test_dropout_silences_whole_channels_of_a_sample_in_training_alone() -> None:
    model = network(
        hidden=[20, 12, 8], dropout=0.25, convs=[{"channels": 6, "kernel": 4}], size=(8, 1), channels=1
    )
    dropouts = [each for each in model.modules() if isinstance(each, ChannelDropout)]
    assert len(dropouts) == 3  # before each dense layer, none before the head
    layer, x = dropouts[0], torch.ones(5, 400, 7, 2, 1)
    torch.manual_seed(3)
    y = layer.train()(x)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(y, y[:1, :, :, :1].expand_as(y))  # the same at all steps and heights
    assert abs((y == 0).float().mean().item() - 0.25) < 0.02
    assert layer.eval()(x) is x
    alike = network(hidden=[20, 12, 8], convs=[{"channels": 6, "kernel": 4}], size=(8, 1), channels=1)
    frames = spikes(C=1, H=8)
    assert torch.equal(model.eval()(frames), alike.eval()(frames))
    quantise_(model, QuantConfig(weights=TernaryConfig(), edges=TernaryConfig()))
    hardened = harden(model, "int8")
    assert hardened(frames).shape == (9, 3, 4)


def test_what_cannot_be_built() -> None:
    with pytest.raises(RecipeError, match=r"convs\[0\] has a kernel of 3, its input a height of 1"):
        network(convs=[{"channels": 4, "kernel": 3}])
    with pytest.raises(RecipeError, match="hidden"):
        network(hidden=[])
    with pytest.raises(RecipeError, match="different numbers of steps"):
        network(delays=[[1, 1]])
