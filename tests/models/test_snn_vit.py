"""SNN-ViT: sizes, embedding, options, what it looks at, and that looking is worth something."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, Conv2d
from rheobase.layers.attention.saccadic import SaccadicSelfAttention
from rheobase.models import SpikingModel, create_model
from rheobase.models.gaze import gaze, saccadic_neurons
from rheobase.models.snn_vit import NearAndFar
from rheobase.neurons import NeuronConfig, build_neuron
from rheobase.neurons.saccadic import SaccadicConfig, decoupled, integrate


def small(T: int | None = 4, **options) -> SpikingModel:
    torch.manual_seed(0)
    model = create_model(
        "snn_vit_small",
        num_classes=3,
        input_size=(8, 12),
        neuron="lif_soft",
        T=T,
        options={"dim": 16, "heads": 2, "depth": 2} | options,
    )
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
    return model


def frames(t: int = 4, n: int = 3) -> Tensor:
    return torch.poisson(torch.full((t, n, 2, 8, 12), 0.5), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "channels", "size", "options", "parameters", "spikes"),
    [
        ("snn_vit_small", 2, 34, {}, 594_226, (128, 9, 9)),
        ("snn_vit_cifar", 3, 32, {}, 5_303_954, (384, 8, 8)),
        ("snn_vit_cifar", 3, 32, {"rpe": True, "gl_dilation": None}, 5_758_178, (384, 8, 8)),
        ("snn_vit_dvs", 2, 128, {}, 1_570_846, (256, 8, 8)),
        ("snn_vit_dvs", 2, 128, {"mode": "v2b"}, 1_504_814, (256, 8, 8)),
    ],
)
def test_parameters_and_map(name, channels, size, options, parameters, spikes):
    with torch.device("meta"):
        model = create_model(
            name, num_classes=10, in_channels=channels, input_size=(size, size), T=4, options=options
        )
        assert sum(p.numel() for p in model.parameters()) == parameters
        assert model.eval().features(torch.zeros(1, 1, channels, size, size)).shape[2:] == spikes


@pytest.mark.parametrize(
    ("name", "published"), [("snn_vit_8_256", 13.7), ("snn_vit_8_384", 30.4), ("snn_vit_8_512", 53.7)]
)
def test_the_sizes_for_imagenet_have_the_published_parameters(name, published):
    with torch.device("meta"):
        model = create_model(name, num_classes=1000, in_channels=3, input_size=(224, 224), T=4)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(published * 1e6, rel=0.005)


def test_the_pyramid_trains_and_every_parameter_learns():
    torch.manual_seed(0)
    model = create_model("snn_vit_8_256", num_classes=3, input_size=(32, 32), T=2, width=0.25)
    x = torch.poisson(torch.full((2, 4, 2, 32, 32), 0.5))
    assert model.features(x).shape == (2, 4, 80, 2, 2)
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    with pytest.raises(RecipeError, match="give T"):
        create_model("snn_vit_8_256", num_classes=3, input_size=(32, 32))


def test_parameters_by_hand():
    """D^2 (12 depth + 11.8) and what is left: norms, the first stage, the head, the saccadic neurons."""
    D, depth, T = 64, 3, 4
    with torch.device("meta"):
        model = create_model(
            "snn_vit_small", num_classes=10, input_size=(8, 8), T=T, options={"dim": D, "depth": depth}
        )
    widths = [2, D // 8, D // 4, D // 2, D]
    embedding = sum(2 * (9 * a * b + 2 * b) for a, b in pairwise(widths))
    blocks = depth * (4 * (D * D + 2 * D) + 8 * D * D + 2 * 4 * D + 2 * D + T * T + T)
    assert sum(p.numel() for p in model.parameters()) == embedding + blocks + 10 * D + 10


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2, 3, None])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_near_and_far_have_one_shape(stride, dilation, size):
    stage = NearAndFar(2, 6, stride, dilation)
    x = torch.randn(2, 3, 2, *size, generator=torch.Generator().manual_seed(0))
    near = stage.near(x)
    assert near.shape == (2, 3, 6, -(-size[0] // stride), -(-size[1] // stride))
    if dilation is None:
        assert torch.equal(stage.eval()(x), stage.near_norm(near))
        return
    far = stage.far(x)
    assert far.shape == near.shape
    torch.testing.assert_close(stage.eval()(x), stage.near_norm(near) + stage.far_norm(far))


def test_the_far_branch_sees_far():
    stage = NearAndFar(1, 1, 1, 3)
    dot = torch.zeros(1, 1, 1, 9, 9)
    dot[..., 4, 4] = 1
    seen = stage.far(dot)[0, 0, 0].nonzero() - 4
    assert sorted({abs(int(i)) for i in seen.flatten()}) == [0, 3]


OPTIONS = [
    {"attention": "spiking"},
    {"mode": "v2b"},
    {"memory_gate": "lif", "salience_norm": "bn"},
    {"salience_norm": "none"},
    {"saccadic": {"sharing": "head", "infer": "parallel"}},
    {"residual": "spike"},
    {"residual": "spike", "down": ["none", "pool", "stride", "pool"], "rpe": True},
    {"gl_dilation": [1, 2, 3, 2]},
    {"gl_dilation": None, "rpe": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_trains_and_is_causal(options):
    model = small(**options)
    x = frames()
    nn.functional.cross_entropy(model(x).mean(0), torch.arange(3)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    model.eval()
    y = model(x)
    torch.testing.assert_close(model(x[:2]), y[:2])
    counts = model.forward_features(x).unique().tolist()
    assert all(count == int(count) for count in counts)
    assert options.get("residual") == "spike" or counts == [0.0, 1.0]
    again = create_model(**dict(model.config))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), y)


def test_where_it_looks():
    model, x = small(), frames()
    model(x)
    seen = gaze(model, x)
    assert model.training
    read = {}
    for name, neuron in saccadic_neurons(model).items():
        neuron.register_forward_hook(lambda m, i, o, name=name: read.update({name: (m, i[0], o)}))
    model.eval()(x)
    assert list(seen) == [
        "features.block1_attention.branch.sum.saccade",
        "features.block2_attention.branch.sum.saccade",
    ]
    for name, (neuron, salience, gates) in read.items():
        assert seen[name].gates.shape == (4, 3, 2, 2, 3)
        assert set(seen[name].gates.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(seen[name].gates, gates)
        other = decoupled(salience, neuron.mixing_matrix(), neuron.thresholds())
        assert seen[name].mismatch == pytest.approx(float((other != gates).double().mean()))
    assert max(found.mismatch for found in seen.values()) > 0
    identity = small(saccadic={"mixing": "identity"})
    identity(x)
    assert max(found.mismatch for found in gaze(identity, x).values()) < 1e-6


def test_mistakes():
    with pytest.raises(RecipeError, match=r"must know how many there are: give T.*create_model\(..., T=4\)"):
        small(T=None)
    assert small(T=None, attention="spiking")(frames()).shape == (4, 3, 3)
    with pytest.raises(RecipeError, match="5 heads cannot share a width of 16 evenly"):
        small(heads=5)
    with pytest.raises(RecipeError, match=r"gl_dilation is one number .* or a list of 4, got \[1, 2\]"):
        small(gl_dilation=[1, 2])
    with pytest.raises(
        RecipeError, match=r"gives currents .* cannot be pooled.*'stride', or residual = 'spike'"
    ):
        small(down=["none", "none", "pool", "pool"])
    with pytest.raises(RecipeError, match="snn_vit_small: mode = 'v1_ref' cannot be used"):
        small(mode="v1_ref")
    with pytest.raises(RecipeError, match="SpikingModel has no saccadic neuron"):
        gaze(small(attention="spiking"), frames())


# --- a cue at the first step alone says which of 16 patches carries the class

T, SIDE, CLASSES = 4, 4, 4


def cued(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """One patch is lit at step 0; from step 1 on every patch shows a class of its own.

    Shape: `[T, n, 1 + CLASSES, SIDE, SIDE]`, the class of the lit patch `[n]`, and which patch `[n]`.
    """
    g = torch.Generator().manual_seed(seed)
    place = torch.randint(SIDE**2, (n,), generator=g)
    shown = torch.randint(CLASSES, (n, SIDE**2), generator=g)
    x = torch.zeros(T, n, 1 + CLASSES, SIDE**2)
    x[0, torch.arange(n), 0, place] = 1
    x[1:, :, 1:] = nn.functional.one_hot(shown, CLASSES).mT.float()
    return x.unflatten(-1, (SIDE, SIDE)), shown[torch.arange(n), place], place


class OneLook(nn.Module):
    """One layer of attention between linear maps; no neuron but the saccadic one remembers anything (tau = 1)."""

    def __init__(self, attend: bool) -> None:
        super().__init__()
        neuron = NeuronConfig(tau=1.0, v_reset=0.0)
        self.stem = nn.Sequential(
            Conv2d(1 + CLASSES, 16, 1, bias=False), BatchNorm2d(16), build_neuron(neuron)
        )
        self.attention = SaccadicSelfAttention(16, 1, T, neuron, tokens=SIDE**2, mode="v2b")
        if not attend:
            self.attention.saccade = PassAll()
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(self.stem(x)).mean((0, 3, 4)))


class PassAll(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


def trained(attend: bool, steps: int = 100) -> OneLook:
    torch.manual_seed(0)
    net = OneLook(attend)
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for step in range(steps):
        x, label, _ = cued(64, step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), label).backward()
        optimiser.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: OneLook, x: Tensor, label: Tensor) -> float:
    return float((net(x).argmax(-1) == label).float().mean())


def test_a_look_is_remembered_and_the_decoupled_rule_forgets_it():
    x, label, place = cued(2000, 10**6)
    net = trained(attend=True)
    causal, without = accuracy(net, x, label), accuracy(trained(attend=False), x, label)
    neuron, read = net.attention.saccade, []
    neuron.register_forward_hook(lambda m, i, o: read.append((i[0], o)))
    assert causal == accuracy(net, x, label) > 0.95
    salience, gates = read[0]
    later = gates[1:, :, 0].flatten(2).mean(0)  # [n, 16]: looks after the cue is gone
    inside = later[torch.arange(2000), place]
    outside = (later.sum(1) - inside) / (SIDE**2 - 1)
    assert float(inside.mean()) > 0.9 and float(outside.mean()) < 0.1
    neuron.config = SaccadicConfig(infer="decoupled")
    forgetful = accuracy(net, x, label)
    with torch.no_grad():
        m, v = neuron.mixing_matrix(), neuron.thresholds()
        differs = float((decoupled(salience, m, v) != gates).float().mean())
        assert torch.equal(gates, (integrate(salience, m) >= v[:, None, :, None, None]).float())
    print(
        f"causal {causal:.3f}, decoupled {forgetful:.3f} (mismatch {differs:.3f}), no attention {without:.3f}"
    )
    assert without < 0.5 and forgetful < 0.6 and differs > 0.02
