"""quantise_: which layers get which quantiser, and what is refused."""

import pytest
import torch
from quantiser_cases import ALL, label
from torch import nn

from rheobase.compression import (
    LibraConfig,
    LSQConfig,
    MaxAbsConfig,
    QuantConfig,
    ReScaWConfig,
    code_usages,
    quantise_,
    quantisers,
    set_progress,
)
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


def test_overrides_in_the_configuration_and_layers_left_in_float():
    config = QuantConfig(overrides={"*conv?": LibraConfig(), "*conv1": None})
    model = quantise_(small(), config, overrides={"*conv4": LSQConfig(bits=3)})
    names = {name.removeprefix("features."): q.config.name for name, q in quantisers(model).items()}
    assert names == {"conv2": "libra", "conv3": "libra", "conv4": "lsq", "head.linear": "rescaw"}


def test_edges_take_a_quantiser_of_their_own():
    model = quantise_(small(), QuantConfig(weights=LibraConfig(), edges=MaxAbsConfig(per_channel=True)))
    found = list(quantisers(model).values())
    assert [q.config.name for q in found] == ["max_abs", "libra", "libra", "libra", "max_abs"]
    assert found[0].config.per_channel and not found[-1].config.per_channel


@pytest.mark.parametrize("config", ALL, ids=label)
def test_every_quantiser_trains_and_survives_a_checkpoint(config):
    model = quantise_(small(), QuantConfig(weights=config))
    x = torch.poisson(torch.full((2, 3, 2, 16, 16), 0.5), generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    model(x).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    optimiser.step()
    again = quantise_(small(), QuantConfig(weights=config))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), model.eval()(x))


def test_progress_reaches_every_schedule():
    model = quantise_(small(), QuantConfig(weights=LibraConfig()))
    set_progress(model, 1.0)
    schedules = [q for q in quantisers(model).values() if q.config.name == "libra"]
    assert len(schedules) == 3 and all(q.t.item() == pytest.approx(10.0) for q in schedules)


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("config", [ReScaWConfig(bits=2), LibraConfig(), LSQConfig(bits=4)], ids=label)
def test_a_spikingjelly_network_is_quantised_and_trains(mode, config):
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed (requirements-peers.txt)")
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif():
        return neuron.LIFNode(tau=2.0, decay_input=False, surrogate_function=surrogate.ATan(), step_mode=mode)

    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False, step_mode=mode),
        layer.BatchNorm2d(4, step_mode=mode),
        lif(),
        layer.Conv2d(4, 4, 3, padding=1, bias=False, step_mode=mode),
        layer.BatchNorm2d(4, step_mode=mode),
        lif(),
        layer.Flatten(step_mode=mode),
        layer.Linear(4 * 36, 3, step_mode=mode),
    )
    quantise_(model, QuantConfig(weights=config))
    assert list(quantisers(model)) == ["0", "3", "7"]
    x = torch.poisson(torch.full((2, 5, 2, 6, 6), 1.0))
    out = model(x) if mode == "m" else torch.stack([model(step) for step in x])
    out.square().mean().backward()
    assert all(
        bool(p.grad.abs().sum() > 0) for name, p in model.named_parameters() if name.endswith("original")
    )
    functional.reset_net(model)
    inner = quantisers(model)["3"]
    assert model[3].weight.unique().numel() <= inner.levels * (4 if config.per_channel else 1)


def test_refusals():
    with pytest.raises(LatticeError, match="no Conv2d or Linear"):
        quantise_(nn.ReLU())
    with pytest.raises(LatticeError, match="quantised already"):
        quantise_(quantise_(small()))
    with pytest.raises(LatticeError, match=r"conv9.*did you mean"):
        quantise_(small(), overrides={"features.conv9": ReScaWConfig()})
