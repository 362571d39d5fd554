"""Which channels must go together: structures beyond the registered models, and what is refused by name."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pruning_helpers import assert_equals_masked, lively, spikes
from torch import nn

from rheobase.compression.pruning import PruneConfig, PruneError, find_groups, prune_, trace
from rheobase.layers import AvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, SpikingSelfAttention
from rheobase.neurons import LIF, NeuronConfig, build_neuron

X = spikes(3, 4, 2, 4, 4, rate=0.5)
LOW = NeuronConfig(v_threshold=0.3)


class Net(nn.Module):
    """conv - neuron - conv - norm - neuron - (what the test is about) - conv - neuron - linear."""

    inputs, groups, outputs = 8, 1, 8  # of the third convolution, of the second, and of the third

    def __init__(self, second=8):
        super().__init__()
        self.conv1, self.neuron1 = Conv2d(2, 8, 3, padding=1), LIF(LOW)
        self.conv2 = Conv2d(8, second, 3, padding=1, groups=self.groups)
        self.norm2, self.neuron2 = BatchNorm2d(second), LIF(LOW)
        self.conv3, self.neuron3 = Conv2d(self.inputs, self.outputs, 3, padding=1), LIF(LOW)
        self.head = Linear(self.outputs * 16, 3)
        self.extra()

    def extra(self):
        pass

    def middle(self, x, a, b):
        return b

    def end(self, a, c):
        return c

    def forward(self, x):
        a = self.neuron1(self.conv1(x))
        b = self.neuron2(self.norm2(self.conv2(a)))
        c = self.end(a, self.conv3(self.middle(x, a, b)))
        return self.head(self.neuron3(c).flatten(2))


class Depthwise(Net):
    groups, inputs = 8, 16

    def __init__(self):
        super().__init__(16)


class Grouped(Net):
    groups = 2


class Concatenated(Net):
    inputs = 16

    def middle(self, x, a, b):
        return torch.cat([a, b], 2)


class InputConcatenated(Net):
    inputs = 10

    def middle(self, x, a, b):
        return torch.cat([x, b], dim=2)


class InPlaceAddition(Net):
    def middle(self, x, a, b):
        b += a
        return b


class ZeroPaddedShortcut(Net):
    outputs = 12

    def end(self, a, c):
        return c + F.pad(a, (0, 0, 0, 0, 2, 2))


class ScaledPerChannel(Net):
    def extra(self):
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def middle(self, x, a, b):
        return b * self.scale


class Gated(Net):
    def end(self, a, c):
        return c * torch.sigmoid(c.mean((-1, -2), keepdim=True))


class Shuffled(Net):
    def middle(self, x, a, b):
        T, N, C, H, W = b.shape
        return b.view(T, N, 2, C // 2, H, W).transpose(2, 3).flatten(2, 3)


class Surrogate(torch.autograd.Function):
    """Followed through its forward, like any function."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0.5).to(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


class CustomGradient(Net):
    def middle(self, x, a, b):
        return Surrogate.apply(b)


class Chunked(Net):
    def middle(self, x, a, b):
        one, other = b.chunk(2, dim=2)
        return torch.cat([one, one * other], dim=2)


class FunctionalPools(Net):
    def middle(self, x, a, b):
        pooled = F.max_pool2d(b.flatten(0, 1), 2)
        return F.interpolate(pooled, scale_factor=2.0).unflatten(0, b.shape[:2])


class Modules(Net):
    def extra(self):
        self.pools = nn.Sequential(MaxPool2d(2), nn.Identity(), nn.Dropout(0.5))
        self.up = nn.Upsample(scale_factor=2)

    def middle(self, x, a, b):
        return self.up(self.pools(b).flatten(0, 1)).view(*b.shape)


STRUCTURES = {
    Net: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    Depthwise: [("conv1", 8), ("conv3", 8)],
    Grouped: [("conv1", 4), ("conv2", 8), ("conv3", 8)],
    Concatenated: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    InputConcatenated: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    InPlaceAddition: [("conv1", 8), ("conv3", 8)],
    ZeroPaddedShortcut: [("conv1", 12), ("conv2", 8)],
    ScaledPerChannel: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    Gated: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    Shuffled: [("conv1", 8), ("conv2", 4), ("conv3", 8)],
    CustomGradient: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    Chunked: [("conv1", 8), ("conv2", 4), ("conv3", 8)],
    FunctionalPools: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
    Modules: [("conv1", 8), ("conv2", 8), ("conv3", 8)],
}


def built(kind):
    torch.manual_seed(1)
    return lively(kind().double(), X)


@pytest.mark.parametrize("ratio", [0.25, 0.5])
@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures(kind, ratio):
    original = built(kind)
    slim = copy.deepcopy(original)
    assert [(g.name, g.size) for g in find_groups(trace(original, X))] == STRUCTURES[kind]
    plan = prune_(slim, PruneConfig(score="svs", ratio=ratio), X)
    assert_equals_masked(original, slim, plan, X.flip(1))
    assert plan.ratio > 0.2


def test_what_an_addition_ties_goes_together():
    groups = find_groups(trace(built(InPlaceAddition), X))
    assert groups[0].layers == ("conv1", "conv2")


def test_padding_with_zeros_ties_only_the_middle():
    """Channels 2..9 of the third convolution are those of the first; 0, 1, 10, 11 are added to zeros and must stay."""
    (group, _) = find_groups(trace(built(ZeroPaddedShortcut), X))
    assert group.layers == ("conv1", "conv3")
    assert sum(group.free) == 8 and set(group.reasons) == {8, 9, 10, 11}
    assert all("no removable channel" in reason for reason in group.reasons.values())


def test_depthwise_sizes():
    model = built(Depthwise)
    prune_(model, PruneConfig(score="l1", ratio=0.5), X)
    conv = model.conv2
    assert (conv.in_channels, conv.out_channels, conv.groups) == (4, 8, 4) and conv.weight.shape == (
        8,
        1,
        3,
        3,
    )


def test_grouped_convolutions_keep_even_groups():
    model = built(Grouped)
    plan = prune_(model, PruneConfig(score="l1", ratio=0.5), X)
    assert model.conv2.weight.shape == (4, 2, 3, 3) and model.conv2.groups == 2
    kept = next(g.kept for g in plan.groups if g.name == "conv2")
    assert sum(i < 4 for i in kept) == 2


def test_thresholds_per_channel_shrink():
    torch.manual_seed(0)
    thresholds = torch.linspace(0.1, 0.8, 8)
    model = nn.Sequential(
        Conv2d(2, 8, 3, padding=1),
        LIF(threshold=nn.Parameter(thresholds.clone())),
        Conv2d(8, 6, 3, padding=1),
        LIF(threshold=torch.linspace(0.1, 0.4, 6)),
        AvgPool2d(4),
        nn.Flatten(2),
        Linear(6, 3),
    ).double()
    slim = copy.deepcopy(model)
    plan = prune_(slim, PruneConfig(score="l1", ratio=0.5), X)
    assert torch.equal(slim[1].v_threshold, thresholds.double()[list(plan.groups[0].kept)])
    assert slim[3].v_threshold.shape == (3,) and "3.v_threshold" in slim.state_dict()
    assert_equals_masked(model, slim, plan, X)


def test_plif_runs_slimmed():
    torch.manual_seed(0)
    neuron = build_neuron(NeuronConfig(kind="plif", v_threshold=0.3))
    model = nn.Sequential(Conv2d(2, 8, 3), neuron, nn.Flatten(2), Linear(32, 3)).double()
    slim = copy.deepcopy(model)
    assert_equals_masked(model, slim, prune_(slim, PruneConfig(ratio=0.5), X), X)


# -- attention

TOKENS = spikes(3, 4, 16, 2, 3, rate=0.5)


@pytest.mark.parametrize("order", ["linear", "quadratic"])
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_attention_heads_shrink_evenly(order, ratio):
    torch.manual_seed(0)
    original = lively(
        SpikingSelfAttention(16, 4, NeuronConfig(v_threshold=0.5), order=order).double(), TOKENS
    )
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(score="svs", ratio=ratio), TOKENS)
    # queries and keys of a head share their channels; values have their own
    assert {g.name: g.channels for g in plan.groups} == {"q.conv": 16, "v.conv": 16}
    assert all(len(g.kept) == 16 * (1 - ratio) for g in plan.groups)
    width = int(16 * (1 - ratio))
    assert slim.q.conv.weight.shape == (width, 16, 1, 1) and slim.out.conv.weight.shape == (16, width, 1, 1)
    assert slim.v.norm.num_features == width
    assert_equals_masked(original, slim, plan, TOKENS.flip(1))
    rows = {
        name: next(c.kept for c in plan.cuts if c.tensor == f"{name}.conv.weight" and c.axis == 0)
        for name in "qkv"
    }
    for kept in rows.values():
        assert [sum(4 * h <= i < 4 * h + 4 for i in kept) for h in range(4)] == [width // 4] * 4
    assert rows["q"] == rows["k"], "queries and keys match"


class Transformer(nn.Module):
    """Patches, an offset per channel, one attention block with residual additions, one MLP, mean of tokens."""

    def __init__(self, width=16):
        super().__init__()
        self.patch, self.norm = Conv2d(2, width, 2, stride=2), BatchNorm2d(width)
        self.position = nn.Parameter(torch.rand(1, 1, width, 1, 1))
        self.neuron = LIF(LOW)
        self.attention = SpikingSelfAttention(width, 4, LOW, order="linear")
        self.up, self.up_neuron = Linear(width, 2 * width), LIF(LOW)
        self.down, self.down_neuron = Linear(2 * width, width), LIF(LOW)
        self.head = Linear(width, 3)

    def forward(self, x):
        x = self.norm(self.patch(x)) + self.position
        x = (x + self.attention(self.neuron(x))).flatten(3).transpose(2, 3)
        x = x + self.down_neuron(self.down(self.up_neuron(self.up(x))))
        return self.head(x.mean(2))


def test_a_transformer_shrinks_its_residual_stream():
    torch.manual_seed(0)
    original = lively(Transformer().double(), X)
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(score="l1", ratio=0.5), X)
    assert {g.name: len(g.kept) for g in plan.groups} == {
        "patch": 8,
        "attention.q.conv": 8,
        "attention.v.conv": 8,
        "up": 16,
    }
    assert next(g for g in plan.groups if g.name == "patch").layers == ("patch", "attention.out.conv", "down")
    assert slim.position.shape == (1, 1, 8, 1, 1)
    assert_equals_masked(original, slim, plan, X.flip(1))


# -- what cannot be followed


class LayerNormed(Net):
    def extra(self):
        self.layer_norm = nn.LayerNorm([8, 4, 4])

    def middle(self, x, a, b):
        return self.layer_norm(b)


class Einsum(Net):
    def middle(self, x, a, b):
        return torch.einsum("tnchw,tnchw->tnchw", a, b)


class Constant(Net):
    def extra(self):
        self.constant = torch.rand(8, 1, 1)

    def middle(self, x, a, b):
        return b * self.constant


class Assigned(Net):
    def middle(self, x, a, b):
        b[:, :, 0] = a[:, :, 0]
        return b


def by_numpy(x):
    return torch.from_numpy(2 * x.numpy())


class Hidden(Net):
    def middle(self, x, a, b):
        return by_numpy(b)


class FixedShape(Net):
    def middle(self, x, a, b):
        return b.reshape(*b.shape[:2], 2, 4, 4, 4).flatten(2, 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (LayerNormed, r"'layer_norm' in module 'layer_norm': there is no rule.*pointwise"),
        (Einsum, r"'einsum' in the model's own forward"),
        (Constant, r"shape \[8, 1, 1\].*register a buffer"),
        (Assigned, r"x\[\.\.\.\] = y.*torch\.where"),
        (Hidden, r"\[3, 1, 8, 4, 4\].*outside torch.*pointwise"),
        (FixedShape, r"does not run with fewer channels, so nothing was removed: shape .* is invalid.*-1"),
    ],
)
def test_refusals_name_operation_and_reason_and_change_nothing(kind, message):
    torch.manual_seed(0)
    model = kind().double().train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PruneError, match=message):
        prune_(model, PruneConfig(score="l1", ratio=0.5), X)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) and model.training
    assert model.conv2.out_channels == 8 and not any(m._forward_hooks for m in model.modules())


class Sliced(Net):
    def middle(self, x, a, b):
        return torch.cat([b[:, :, :3], b[:, :, 3:]], 2)


class Permuted(Net):
    def middle(self, x, a, b):
        return b[:, :, [7, 1, 2, 3, 4, 5, 6, 0]]


class Pairs(Net):
    inputs = 4

    def middle(self, x, a, b):
        pairs = b.unflatten(2, (-1, 2))
        return pairs[:, :, :, 0] * pairs[:, :, :, 1]


class MeanOfChannels(Net):
    def middle(self, x, a, b):
        return b * b.mean(2, keepdim=True)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Sliced, "cuts them at fixed places"),
        (Pairs, "cuts them at fixed places"),
        (Permuted, "moves them to fixed places"),
        (MeanOfChannels, "runs over channels"),
    ],
)
def test_channels_that_cannot_go_stay_while_others_go(kind, reason):
    original = built(kind)
    found = trace(original, X)
    assert any(reason in each for each in found.frozen.values())
    slim = copy.deepcopy(original)
    plan = prune_(slim, PruneConfig(ratio=0.5), X)
    assert [g.name for g in plan.groups] == ["conv1", "conv3"] and slim.conv2.weight.shape[:2] == (8, 4)
    assert_equals_masked(original, slim, plan, X)


def test_a_model_without_free_channels_says_why():
    with pytest.raises(PruneError, match=r"no channel that could be removed: they are outputs of the model$"):
        prune_(nn.Sequential(nn.Flatten(2), Linear(32, 3)).double(), PruneConfig(), X)


class MyNeuron(nn.Module):
    def forward(self, x):
        return by_numpy(x) / 2


def test_a_neuron_class_can_be_named():
    torch.manual_seed(0)
    model = nn.Sequential(Conv2d(2, 8, 3), MyNeuron(), nn.Flatten(2), Linear(32, 3)).double()
    with pytest.raises(PruneError, match="pointwise"):
        prune_(copy.deepcopy(model), PruneConfig(), X)
    plan = prune_(model, PruneConfig(ratio=0.5), X, pointwise=(MyNeuron,))
    assert model[0].weight.shape[0] == 4 and plan.groups[0].name == "0"


class PaddedShortcut(nn.Module):
    """The padded channels meet nothing that could be cut, so of the group's eight channels only the stem's four may go."""

    def __init__(self):
        super().__init__()
        self.stem, self.wide = Conv2d(2, 4, 3, padding=1), Conv2d(4, 8, 3, stride=2, padding=1)
        self.neuron1, self.neuron2, self.last = LIF(LOW), LIF(LOW), Conv2d(8, 3, 3)

    def forward(self, x):
        a = self.neuron1(self.stem(x))
        return self.last(self.neuron2(self.wide(a) + F.pad(a[..., ::2, ::2], (0, 0, 0, 0, 2, 2))))


def test_a_layer_that_would_lose_all_its_channels_is_named():
    model, x = PaddedShortcut(), spikes(3, 4, 2, 8, 8, rate=0.5).float()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(PruneError, match=r"all 4 channels of 'stem.weight' would go.*smaller ratio"):
        prune_(model, PruneConfig(score="l1", ratio=0.5), x)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    plan = prune_(model, PruneConfig(score="l1", ratio=0.3), x)
    assert [len(group.kept) for group in plan.groups] == [5] and model.stem.out_channels == 1
