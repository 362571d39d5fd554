"""What every registered model must keep."""

import pytest
import torch
from torch import Tensor, fx, nn

from model_cases import CONVOLUTIONAL, EACH, SEQUENCES, SMALL_TRANSFORMERS
from rheobase.errors import DataError, RecipeError
from rheobase.layers import Scale
from rheobase.models import SpikingModel, create_model, family_of
from rheobase.neurons import Neuron, NeuronConfig, preset

SIZE = (16, 16)
CLASSES = 5
each = pytest.mark.parametrize("name", EACH + SEQUENCES)
COUNTS = {"qkformer_small": 4, "spikformer_small": 4, "sdt_v3_small": 4}
"""What adds spikes, or fires integers, and the most it can give."""
CURRENTS = {"bestformer_small"}
"""What adds membranes: features are currents, and the layer named for objectives is the last neuron in front of them."""


def small(name: str, **options) -> SpikingModel:
    torch.manual_seed(0)
    sizes = {"num_classes": CLASSES, "input_size": SIZE, "width": 0.125, "T": 4}
    return create_model(name, **(sizes | options))


def settled(name: str) -> SpikingModel:
    """In evaluation mode, with batch-norm statistics under which neurons fire."""
    model = small(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    if name in SMALL_TRANSFORMERS:
        wake(model)
    model(frames())
    return model.eval()


def wake(model: SpikingModel) -> None:
    """Attention starts silent: products of few spikes. Larger currents make it fire, as training does."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 4.0)


def frames(t: int = 4, n: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.poisson(torch.full((t, n, 2, *size), 0.5), generator=torch.Generator().manual_seed(1))


@each
@pytest.mark.parametrize(("t", "n"), [(4, 3), (1, 2), (3, 1), (1, 1)])
def test_shapes(name: str, t: int, n: int) -> None:
    model = small(name).eval()
    x = frames(t, n)
    spikes = model.forward_features(x)
    assert spikes.shape[:2] == (t, n) and spikes.dim() == 5
    assert model(x).shape == (t, n, CLASSES)
    assert model.forward_head(spikes).shape == (t, n, CLASSES)
    assert model.forward_head(spikes.mean(0)).shape == (n, CLASSES)


@each
def test_features_are_spikes_and_feed_a_linear_head(name: str) -> None:
    model = settled(name)
    x = frames()
    spikes = model.forward_features(x)
    if name not in CURRENTS:
        assert set(spikes.unique().tolist()) <= set(range(COUNTS.get(name, 1) + 1))
        assert spikes.max() >= min(2, COUNTS.get(name, 1)) and spikes.min() == 0
    logits = model(x)
    assert torch.equal(logits, model.forward_head(spikes))
    torch.testing.assert_close(logits.mean(0), model.forward_head(spikes.mean(0)), atol=1e-5, rtol=1e-5)


@each
def test_no_state_between_calls_and_no_future(name: str) -> None:
    model = settled(name)
    x = frames()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = model(x)
    assert torch.equal(model(x), first)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any("neuron" in key for key in before)
    torch.testing.assert_close(model(x[:2]), first[:2])
    assert not torch.equal(first[0], first[1])


@each
def test_same_seed_same_model(name: str) -> None:
    one, two = settled(name), settled(name)
    assert torch.equal(one(frames()), two(frames()))
    again = create_model(**dict(one.config))
    assert again.config == one.config
    again.load_state_dict(one.state_dict())
    assert torch.equal(again.eval()(frames()), one(frames()))


@each
@pytest.mark.parametrize("head", ["flatten", "gap"])
def test_gradient_reaches_every_parameter(name: str, head: str) -> None:
    size = (32, 32)  # what the deepest network with the head `flatten` needs
    width = 0.5 if name in SMALL_TRANSFORMERS else 0.125  # heads of one channel have no products to speak of
    model = small(name, head=head, input_size=size, width=width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not bool(module.weight.any()):
            nn.init.ones_(
                module.weight
            )  # a residual branch that starts at 0 passes no gradient at the first step
    if name in SMALL_TRANSFORMERS:
        wake(model)
    for module in model.modules():
        if isinstance(module, Scale):  # so few tokens do not reach the threshold times 0.125
            module.factor = 1.0
    x = frames(4, 8, size)
    nn.functional.cross_entropy(model(x).mean(0), torch.arange(8) % CLASSES).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # batch-norm takes the mean off, so a bias before it changes nothing
        behind_norm = key.endswith("bias") and "conv" in key
        assert behind_norm or parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", CONVOLUTIONAL + SEQUENCES)
@pytest.mark.parametrize("neuron", [None, "lif_soft", "lif_tet", "plif_sew"])
def test_neurons_fire_at_the_start(name: str, neuron: str | None) -> None:
    model = small(name, neuron=neuron)
    rates: dict[str, float] = {}
    for key, layer in model.neurons().items():
        layer.register_forward_hook(lambda m, args, out, key=key: rates.update({key: out.mean().item()}))
    model(frames())
    assert list(rates) == list(model.neurons())  # forward order
    assert all(0.005 < rate < 0.8 for rate in rates.values()), rates


@each
def test_feature_layer_is_what_the_head_reads(name: str) -> None:
    model = settled(name)
    caught: list[Tensor] = []
    layer = model.get_submodule(model.feature_layer)
    assert isinstance(layer, Neuron) or name in COUNTS
    layer.register_forward_hook(lambda module, args, out: caught.append(out))
    spikes = model.forward_features(frames())
    assert name in CURRENTS or torch.equal(caught[0], spikes)
    assert not any(isinstance(m, Neuron) for m in model.head.modules())


class Leaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Neuron) or not list(m.children())


@each
def test_symbolic_trace_with_layers_as_leaves(name: str) -> None:
    model = settled(name)
    graph = Leaves().trace(model)
    called = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    assert [key for key in called if key in model.neurons()] == list(model.neurons())
    # what a recurrent neuron is made of is inside it
    outside = {
        key: module
        for key, module in model.named_modules()
        if not any(key.startswith(f"{neuron}.") for neuron in model.neurons())
    }
    assert set(called) == {
        key for key, module in outside.items() if isinstance(module, Neuron) or not list(module.children())
    }
    traced = fx.GraphModule(model, graph)
    assert torch.equal(traced(frames()), model(frames()))


@each
def test_width_and_neuron_options(name: str) -> None:
    config = NeuronConfig(tau=4.0, v_threshold=0.75)
    model = small(name, neuron=config, width=0.25)
    attention = config.model_copy(update={"v_threshold": 0.5})
    after_products = {key for key in model.neurons() if key.endswith("attention_neuron")}
    own = {
        key for key in model.neurons() if key.endswith("map_neuron")
    }  # soft reset and threshold 1, whatever the others have
    found = {key: layer.config for key, layer in model.neurons().items() if key not in own}
    assert found == {key: attention if key in after_products else config for key in found}
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    full = [m for m in small(name, width=1.0).modules() if isinstance(m, nn.Conv2d)]
    assert [4 * conv.out_channels for conv in convs] == [conv.out_channels for conv in full]


@each
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 3, 1, *SIZE), r"expects \[T, N, 2, 16, 16\], got \[4, 3, 1, 16, 16\].*in_channels=1"),
        ((3, 2, 4, *SIZE), "axes 1 and 2 look swapped"),
        ((4, 3, 2, 16, 18), r"resize the frames.*input_size=\(16, 18\)"),
        ((3, 2, *SIZE), "add the time axis"),
        ((2, 3, 4, 2, *SIZE), "time comes first"),
        ((0, 3, 2, *SIZE), "no time step"),
    ],
)
def test_wrong_input(name: str, shape: tuple[int, ...], message: str) -> None:
    model = small(name)
    with pytest.raises(DataError, match=message):
        model(torch.zeros(shape))
    with pytest.raises(DataError, match=message):
        model.forward_features(torch.zeros(shape))


@each
def test_integer_frames_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"torch.uint8.*x.float"):
        small(name)(frames().to(torch.uint8))


@each
def test_bad_options(name: str) -> None:
    with pytest.raises(RecipeError, match="did you mean 'lif_soft'"):
        small(name, neuron="lif_sotf")
    for options in ({"width": 0.0}, {"num_classes": 0}, {"head": "mean"}, {"input_size": (0, 16)}):
        with pytest.raises(RecipeError, match=f"{name}.*{next(iter(options))}"):
            small(name, **options)


def test_unknown_model() -> None:
    with pytest.raises(
        RecipeError,
        match=r"unknown model 'vgg8'.*Known: .*ms_resnet18, .*resnet19, .*, vgg9, vgg_small, .*vggsnn",
    ):
        create_model("vgg8", num_classes=10, input_size=(48, 48))


def test_default_neurons() -> None:
    defaults = {name: small(name).config.neuron for name in CONVOLUTIONAL + SEQUENCES}
    assert defaults == {
        "ms_resnet18": "lif_soft",
        "resnet19": "lif_tet",
        "resnet20": "lif_tet",
        "spiking_mlp": "lif_soft",
        "spiking_rnn": "lif_soft",
        "spiking_tcn": "lif_soft",
        "vgg11": "lif_nda",
        "vgg16": "lif_tet",
        "vgg16_avg": "lif_tet",
        "vgg9": "lif_soft",
        "vgg_small": "lif_soft",
        "vgg_tiny": "lif_soft",
        "vggsnn": "lif_tet",
    }
    assert small("vgg11").config.neuron_config == preset("lif_nda")
    assert {small(name).config.neuron for name in SMALL_TRANSFORMERS} == {"lif_sj"}


def test_families() -> None:
    assert family_of("vggsnn") == "vgg" and family_of("qkformer_hst_10_384") == "qkformer"
    assert {family_of(name) for name in SMALL_TRANSFORMERS} >= {
        "qkformer",
        "spikformer",
        "spikingformer",
        "sdt",
    }
