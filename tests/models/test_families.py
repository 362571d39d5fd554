"""Numbers of the papers: parameters, map sizes, initialisation."""

import pytest
import torch
from torch import nn

from rheobase.compression.pruning import PruneConfig, prune_
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


@pytest.mark.parametrize(
    ("name", "classes", "size", "head", "parameters", "spikes"),
    [
        ("vgg16", 10, 32, None, 14_724_042, (512, 2, 2)),
        ("vgg16", 200, 64, "flatten", 14_724_042 - 513 * 10 + 2049 * 200, (512, 4, 4)),
        ("vgg16_avg", 10, 32, None, 14_724_042, (512, 2, 2)),
        ("resnet20", 10, 32, None, 17_048_906, (512, 8, 8)),
        ("resnet20", 100, 32, None, 17_048_906 + 513 * 90, (512, 8, 8)),
        ("resnet19", 10, 32, None, 12_569_226, (512, 8, 8)),  # 12.57 M in the paper
    ],
)
def test_parameters_and_map_of_image_networks(name, classes, size, head, parameters, spikes) -> None:
    options = {"num_classes": classes, "in_channels": 3, "input_size": (size, size), "head": head}
    with torch.device("meta"):
        model = create_model(name, **options)
    assert sum(p.numel() for p in model.parameters()) == parameters
    thin = create_model(name, width=1 / 16, **options).eval()
    channels, height, width = spikes
    assert thin.forward_features(torch.zeros(1, 1, 3, size, size)).shape[2:] == (
        channels // 16,
        height,
        width,
    )


@pytest.mark.parametrize(
    ("name", "ratios", "printed"),
    [
        (
            "resnet20",
            {"*.stem": 0.1, "*.conv1": 0.75, "*.stage1_block1.conv1": 0.35, "*.stage[12]_*.conv2": 0.35},
            3.873,
        ),
        ("vgg16", {"*.conv[1-7]": 0.49, "*.conv8": 0.8, "*.conv9": 0.8, "*.conv1[012]": 0.8}, 1.416),
    ],
)
def test_published_pruning_leaves_the_published_weights(name, ratios, printed) -> None:
    """Millions of weights without batch-norm; of VGG-16 with it 1.42 are printed. All sizes: benchmarks/sizes.py."""
    model = create_model(name, num_classes=10, in_channels=3, input_size=(32, 32))
    prune_(model, PruneConfig(score="random", ratio=0.0, overrides=ratios), torch.zeros(1, 1, 3, 32, 32))
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    weights = sum(p.numel() for p in model.parameters() if id(p) not in norms)
    assert weights / 1e6 == pytest.approx(printed, abs=0.0006)


def test_poolings_of_vgg16() -> None:
    for name, kind in (("vgg16", "MaxPool2d"), ("vgg16_avg", "AvgPool2d")):
        model = create_model(name, num_classes=10, input_size=(32, 32), width=1 / 16)
        pools = [n for n, m in model.features.named_children() if type(m).__name__ == kind]
        assert pools == ["pool2", "pool4", "pool7", "pool10"]
        assert len(model.neurons()) == 13


def test_the_head_of_vgg16_pools_32_to_one_pixel() -> None:
    """`gap` is the paper's average pooling of a 2x2 map."""
    model = create_model("vgg16", num_classes=10, input_size=(32, 32), width=1 / 16)
    other = create_model(**dict(model.config) | {"head": "flatten"})
    other.load_state_dict(model.state_dict())
    x = (torch.rand(2, 3, 32, 2, 2) < 0.5).float()
    assert torch.equal(model.head(x), other.head(x))


def test_initialisation_of_image_networks() -> None:
    for name, std in (("vgg16", 0.01), ("resnet19", 1 / 512)):
        torch.manual_seed(0)
        model = create_model(name, num_classes=100, in_channels=3, input_size=(32, 32))
        assert model.head.linear.weight.std().item() == pytest.approx(std, rel=0.02)
        assert not model.head.linear.bias.any()
        convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
        assert all(conv.bias is None for conv in convs)
        for conv in convs[1:]:
            n = conv.kernel_size[0] ** 2 * conv.out_channels
            assert conv.weight.std().item() == pytest.approx((2 / n) ** 0.5, rel=0.02)


def test_resnet_strides_and_shortcuts() -> None:
    kinds = {}
    for name in ("resnet20", "resnet19"):
        model = create_model(name, num_classes=10, in_channels=3, input_size=(32, 32), width=1 / 16)
        kinds[name] = [type(m.shortcut).__name__ for n, m in model.features.named_children() if "block" in n]
        names = list(model.neurons())
        assert names[0] == "features.neuron" and len(names) == 1 + 2 * len(kinds[name])
        assert names[1:3] == ["features.stage1_block1.neuron1", "features.stage1_block1.neuron2"]
    assert kinds["resnet20"] == ["PadShortcut", "Identity", "Identity"] * 3
    whole, shape = ["Identity"] * 3, ["Sequential", "Identity", "Identity"]
    assert kinds["resnet19"] == [*whole, *shape, *shape[:2]]


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
    ("name", "head", "needed"),
    [
        ("vgg9", "flatten", 16),
        ("vgg9", "gap", 8),
        ("vgg_small", "gap", 8),
        ("vgg16", "gap", 16),
        ("vgg16", "flatten", 32),
    ],
)
def test_input_too_small(name, head, needed) -> None:
    create_model(name, num_classes=3, input_size=(needed, needed), width=1 / 16, head=head)
    with pytest.raises(RecipeError, match=f"at least {needed} x {needed}"):
        create_model(name, num_classes=3, input_size=(needed - 1, 40), width=1 / 16, head=head)
