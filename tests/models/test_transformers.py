"""Numbers and structure of the published spiking transformers: parameters, token counts, what convolutions read."""

import pytest
import torch
from torch import Tensor, nn

from model_cases import SMALL_TRANSFORMERS
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, Conv2d, Linear
from rheobase.layers.spike_firing import SpikeFiring
from rheobase.models import create_model, family_of, list_models
from rheobase.models.transformer import Residual
from rheobase.objectives import StableSpike, StableSpikeConfig, collect

EVENTS, CIFAR, CIFAR100, IMAGENET = (
    (10, 2, 128),
    (10, 3, 32),
    (100, 3, 32),
    (1000, 3, 224),
)  # classes, channels, size


@pytest.mark.parametrize(
    ("name", "data", "millions"),
    [
        ("qkformer_event", EVENTS, 1.504138),
        ("qkformer_cifar", CIFAR100, 6.74),
        ("qkformer_hst_10_384", IMAGENET, 16.47),
        ("qkformer_hst_10_512", IMAGENET, 29.08),
        ("qkformer_hst_10_768", IMAGENET, 64.96),
        ("spikformer_event", EVENTS, 2.57),
        ("spikformer_4_384", CIFAR, 9.32),
        ("spikformer_8_512", IMAGENET, 29.7),
        ("spikformer_8_768", IMAGENET, 66.3),
        ("spikingformer_event", EVENTS, 2.57),
        ("spikingformer_4_384", CIFAR, 9.32),
        ("spikingformer_8_512", IMAGENET, 29.7),
        ("sdt_event", (10, 2, 64), 2.57),
        ("sdt_2_512", CIFAR, 10.28),
        ("sdt_8_384", IMAGENET, 16.81),
        ("sdt_8_512", IMAGENET, 29.68),
        ("meta_spikeformer_8_256", IMAGENET, 15.1),
        ("meta_spikeformer_8_384", IMAGENET, 31.3),
        ("meta_spikeformer_8_512", IMAGENET, 55.4),
        ("sdt_v3_s", IMAGENET, 5.1),
        ("sdt_v3_m", IMAGENET, 10.0),
        ("sdt_v3_l", IMAGENET, 19.0),
    ],
)
def test_parameters_within_one_per_cent(name: str, data: tuple[int, int, int], millions: float) -> None:
    classes, channels, size = data
    with torch.device("meta"):
        model = create_model(name, num_classes=classes, in_channels=channels, input_size=(size, size), T=4)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)


def test_biases_before_batch_norm_are_all_that_the_event_network_lacks() -> None:
    with torch.device("meta"):
        model = create_model("qkformer_event", num_classes=10, input_size=(128, 128))
    with_bias = [
        module.conv.out_channels
        for name, module in model.named_modules()
        if name.endswith(("attention.branch.out", "mlp.branch.up", "mlp.branch.down"))
    ]
    assert sum(p.numel() for p in model.parameters()) + sum(with_bias) == 1_504_138


@pytest.mark.parametrize("name", SMALL_TRANSFORMERS)
@pytest.mark.parametrize("size", [28, 32, 34])
def test_small_models_fit_small_sensors(name: str, size: int) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=10, input_size=(size, size), T=4).eval()
        assert model(torch.zeros(2, 1, 2, size, size)).shape == (2, 1, 10)
    assert sum(p.numel() for p in model.parameters()) <= 1_500_000


def maps(name: str, size: int, channels: int, **options: object) -> list[tuple[int, int]]:
    """Sizes of the maps that the attention blocks see, in order."""
    with torch.device("meta"):
        model = create_model(
            name, num_classes=10, in_channels=channels, input_size=(size, size), options=options
        )
        found: list[tuple[int, int]] = []
        for key, module in model.features.named_children():
            if "block" in key:
                module.register_forward_hook(lambda module, args, y: found.append(tuple(y.shape[-2:])))
        model(torch.zeros(1, 1, channels, size, size))
    return found


def test_token_counts() -> None:
    assert maps("qkformer_event", 128, 2) == [(16, 16), (8, 8)]
    assert maps("qkformer_cifar", 32, 3) == [(32, 32), (16, 16), (8, 8), (8, 8)]
    assert maps("qkformer_hst_10_384", 224, 3) == [(56, 56)] + 2 * [(28, 28)] + 7 * [(14, 14)]
    assert maps("spikformer_4_384", 32, 3) == 4 * [(8, 8)]
    assert maps("spikformer_event", 128, 2) == 2 * [(8, 8)]
    assert maps("sdt_event", 64, 2) == maps("sdt_event", 128, 2, pools="0111") == 2 * [(16, 16)]
    assert maps("meta_spikeformer_8_384", 224, 3) == 8 * [(14, 14)]
    assert maps("qkformer_small", 34, 2) == [(9, 9), (5, 5)]


def lively(name: str, size: int, **options: object) -> tuple[nn.Module, Tensor]:
    """A model in which every layer fires, in evaluation mode, and frames for it."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=10, input_size=(size, size), T=4, options=options)
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
            nn.init.constant_(module.weight, 3.0)
    x = torch.poisson(torch.full((4, 2, 2, size, size), 0.5), generator=torch.Generator().manual_seed(1))
    model(x)
    return model.eval(), x


@torch.no_grad()
def test_features_of_qkformer_are_counts_up_to_4() -> None:
    model, x = lively("qkformer_small", 34)
    assert model.feature_layer == "features.stage2_block1"
    features = model.forward_features(x)
    assert features.shape == (4, 2, 128, 5, 5)
    assert features.unique().tolist() == [0, 1, 2, 3, 4]


@torch.no_grad()
@pytest.mark.parametrize("name", ["spikingformer_small", "sdt_small", "meta_spikeformer_small"])
def test_membrane_shortcuts_leave_convolutions_binary_spikes(name: str) -> None:
    """All but the first, which reads frames, and the parts of a reparametrised or separable convolution."""
    model, x = lively(name, 34)
    values: dict[str, set[float]] = {}
    for key, module in model.named_modules():
        part = ".rep." in key or key.endswith(
            ("branch.conv", "branch.depthwise", "out.conv2", "out.depthwise")
        )
        if isinstance(module, Conv2d | Linear) and not part and "head" not in key:
            module.register_forward_pre_hook(
                lambda m, args, key=key: values.update({key: set(args[0].unique().tolist())})
            )
    model(x)
    first = next(iter(values))
    assert values.pop(first) > {0.0, 1.0, 2.0}
    assert values and all(found == {0.0, 1.0} for found in values.values()), values


@torch.no_grad()
def test_v3_reads_spikes_one_by_one_as_it_reads_integers() -> None:
    """Every layer with weights gets, from binary spikes in D virtual steps, the currents that the integers give it."""
    model, x = lively("sdt_v3_small", 34)
    model, x = model.double(), x.double()
    trains: dict[int, Tensor] = {}
    checked = []

    def fired(module: SpikeFiring, args: tuple[Tensor, ...], y: Tensor) -> None:
        trains[id(y)] = module.virtual_spikes(y) / module.norm
        assert set((trains[id(y)] * module.norm).unique().tolist()) <= {0.0, 1.0}
        kept.append(y)

    def read(module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> None:
        if id(args[0]) in trains and id(module) not in checked:  # once: the layer is called again below
            checked.append(id(module))
            torch.testing.assert_close(sum(module(step) for step in trains[id(args[0])]), y)

    kept: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, SpikeFiring):
            module.register_forward_hook(fired)
        elif isinstance(module, Conv2d):
            module.register_forward_hook(read)
    model(x)
    assert len(checked) > 30


def test_the_published_heads_of_membrane_networks_read_currents() -> None:
    """Stable Spike says so, instead of comparing what is no spike."""
    model, x = lively("spikingformer_small", 34, last_neuron=False)
    assert model.feature_layer == "features.block1"
    objective = StableSpike(StableSpikeConfig())
    with pytest.raises(Exception, match="not made of spikes"):
        objective(collect(model, x, objective), torch.zeros(2, dtype=torch.long))


def test_stable_spike_reads_the_sums_of_qkformer() -> None:
    model, x = lively("qkformer_small", 34)
    objective = StableSpike(StableSpikeConfig(), torch.Generator().manual_seed(0))
    assert objective.layers(model) == ("features.stage2_block1",)
    outputs = collect(model, x, objective)
    (features,) = outputs.spikes.values()
    loss = objective(outputs, torch.tensor([0, 1]))
    by_hand = (torch.minimum(features[:-1], features[1:]).mean(0) - features.mean(0)).square().mean()
    torch.testing.assert_close(loss.parts["spike_consistency"], by_hand.detach())
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_options() -> None:
    with pytest.raises(RecipeError, match="pools"):
        create_model("spikformer_small", num_classes=2, input_size=(16, 16), options={"pools": "012"})
    with pytest.raises(RecipeError, match="deep"):
        create_model("spikformer_small", num_classes=2, input_size=(16, 16), options={"deep": 2})
    model = create_model(
        "qkformer_small", num_classes=2, input_size=(16, 16), options={"blocks": [1, 2], "over": "channel"}
    )
    assert sum(key.endswith("_block1") for key, _ in model.features.named_children()) == 2
    assert model.feature_layer == "features.stage2_block2"
    assert create_model(**dict(model.config)).config == model.config


def test_residual_adds_spikes_to_a_shortcut() -> None:
    x = torch.arange(3.0)
    assert torch.equal(Residual(nn.ReLU(), nn.Threshold(1.5, 0.0))(x), torch.tensor([0.0, 1.0, 4.0]))
    assert torch.equal(Residual(nn.ReLU())(x), 2 * x)


def test_every_family_has_a_small_model() -> None:
    families = {family_of(name) for name in list_models()} - {"vgg", "resnet", "ms_resnet"}
    assert {family_of(name) for name in SMALL_TRANSFORMERS} >= families & {
        "qkformer", "spikformer", "spikingformer", "sdt", "sdt_v3", "meta_spikeformer",
    }  # fmt: skip
