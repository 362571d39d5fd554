"""Feature maps of several scales, of every model."""

import pytest
import torch
from torch import Tensor, nn

from model_cases import EACH
from rheobase.errors import DataError, RecipeError
from rheobase.models import SpikingModel, create_model, features_only
from rheobase.objectives.capture import capture

each = pytest.mark.parametrize("name", EACH)
POOLED = {"sdt_small", "sdt_v3_small"}
"""Their features stand behind a global pooling, so the last map is one before that."""


def small(name: str, size: tuple[int, int] = (32, 32)) -> SpikingModel:
    torch.manual_seed(0)
    return create_model(name, num_classes=3, input_size=size, width=0.125, T=4)


def frames(size: tuple[int, int] = (32, 32), n: int = 2) -> Tensor:
    return torch.poisson(torch.full((4, n, 2, *size), 0.7), generator=torch.Generator().manual_seed(1))


@each
def test_one_map_a_resolution(name):
    model = small(name)
    backbone = features_only(model)
    maps = backbone(frames())
    assert [found.shape[2] for found in maps] == list(backbone.channels)
    assert [found.shape for found in maps] == [
        (4, 2, channels, 32 // stride, 32 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert list(backbone.strides) == sorted(set(backbone.strides)) and len(maps) > 1
    whole = model.forward_features(frames())
    if name not in POOLED:
        torch.testing.assert_close(maps[-1], whole, rtol=0, atol=0)


@each
def test_maps_are_those_of_the_named_layers(name):
    model = small(name)  # in training mode, in which fresh networks are lively
    backbone = features_only(model)
    with capture(model, backbone.layers) as captured:
        model(frames())
    for layer, found in zip(backbone.layers, backbone(frames()), strict=True):
        assert found.any()
        torch.testing.assert_close(found, captured.spikes()[layer], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["vgg_small", "vgg9", "resnet20", "snn_vit_small"])
def test_these_models_give_spikes(name):
    """Layers that end in a neuron: each map is binary, and none of them silent on lively input."""
    model = small(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.fill_(1.0)
    for found in features_only(model)(frames()):
        assert found.unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "size", "strides", "sizes"),
    [
        ("vgg_small", (35, 34), (1, 2, 4, 8), [(35, 34), (17, 17), (8, 8), (4, 4)]),  # rounded down
        ("snn_vit_small", (35, 34), (1, 2, 4), [(35, 34), (18, 17), (9, 9)]),  # rounded up
        ("meta_spikeformer_small", (34, 34), (2, 4, 8, 16), [(17, 17), (9, 9), (5, 5), (3, 3)]),
    ],
)
def test_strides_of_odd_sizes(name, size, strides, sizes):
    backbone = features_only(small(name, size)).eval()
    assert backbone.strides == strides
    assert [tuple(found.shape[-2:]) for found in backbone(frames(size))] == sizes


def test_vgg_by_hand():
    backbone = features_only(create_model("vgg_small", num_classes=3, input_size=(64, 64)))
    assert backbone.layers == tuple(f"features.neuron{i}" for i in (1, 2, 3, 4))
    assert backbone.channels == (16, 32, 64, 64)


def test_chosen_layers_in_the_order_given_and_nothing_behind_them():
    model = small("vgg_small")
    backbone = features_only(model, ["features.neuron3", "features.norm2"])
    assert backbone.strides == (4, 2)
    assert [name for name, _ in backbone.features.named_children()][-1] == "neuron3"
    with capture(model, ["features.norm2"]) as captured:
        model(frames())
    assert torch.equal(backbone(frames())[1], captured.spikes()["features.norm2"])


def test_weights_are_shared_and_the_head_is_left_out():
    model = small("vgg_small")
    backbone = features_only(model)
    assert {id(p) for p in backbone.parameters()} == {id(p) for p in model.features.parameters()}
    sum(found.sum() for found in backbone(frames())).backward()
    assert all(p.grad is not None for p in model.features.parameters())
    assert all(p.grad is None for p in model.head.parameters())


def test_looking_changes_nothing():
    model = small("resnet20")
    model.features.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    features_only(model)
    assert model.training and not model.features.norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_input_unit_counts():
    torch.manual_seed(0)
    model = create_model("vgg_small", num_classes=3, input_size=(32, 32), width=0.25, input_unit=1 / 255)
    found = features_only(model.eval(), ["features.norm1"])(frames())
    expected = model.features.norm1(model.features.conv1(frames() / 255))
    torch.testing.assert_close(found[0], expected)


def test_refusals():
    with pytest.raises(RecipeError, match=r"unknown layer 'features.neuron9'; did you mean"):
        features_only(small("vgg_small"), ["features.neuron9"])
    with pytest.raises(RecipeError, match="spike times and has no maps over time"):
        features_only(create_model("spike_time", num_classes=3, in_channels=2, input_size=(16, 16)))
    with pytest.raises(DataError, match="NoneType, which is no map"):
        features_only(small("vgg_small"), ["head.linear"])
    with pytest.raises(DataError, match="expects"):
        features_only(small("vgg_small"))(frames((16, 16)))
