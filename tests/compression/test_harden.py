"""harden: the integer model against the quantised one, against the program, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantiser_cases import ALL

from rheobase.compression import (
    BWNConfig,
    LibraConfig,
    LSQConfig,
    MaxAbsConfig,
    QuantConfig,
    ReScaWConfig,
    harden,
    quantise_,
    quantisers,
)
from rheobase.compression.accounting import stored_bits
from rheobase.compression.graph import layer_names
from rheobase.compression.lattice import LatticeNeuron
from rheobase.compression.quantise import latent_weight
from rheobase.errors import LatticeError
from rheobase.layers import BatchNorm2d
from rheobase.models import create_model
from rheobase.neurons import preset
from rheobase.objectives import capture
from rheobase.program import reference, verify
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

SIZE = (16, 16)


def trained_like(
    name="vgg_small", neuron="lif_soft", bits=4, head="flatten", seed=0, width=0.5, weights=None, edges=None
):
    """A quantised network whose batch-norm has statistics and affine values as after training, some gains negative."""
    torch.manual_seed(seed)
    model = create_model(
        name, num_classes=5, in_channels=2, input_size=SIZE, neuron=neuron, width=width, head=head
    )
    quantise_(model, QuantConfig(weights=weights or ReScaWConfig(bits=bits), edges=edges))
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5).mul_(
                    torch.where(torch.rand_like(module.weight) < 0.2, -1.0, 1.0)
                )
                module.bias.uniform_(-0.2, 0.4)
    model.train()
    model(counts(seed, samples=8))
    return model.eval()


def counts(seed, samples=4, T=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.full((T, samples, 2, *SIZE), 0.4), generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("neuron", ["lif_soft", "lif_sj", "lif_tet", "if_soft"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_hardened_follows_the_quantised_model(neuron, bits):
    """Roundings move few spikes: layer by layer, given the same input history, almost all spikes agree."""
    model = trained_like(neuron=neuron, bits=bits)
    hardened = harden(model)
    x = counts(7, samples=16)
    first = next(iter(model.neurons()))
    names = {id(m): n for n, m in model.named_modules()}
    with capture(model, [names[id(model.neurons()[first])]]) as soft:
        model(x)
    trace = hardened_trace(hardened, x.numpy().astype(np.uint8))
    spikes = next(iter(soft.spikes().values())).numpy()
    assert spikes.mean() > 0.01
    assert (spikes != trace.spikes[0]).mean() < 0.01, (
        "first layer: only threshold, bias and leak roundings differ"
    )


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(["lif_soft", "lif_sj", "lif_tet", "if_soft"]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["flatten", "gap"]),
)
def test_program_equals_hardened_exactly(seed, neuron, bits, head):
    hardened = harden(trained_like(neuron=neuron, bits=bits, head=head, seed=seed))
    program = lower(hardened, name="test", T=4)
    frames = counts(seed + 1).numpy().astype(np.uint8)
    frames[0, 0] = 255  # the largest input there is
    found = verify(lambda x: reference.run(program, x), hardened_trace(hardened, frames), frames)
    assert found.exact, found.first_difference


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 1000), st.booleans(), st.sampled_from(["lif_soft", "lif_tet"]))
def test_every_quantiser_becomes_the_program_it_was_trained_as(config, seed, per_channel, neuron):
    """Hardened equals Program, whatever the method, and the integers are those of the quantiser."""
    if type(config).model_fields["per_channel"].annotation is bool:
        config = config.model_copy(update={"per_channel": per_channel})
    model = trained_like(weights=config, seed=seed, width=0.25, neuron=neuron)
    try:
        hardened = harden(model)
    except LatticeError as error:
        assert config.name == "lsq" and config.bits == 8 and "symmetric" in str(error)
        return
    program = lower(hardened, name="test", T=4)
    frames = counts(seed + 1, samples=2).numpy().astype(np.uint8)
    found = verify(lambda x: reference.run(program, x), hardened_trace(hardened, frames), frames)
    assert found.exact, found.first_difference
    layers = dict(model.named_modules())
    stored = {op.name: op.weight for op in program.ops if hasattr(op, "weight")}
    for name, quantiser in quantisers(model).items():
        integers = quantiser.integers(latent_weight(layers[name]))[0].numpy()
        assert np.array_equal(np.abs(stored[name].values()), np.abs(integers)), (
            "signs are batch-norm's to turn"
        )
        if quantiser.config.name != "lsq":
            assert stored[name].bits == stored_bits(quantiser.config.bits)


def test_lsq_with_turned_rows_takes_the_next_width_or_is_refused():
    """-8 of 4 bits has no +8: a row that batch-norm turns takes 8 bits then; of 8 bits there is no next width."""
    model = trained_like(weights=LSQConfig(bits=4))
    make_edge_values(model, -8)
    stored = {
        op.name: op.weight for op in lower(harden(model), name="test", T=4).ops if hasattr(op, "weight")
    }
    assert stored["features.conv2"].bits == 8 and stored["features.conv3"].bits == 4
    model = trained_like(weights=LSQConfig(bits=8))
    make_edge_values(model, -128)
    with pytest.raises(LatticeError, match=r"conv2.*symmetric=True"):
        harden(model)


def make_edge_values(model, value):
    """Two channels of the second convolution hold the lowest level, and batch-norm turns one of them."""
    layer, norm = model.features.conv2, model.features.norm2
    quantiser = quantisers(model)["features.conv2"]
    with torch.no_grad():
        latent_weight(layer)[:2, 0] = value * quantiser.step_size
        norm.weight[0], norm.weight[1] = 1.0, -1.0


def test_edges_of_the_q_snn_paper_harden():
    model = trained_like(weights=LibraConfig(), edges=MaxAbsConfig(bits=8), neuron="lif_tet")
    program = lower(harden(model), name="test", T=4)
    stored = [op.weight for op in program.ops if hasattr(op, "weight")]
    assert [w.bits for w in stored] == [8, 1, 1, 1, 8] and stored[0].step == 1


@torch.no_grad()
@pytest.mark.parametrize("kind", ["lif", "plif"])
@pytest.mark.parametrize("tau", [1.0, 1.2, 4 / 3, 2.0, 3.0, 7.5, 8.0, 300.0])
def test_any_tau_hardens_to_the_nearest_leak(kind, tau):
    """A shift where the leak is 1 - 2^-k, else m / 2^15; the integer model follows the float one and equals its program."""
    if (kind, tau) == ("plif", 1.0):
        return
    model = trained_like(neuron=preset("lif_soft").model_copy(update={"kind": kind, "tau": tau}))
    hardened = harden(model)
    neurons = [m for m in hardened.ops if isinstance(m, LatticeNeuron)]
    for lattice, neuron in zip(neurons, model.neurons().values(), strict=True):
        assert lattice.bits == 16 and abs(lattice.leak - float(neuron.leak())) <= 2**-16
        assert (lattice.leak_multiplier is None) == (tau in (1.0, 2.0, 8.0))
    x = counts(7, samples=16)
    names = {id(m): n for n, m in model.named_modules()}
    with capture(model, [names[id(next(iter(model.neurons().values())))]]) as soft:
        model(x)
    frames = x.numpy().astype(np.uint8)
    trace = hardened_trace(hardened, frames)
    spikes = next(iter(soft.spikes().values())).numpy()
    assert spikes.mean() > 0.01 and (spikes != trace.spikes[0]).mean() < 0.01
    program = lower(hardened, name="test", T=4)
    found = verify(lambda x: reference.run(program, x), trace, frames)
    assert found.exact, found.first_difference


def test_every_number_is_a_whole_number_below_2_to_24():
    hardened = harden(trained_like())
    for name, tensor in hardened.state_dict().items():
        assert torch.equal(tensor, tensor.round()) and tensor.abs().max() < 2**24, name
    logits = hardened(counts(3))
    assert torch.equal(logits, logits.round())


def test_membranes_take_16_bits_and_hold_8_thresholds():
    for module in harden(trained_like()).ops:
        if isinstance(module, LatticeNeuron):
            assert module.bits == 16 and float(module.threshold.max()) * 8 <= module.saturation


def test_a_lone_if_neuron_without_bias_loses_nothing():
    """Thresholds only round up onto integers that the membrane can reach: an IF neuron without bias stays exact."""
    model = trained_like(neuron="if_soft", seed=5)
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.bias.data.zero_()
            module.running_mean.zero_()
    hardened = harden(model)
    x = counts(11, samples=8)
    names = {id(m): n for n, m in model.named_modules()}
    first = next(iter(model.neurons().values()))
    double = model.double()
    with capture(double, [names[id(first)]]) as soft, torch.no_grad():
        double(x.double())
    spikes = next(iter(soft.spikes().values())).numpy().astype(np.uint8)
    trace = hardened_trace(hardened, x.numpy().astype(np.uint8))
    assert (
        spikes != trace.spikes[0]
    ).mean() < 1e-3  # soft reset by ceil(theta) leaves a residue after a spike


def test_the_model_is_left_alone():
    model = trained_like()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    harden(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@torch.no_grad()
def test_logits_of_classes_with_units_of_their_own_come_to_one():
    """A head quantised by channel: its logits are those of the model, up to roundings to the common unit."""
    model = create_model("vgg_small", num_classes=5, in_channels=2, input_size=SIZE, width=0.5)
    quantise_(model, overrides={"head.linear": BWNConfig()})
    x = counts(3)
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
    model(x)
    hardened = harden(model.eval())
    with capture(hardened, [hardened.feature_layer]) as captured:
        found = hardened(x) * hardened.logit_scale
    wanted = model.forward_head(next(iter(captured.spikes().values())))
    assert float((found - wanted).abs().max()) <= hardened.logit_scale  # sum and bias are rounded
    assert float(wanted.std(0).mean()) > 5 * hardened.logit_scale


def test_refusals_name_layer_and_reason():
    torch.manual_seed(0)
    plain = create_model("vgg_small", num_classes=5, in_channels=2, input_size=SIZE, width=0.5)
    with pytest.raises(LatticeError, match=r"conv1.*float weights.*quantise_"):
        harden(plain.eval())
    dead = trained_like()
    norm = next(m for m in dead.modules() if isinstance(m, BatchNorm2d))
    with torch.no_grad():
        norm.weight[3] = 0.0
    with pytest.raises(LatticeError, match="channel 3"):
        harden(dead)


def test_layers_are_in_forward_order():
    names = list(layer_names(create_model("vgg_small", num_classes=5, in_channels=2, input_size=SIZE)))
    assert (
        names[:3] == ["features.conv1", "features.norm1", "features.neuron1"] and names[-1] == "head.linear"
    )
