"""Networks for signals on the lattice: ternary spikes, signed frames and delays, against the model and the program."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rheobase.compression import (
    MaxAbsConfig,
    QuantConfig,
    TernaryConfig,
    harden,
    quantise_,
    through_roundings,
)
from rheobase.compression.lattice import LatticeNeuron
from rheobase.errors import LatticeError
from rheobase.layers import BatchNorm2d, Delays
from rheobase.models import ModelConfig, SpikingModel, create_model
from rheobase.neurons import preset
from rheobase.objectives import capture
from rheobase.program import CompiledProgram, RecurrentNeuron, RecurrentRoundedNeuron, reference, verify
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

PRESETS = ["ternary_lif", "qt_snn", "ternary_spike", "lif_soft"]
SOFT = preset("ternary_lif").model_copy(update={"v_reset": None})
SOFT_ROUNDED = preset("qt_snn").model_copy(update={"v_reset": None, "tau": 3.0})


def trained_like(
    name="spiking_tcn", neuron="qt_snn", size=(1, 1), channels=5, seed=0, per_channel=True, **options
):
    """A 2-bit network with batch-norm as after training: gains of either sign, biases that are not 0."""
    torch.manual_seed(seed)
    model = create_model(
        name,
        num_classes=4,
        in_channels=channels,
        input_size=size,
        neuron=neuron,
        options={"hidden": [24, 16], **options},
    )
    weights = TernaryConfig(per_channel=per_channel)
    quantise_(model, QuantConfig(weights=weights, edges=weights))
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.momentum = 1.0
            with torch.no_grad():
                sign = torch.where(torch.rand_like(module.weight) < 0.3, -1.0, 1.0)
                module.weight.uniform_(0.8, 2).mul_(sign)
                module.bias.uniform_(-0.4, 0.4)
    model.train()
    model(signed(model, seed).float())
    return model.eval()


def signed(model: SpikingModel, seed: int, T: int = 12, N: int = 6, most: int = 1) -> torch.Tensor:
    shape = (T, N, model.config.in_channels, *model.config.input_size)
    draw = np.random.default_rng(seed).integers(-most, most + 1, shape)
    return torch.from_numpy(draw.astype(np.int8))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([*PRESETS, SOFT, SOFT_ROUNDED]),
    st.sampled_from(["spiking_mlp", "spiking_tcn"]),
    st.booleans(),
)
def test_program_equals_hardened_exactly(seed, neuron, name, per_channel):
    model = trained_like(name, neuron, seed=seed, per_channel=per_channel)
    hardened = harden(model, "int8")
    program = lower(hardened, name="test", T=12)
    frames = signed(model, seed + 1).numpy()
    frames[0, 0], frames[1, 0] = -128, 127
    expected = hardened_trace(hardened, frames)
    found = verify(lambda x: reference.run(program, x), expected, frames)
    assert found.exact, found.first_difference
    if neuron != "lif_soft":
        assert all({-1, 0, 1} == set(np.unique(layer)) for layer in expected.spikes)


@torch.no_grad()
@pytest.mark.parametrize("neuron", [*PRESETS, SOFT, SOFT_ROUNDED], ids=str)
def test_hardened_follows_the_quantised_model(neuron):
    """First layer, same input: only the roundings of thresholds, biases and gains move spikes, on either side."""
    model = trained_like(neuron=neuron)
    x = signed(model, 3, N=64)
    with capture(model, list(model.neurons())) as soft:
        logits = model(x.float())
    hardened = harden(model, "int8")
    trace = hardened_trace(hardened, x.numpy())
    wanted = next(iter(soft.spikes().values())).numpy()
    assert (wanted != trace.spikes[0]).mean() < 0.01
    signs = {-1, 0, 1} if neuron != "lif_soft" else {0, 1}
    assert set(np.unique(wanted)) == signs and (wanted == 1).mean() > 0.02
    pair = trace.logits.sum(0).ravel() * hardened.logit_scale, logits.sum(0).numpy().ravel()
    assert np.corrcoef(*pair)[0, 1] > 0.8


@torch.no_grad()
@pytest.mark.parametrize("neuron", ["ternary_lif", "qt_snn"])
def test_both_thresholds_hold_with_bias_and_turned_rows(neuron):
    """A single layer, current by current: the lattice fires on the side and at the step of the model, but for ties."""
    model = trained_like("spiking_mlp", neuron, hidden=[200])
    norm = next(m for m in model.modules() if isinstance(m, BatchNorm2d))
    assert (norm.weight < 0).any() and (norm.weight > 0).any()
    norm.bias.copy_(torch.where(torch.arange(200) % 2 == 0, 0.9, -0.9))
    x = signed(model, 5, T=1, N=200)
    with capture(model, list(model.neurons())) as soft:
        model(x.float())
    found = hardened_trace(harden(model, "int8"), x.numpy()).spikes[0]
    wanted = next(iter(soft.spikes().values())).numpy()
    assert (found != wanted).mean() < 0.002
    up, down = (wanted == 1).mean((0, 1, 3, 4)), (wanted == -1).mean((0, 1, 3, 4))
    assert (up[::2] > down[::2]).mean() > 0.9 and (down[1::2] > up[1::2]).mean() > 0.9


@torch.no_grad()
@pytest.mark.parametrize("neuron", ["ternary_lif", "qt_snn"])
def test_spectrograms_convolve_over_their_height(neuron):
    convs = [{"channels": 6, "kernel": 4, "stride": 2, "delays": [0, 1, 3]}, {"channels": 5, "kernel": 3}]
    model = trained_like(neuron=neuron, size=(20, 1), channels=1, convs=convs, readout=[0, 2])
    hardened = harden(model, "int8")
    program = lower(hardened, name="bands", T=12)
    assert [op.name.split(".")[-1] for op in program.ops if type(op).__name__ == "Delay"] == [
        "conv_delays1",
        "delays1",
        "delays2",
        "readout_delays",
    ]
    frames = signed(model, 2).numpy()
    expected = hardened_trace(hardened, frames)
    assert verify(lambda x: reference.run(program, x), expected, frames).exact
    assert verify(CompiledProgram(program), expected, frames).exact


def test_unsigned_frames_stay_unsigned():
    model = trained_like("spiking_mlp")
    assert lower(harden(model), name="test", T=2).input_type == "uint8"


class Late(nn.Module):
    """Delays of what stands for `integer * unit + offset`, whose zeros before the first step are no integer 0."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.delays = BatchNorm2d(3), Delays([0, 2])
        from rheobase.layers import Dense
        from rheobase.neurons import build_neuron

        self.dense, self.neuron = Dense(6, 8), build_neuron(preset("ternary_lif"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fired: torch.Tensor = self.neuron(self.dense(self.delays(self.norm(x))))
        return fired


@torch.no_grad()
def test_zeros_before_the_first_step_are_zeros():
    from rheobase.models.heads import build_head

    torch.manual_seed(0)
    config = ModelConfig(
        name="spiking_mlp",
        num_classes=3,
        in_channels=3,
        input_size=(1, 1),
        neuron="ternary_lif",
        head="flatten",
    )
    model = SpikingModel(config, Late(), build_head(config, 8, (1, 1)))
    quantise_(model, QuantConfig(weights=MaxAbsConfig(bits=8), edges=MaxAbsConfig(bits=8)))
    model.features.norm.bias.fill_(1.5)
    model.features.norm.running_mean.fill_(0.3)
    x = torch.from_numpy(np.random.default_rng(0).integers(-3, 4, (5, 200, 3, 1, 1)).astype(np.int8))
    model.eval()
    with capture(model, list(model.neurons())) as soft:
        model(x.float())
    found = hardened_trace(harden(model, "int8"), x.numpy()).spikes[0]
    wanted = next(iter(soft.spikes().values())).numpy()
    assert (found != wanted).mean() < 0.01 and (wanted != 0).mean() > 0.1


@pytest.mark.parametrize("name", ["spiking_tcn", "spiking_rnn"])
def test_training_through_roundings_sees_signed_frames(name):
    model = trained_like(name, neuron="ternary_lif")
    x = signed(model, 1).float()
    expected = harden(model, "int8")
    with through_roundings(model, "int8"), capture(model, list(model.neurons())) as captured:
        model.eval()(x)
    found = next(iter(captured.spikes().values()))
    layers = [f"ops.{i}" for i, m in enumerate(expected.ops) if isinstance(m, LatticeNeuron)]
    with capture(expected, layers) as lattice:
        expected(x)
    assert torch.equal(found, lattice.spikes()[layers[0]])


@torch.no_grad()
@pytest.mark.parametrize("neuron", [*PRESETS, SOFT, SOFT_ROUNDED])
@pytest.mark.parametrize("per_channel", [True, False])
def test_recurrent_layers_leave_as_programs(neuron, per_channel):
    model = trained_like("spiking_rnn", neuron, per_channel=per_channel)
    hardened = harden(model, "int8")
    program, frames = lower(hardened, name="rnn", T=12), signed(model, 2).numpy()
    rounded = model.features.recurrent1.config.membrane is not None
    assert [type(op) for op in program.neurons] == [
        RecurrentRoundedNeuron if rounded else RecurrentNeuron
    ] * 2
    expected = hardened_trace(hardened, frames)
    assert all(np.count_nonzero(layer) > 0.05 * layer.size for layer in expected.spikes)
    assert verify(lambda x: reference.run(program, x), expected, frames).exact
    assert verify(CompiledProgram(program), expected, frames).exact
    with capture(model.eval(), list(model.neurons())) as soft:
        model(torch.from_numpy(frames).float())
    for found, wanted in zip(expected.spikes, soft.spikes().values(), strict=True):
        assert (
            found != wanted.numpy()
        ).mean() < 0.05  # measured .026 at most: what a rounding moves comes back


@torch.no_grad()
def test_recurrence_matters_to_the_hardened_model():
    model = trained_like("spiking_rnn", "ternary_lif", hidden=[24])
    frames = signed(model, 2).numpy()
    whole = hardened_trace(harden(model, "int8"), frames).spikes[0]
    cut = harden(model, "int8")
    for op in cut.ops:
        if isinstance(op, LatticeNeuron):
            op.back = None
    without = hardened_trace(cut, frames).spikes[0]
    assert np.array_equal(whole[0], without[0]) and (whole[1:] != without[1:]).mean() > 0.05


def test_a_float_recurrent_weight_is_refused_by_name():
    model = create_model(
        "spiking_rnn", num_classes=2, in_channels=3, input_size=(1, 1), options={"hidden": [4]}
    )
    weights = TernaryConfig()
    quantise_(model, QuantConfig(weights=weights, edges=weights), overrides={"*recurrent1.recurrent": None})
    with pytest.raises(LatticeError, match=r"recurrent1\.recurrent' has float weights"):
        harden(model, "int8")
