"""Numbers of the papers: parameters, map sizes, initialisation."""

import pytest
import torch
from torch import nn

from rheobase.errors import RecipeError
from rheobase.models import create_model


@pytest.mark.parametrize(
    ("name", "classes", "size", "head", "parameters", "spikes"),
    [
        ("vgg9", 10, 48, None, 9_268_746, (512, 6, 6)),
        ("vgg9", 10, 48, "gap", 9_268_746 - 8 * 512 * 10, (512, 6, 6)),
        ("vggsnn", 10, 48, None, 9_271_498, (512, 6, 6)),
        ("vgg11", 10, 48, None, 9_230_538, (512, 6, 6)),
        ("vgg_small", 11, 32, None, 71_819, (64, 4, 4)),
        ("vgg_small", 10, 34, None, 60_192 + 352 + 10_250, (64, 4, 4)),
        ("ms_resnet18", 10, 48, None, 11_173_386, (512, 6, 6)),
    ],
)
def test_parameters_and_map(name, classes, size, head, parameters, spikes) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=classes, input_size=(size, size), head=head)
    assert sum(p.numel() for p in model.parameters()) == parameters

    thin = create_model(name, num_classes=classes, input_size=(size, size), head=head, width=1 / 16).eval()
    channels, height, width = spikes
    assert thin.forward_features(torch.zeros(1, 1, 2, size, size)).shape[2:] == (
        channels // 16,
        height,
        width,
    )


def test_vgg9_head_pools_48_to_3() -> None:
    model = create_model("vgg9", num_classes=10, input_size=(48, 48), width=1 / 16)
    assert [type(layer).__name__ for layer in model.head] == ["AvgPool2d", "Flatten", "Linear"]
    assert model.head[0](torch.zeros(1, 32, 6, 6)).shape == (1, 32, 3, 3)
    assert model.head[2].in_features == 32 * 3 * 3
    pooled = create_model("vgg9", num_classes=10, input_size=(48, 48), width=1 / 16, head="gap")
    assert [type(layer).__name__ for layer in pooled.head] == ["GlobalAvgPool2d", "Flatten", "Linear"]


def test_initialisation_of_the_papers() -> None:
    convs = {}
    for name in ("vgg9", "vggsnn", "vgg11"):
        torch.manual_seed(0)
        model = create_model(name, num_classes=10, input_size=(16, 16), width=0.5)
        norms = {m.weight.unique().item() for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
        assert norms == {0.5 if name == "vgg11" else 1.0}
        convs[name] = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.bias is None for conv in convs["vgg9"])
    assert all(conv.bias is not None and not conv.bias.any() for conv in convs["vgg11"])
    assert all(conv.bias is not None and conv.bias.any() for conv in convs["vggsnn"])
    for name in ("vggsnn", "vgg11"):
        for conv in convs[name][1:]:
            assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.02)


def test_ms_resnet_strides_and_shortcuts() -> None:
    model = create_model("ms_resnet18", num_classes=10, input_size=(48, 48), width=1 / 16)
    kinds = [type(m.shortcut).__name__ for n, m in model.features.named_children() if "block" in n]
    assert kinds == ["Identity", "Identity"] + ["Sequential", "Identity"] * 3
    assert len(model.neurons()) == 17
    tdbn = create_model("ms_resnet18", num_classes=10, input_size=(16, 16), width=1 / 16, neuron="lif_ms")
    assert tdbn.features.norm.weight.unique().item() == 0.5


@pytest.mark.parametrize(
    ("name", "head", "needed"), [("vgg9", "flatten", 16), ("vgg9", "gap", 8), ("vgg_small", "gap", 8)]
)
def test_input_too_small(name, head, needed) -> None:
    create_model(name, num_classes=3, input_size=(needed, needed), width=1 / 16, head=head)
    with pytest.raises(RecipeError, match=f"at least {needed} x {needed}"):
        create_model(name, num_classes=3, input_size=(needed - 1, 40), width=1 / 16, head=head)
