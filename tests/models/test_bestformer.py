"""What BESTformer adds to the contract of all models: sizes, binary weights, two heads, reversible trunk."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from rheobase.compression import QuantConfig, StandardisedSignConfig, quantise_, quantisers, weight_bytes
from rheobase.compression.graph import trace
from rheobase.compression.quantise import weighted_layers
from rheobase.errors import DataError, LatticeError, RecipeError
from rheobase.layers import BatchNorm2d
from rheobase.layers.reversible import first_state
from rheobase.models import create_model
from rheobase.objectives import InformationEnhancement, InformationEnhancementConfig
from rheobase.training import ArrayFrames, OptimiserConfig, TrainConfig, evaluate, fit

BINARY = QuantConfig(weights=StandardisedSignConfig(), edge_bits=None)


def made(binary=True, T=3, size=(12, 12), head=None, **options):
    torch.manual_seed(0)
    options = {"width": 16, "heads": 2, "pools": [1, 3], "attn_scale": 2.0, "lam": "step_head"} | options
    model = create_model("bestformer_small", num_classes=4, input_size=size, T=T, head=head, options=options)
    return quantise_(model, BINARY) if binary else model


def settled(model, x):
    """In evaluation mode, with the batch-norm statistics of these frames."""
    for norm in model.modules():
        if isinstance(norm, BatchNorm2d):
            norm.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return model.eval()


def frames(dtype=torch.float32, T=3, size=(12, 12)):
    return torch.poisson(torch.full((T, 4, 2, *size), 0.6), generator=torch.Generator().manual_seed(0)).to(
        dtype
    )


@pytest.mark.parametrize(
    ("name", "channels", "binary"),
    [
        ("bestformer_4_384", 3, 9_275_904),
        ("bestformer_8_512", 3, 29_073_408),
        ("bestformer_small", 2, 637_440),
    ],
)
def test_sizes(name, channels, binary):
    with torch.device("meta"):
        model = create_model(name, num_classes=10, in_channels=channels, input_size=(32, 32), T=4)
    inner = list(weighted_layers(model).values())[1:-1]
    assert sum(layer.weight.numel() for layer in inner) == binary
    if name == "bestformer_small":
        assert sum(p.numel() for p in model.parameters()) <= 1_500_000


def test_all_weights_are_binary_but_the_first_and_the_heads():
    model = made(width=64)  # rows of whole bytes
    layers, found = weighted_layers(model), quantisers(model)
    assert set(layers) - set(found) == {"features.tokenizer.conv0", "head.linear"}
    assert all(set(layers[name].weight.unique().tolist()) == {-1.0, 1.0} for name in found)
    bits = sum(layers[name].weight.numel() for name in found)
    floats = sum(layers[name].weight.numel() for name in layers.keys() - found.keys())
    assert weight_bytes(model) == bits / 8 + 4 * floats
    with pytest.raises(LatticeError, match="unknown layer pattern"):
        quantise_(made(binary=False), BINARY, {"features.conv9": None})
    rest = quantise_(model, QuantConfig(edge_bits=8))
    assert len(quantisers(rest)) == len(layers), "what was left float gets eight bits"
    assert quantisers(rest)["features.trunk.mlp1.branch.conv1"] is found["features.trunk.mlp1.branch.conv1"]


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_two_heads_are_one_linear_layer_at_inference(head):
    model, x = settled(made(head=head, binary=False).double(), frames(torch.float64)), frames(torch.float64)
    features = model.forward_features(x)
    first, second = model.forward_heads(features)
    torch.testing.assert_close(model(x), (first + second) / 2)
    z0, z1 = features.chunk(2, 2)
    weight, bias = model.head.linear.weight, model.head.linear.bias
    pooled = [z.mean((3, 4)) if head == "gap" else z.flatten(2) for z in (z0, z1)]
    width = pooled[0].shape[-1]
    torch.testing.assert_close(first, F.linear(pooled[0], weight[:, :width], bias))
    torch.testing.assert_close(second, F.linear(pooled[1], weight[:, width:], bias))
    single = made(two_heads=False).double()
    assert len(single.forward_heads(z0)) == 1 and single.forward_heads(z0)[0].shape == (3, 4, 4)


def test_every_parameter_learns():
    for order in ("qk_first", "kv_first"):
        model = made(order=order, attn_scale=16.0)
        for name, norm in model.named_modules():
            if name.endswith(("q_norm", "k_norm", "v_norm")):
                nn.init.ones_(norm.bias)  # so that attention fires with so few channels
        model(frames()).mean(0).logsumexp(-1).sum().backward()
        silent = [
            name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
        ]
        assert not silent


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-2)])
def test_the_tokens_come_back_from_the_two_last_streams(dtype, tolerance):
    x = frames(dtype)
    model = settled(made().to(dtype), x)
    with torch.no_grad():
        tokens = model.features.tokenizer(x)
        branches = [step.branch for step in model.features.trunk.children()]
        found = first_state(branches, *model.forward_features(x).chunk(2, 2))
    assert (found - tokens).abs().max() < tolerance


def test_plain_residual():
    x = frames(torch.float64)
    model = settled(made(reversible=False, two_heads=False).double(), x)
    state = model.features.tokenizer(x)
    for block in (1, 2):
        trunk = model.features.trunk
        state = state + trunk.get_submodule(f"attention{block}").branch(state)
        state = state + trunk.get_submodule(f"mlp{block}").branch(state)
    torch.testing.assert_close(model.forward_features(x), state)


def test_recompute_trains_the_same_network():
    stored, again = made(recompute=False).double().train(), made(recompute=True).double().train()
    for model in (stored, again):
        model(frames(torch.float64)).mean(0).logsumexp(-1).sum().backward()
    for (name, one), two in zip(stored.named_parameters(), again.parameters(), strict=True):
        assert (one.grad - two.grad).norm() <= 1e-8 * one.grad.norm(), name
    for one, two in zip(stored.buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(one, two)


def test_a_traced_model_is_leaf_layers_and_additions():
    for options in ({}, {"reversible": False}, {"two_heads": False}, {"recompute": True}, {"lam": "none"}):
        model = settled(made(**options), frames())
        graph = trace(model)
        kinds = {node.op for node in graph.nodes} - {"placeholder", "output", "call_module"}
        assert kinds == {"call_function"}
        assert {node.target.__name__ for node in graph.nodes if node.op == "call_function"} == {"add"}
        with torch.no_grad():
            assert torch.equal(torch.fx.GraphModule(model, graph)(frames()), model(frames()))


def test_options_and_steps():
    with pytest.raises(RecipeError, match="give T, or options lam='head'"):
        made(T=None)
    with pytest.raises(RecipeError, match=r"pools \[5\]"):
        made(pools=[5])
    with pytest.raises(RecipeError, match="no inverse"):
        made(reversible=False, recompute=True)
    with pytest.raises(DataError, match="no more steps"):
        made(T=2)(frames())
    model = settled(made(T=5), frames(T=5))
    assert model(frames(T=5)[:2]).shape == (2, 4, 4), "fewer steps take the first factors"
    assert made(T=None, lam="head").features.trunk.attention1.branch.lam.factor.shape == (1, 1, 2, 1, 1)
    assert isinstance(made(lam="none").features.trunk.attention1.branch.lam, nn.Identity)


def test_a_binary_network_without_stored_activations_learns_digits():
    """Four digits, well above the chance of one in four, with labels for both heads; T = 2."""
    digits = load_digits(n_class=4)
    chosen = np.random.default_rng(0).permutation(len(digits.images))[:500]
    images = digits.images[chosen].astype(np.uint8)[:, None, None].repeat(2, 1)
    labels = digits.target[chosen]
    train, test = (ArrayFrames(images[part], labels[part]) for part in (slice(300), slice(300, 500)))
    torch.manual_seed(0)
    model = create_model(
        "bestformer_small",
        num_classes=4,
        in_channels=1,
        input_size=(8, 8),
        input_unit=1 / 16,
        T=2,
        options={"width": 32, "heads": 2, "depth": 1, "pools": [1], "attn_scale": 0.5, "recompute": True},
    )
    fit(
        quantise_(model, BINARY),
        train,
        InformationEnhancement(InformationEnhancementConfig(distill="none")),
        optimiser=OptimiserConfig(name="adamw", lr=4e-3, warmup_epochs=1),
        train=TrainConfig(epochs=8, batch_size=15, threads=1, precision="32", workers=0),
        quiet=True,
    )
    assert evaluate(model, test).accuracy > 0.5
