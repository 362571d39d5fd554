"""quantise_: which layers get which quantiser, and what is refused."""

import pytest
import torch
from torch import nn

from rheobase.compression import QuantConfig, ReScaWConfig, code_usages, quantise_, quantisers
from rheobase.errors import LatticeError
from rheobase.models import create_model


def small():
    torch.manual_seed(0)
    return create_model("vgg_small", num_classes=4, in_channels=2, input_size=(16, 16), width=0.5)


def test_first_and_last_layers_take_edge_bits():
    model = quantise_(small(), QuantConfig(weights=ReScaWConfig(bits=2)))
    found = list(quantisers(model).values())
    assert [q.config.bits for q in found] == [8, 2, 2, 2, 8]
    assert found[0].config.per_channel and not found[-1].config.per_channel, "one unit for all logits"
    usage = code_usages(model)
    assert len(usage) == 5 and all(0 < share <= 1 for share in usage.values())


def test_edges_can_stay_float_as_in_the_paper():
    model = quantise_(small(), QuantConfig(edge_bits=None))
    assert len(quantisers(model)) == 3


def test_overrides_by_pattern():
    model = quantise_(small(), overrides={"*conv3": ReScaWConfig(bits=8)})
    bits = {name: q.config.bits for name, q in quantisers(model).items()}
    assert [bits[name] for name in bits if name.endswith("conv3")] == [8]


def test_latent_weights_learn():
    model = quantise_(small())
    x = torch.poisson(torch.full((2, 3, 2, 16, 16), 0.5))
    model(x).square().sum().backward()
    grads = [p.grad for name, p in model.named_parameters() if name.endswith("original")]
    assert len(grads) == 5 and all(g is not None and bool(g.abs().sum() > 0) for g in grads)


def test_a_foreign_network_is_quantised_too():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    quantise_(model)
    assert len(quantisers(model)) == 3


def test_refusals():
    with pytest.raises(LatticeError, match="no Conv2d or Linear"):
        quantise_(nn.ReLU())
    with pytest.raises(LatticeError, match="quantised already"):
        quantise_(quantise_(small()))
    with pytest.raises(LatticeError, match=r"conv9.*did you mean"):
        quantise_(small(), overrides={"features.conv9": ReScaWConfig()})
