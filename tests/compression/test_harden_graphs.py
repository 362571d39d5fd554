"""harden of models that are no chains: residual joins, pools, groups, convolutions of currents; every registered model."""

import operator
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_cases import frames, models, straying, used
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from model_cases import CONVOLUTIONAL, SMALL_TRANSFORMERS
from rheobase import native
from rheobase.compression import (
    QuantConfig,
    ReScaWConfig,
    StandardisedSignConfig,
    account,
    harden,
    quantise_,
    through_roundings,
)
from rheobase.compression.fitting import LARGEST_PRODUCT, SUM_LIMIT, fit_rescale, sum_fraction
from rheobase.compression.lattice import LatticeAdd, LatticeNeuron, LatticeRescale
from rheobase.compression.pruning import PruneConfig, prune_
from rheobase.errors import LatticeError
from rheobase.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from rheobase.models import ModelConfig, SpikingModel, create_model
from rheobase.neurons import NeuronConfig, UniformMembrane, build_neuron
from rheobase.objectives import capture
from rheobase.program import (
    Add,
    CompiledProgram,
    OrPool,
    Rescale,
    compare,
    measure,
    ranges,
    reference,
    write_c,
)
from rheobase.program.lower import lower
from rheobase.training import ArrayFrames, TrainConfig, fit
from rheobase.training.export import hardened_trace

sys.path.append(str(Path(__file__).parents[1] / "program"))
from program_cases import slow
from test_program_c99 import STRICT, build, sanitizers

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
ROUNDED = NeuronConfig(membrane=UniformMembrane(bits=4), v_reset=0.0)


def hardened_or_refused(model):
    """The hardened model; random weights may ask for what the lattice refuses for good reason."""
    try:
        return harden(model)
    except LatticeError as error:
        reasons = (
            "almost 0",
            "do not fit the lattice",
            "symmetric=True",
            "levels of its membrane",
        )
        assert any(reason in str(error) for reason in reasons), error
        assume(False)
        raise


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(models(), st.integers(0, 1000))
def test_hardened_reference_and_slow_interpreter_agree_on_random_graphs(model, seed):
    hardened = hardened_or_refused(model)
    program = lower(hardened, name="graph", T=2)
    x = frames(seed, model, samples=2)
    x[0, 0, :, 0] = 255
    expected = hardened_trace(hardened, x)
    found = compare(reference.run(program, x), expected)
    assert found.exact, found.first_difference
    spikes, logits = slow(program, x[:, 0])
    assert expected.logits[:, 0].tolist() == logits
    for layer, by_hand in zip(expected.spikes, spikes, strict=True):
        assert layer[:, 0].tolist() == by_hand
    assert account(program).weights == sum(op.weight.bytes for op in program.ops if hasattr(op, "weight"))


@needs_compiler
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(models(), st.integers(0, 1000))
def test_compiled_equals_hardened_on_random_graphs(tmp_path_factory, model, seed):
    """With sanitizers, and without a warning."""
    folder = tmp_path_factory.mktemp("c")
    hardened = hardened_or_refused(model)
    program = lower(hardened, name="graph", T=2)
    x = frames(seed, model, samples=2)
    x[0, 0, :, 0] = 255
    found = compare(
        CompiledProgram(program, flags=(*STRICT, "-O2")).run_traced(x), hardened_trace(hardened, x)
    )
    assert found.exact, found.first_difference
    write_c(program, folder, x)
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitizers(folder) else []
    done = build(folder, "-O1", *flags, "-DRHEOBASE_TRACE")
    assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stderr


def small(name, bits=4, neuron=None, size=32, width=1 / 16):
    torch.manual_seed(bits)
    model = create_model(name, num_classes=4, input_size=(size, size), width=width, neuron=neuron)
    return quantise_(model, QuantConfig(weights=ReScaWConfig(bits=bits), edge_bits=8))


@needs_compiler
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_registered_model_leaves_as_c_as_it_was_trained(name, bits):
    model = small(name, bits)
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (12, 2, 2, 32, 32)).astype(np.uint8)
    fit(
        model,
        ArrayFrames(counts, rng.integers(0, 4, 12)),
        train=TrainConfig(epochs=4, batch_size=4),
        quiet=True,
    )
    for norm in model.modules():
        if isinstance(norm, BatchNorm2d):  # statistics of the trained weights; few epochs leave them behind
            norm.momentum = 1.0
    x = np.ascontiguousarray(counts.swapaxes(0, 1))
    model.train()(torch.from_numpy(x).float())
    hardened = harden(model.eval())
    program = lower(hardened, name="model", T=2)
    expected = hardened_trace(hardened, x)
    assert all(layer.any() for layer in expected.spikes), "silent layers prove nothing"
    for found in (
        reference.run(program, x[:, :2]),
        CompiledProgram(program, flags=(*STRICT, "-O1")).run_traced(x),
    ):
        part = hardened_trace(hardened, x[:, : found.logits.shape[1]])
        assert compare(found, part).exact, compare(found, part).first_difference


def small_transformer(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=4, input_size=(24, 24), width=1 / 8, T=4)
    inner = StandardisedSignConfig() if name.startswith("bestformer") else ReScaWConfig(bits=4)
    return used(quantise_(model, QuantConfig(weights=inner, edge_bits=8)), 1)


@needs_compiler
@pytest.mark.parametrize("name", SMALL_TRANSFORMERS)
def test_every_small_transformer_leaves_as_c(name):
    model = small_transformer(name)
    hardened = harden(model)
    program = lower(hardened, name="transformer", T=4)
    x = frames(5, model, samples=3, steps=4)
    expected = hardened_trace(hardened, x)
    alive = sum(layer.any() and not layer.all() for layer in expected.spikes)
    assert alive > 0.7 * len(expected.spikes), "silent layers prove nothing"
    for found in (reference.run(program, x), CompiledProgram(program, flags=(*STRICT, "-O0")).run_traced(x)):
        assert compare(found, expected).exact, compare(found, expected).first_difference


@torch.no_grad()
@pytest.mark.parametrize("neuron", [None, ROUNDED], ids=["full", "4-bit membrane"])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_hardened_follows_the_quantised_model_layer_by_layer(name, neuron):
    """Every layer given the hardened model's own spikes: the roundings move few."""
    model = used(small(name, neuron=neuron), 1)
    x = frames(5, model, samples=8, steps=4)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    assert all(0.05 < spikes.mean() < 0.6 for spikes in trace.spikes)
    given_spikes = dict(zip(hardened.neurons(), trace.spikes, strict=True))
    found = straying(model, given_spikes, x)
    assert found.keys() == given_spikes.keys() and max(found.values()) < 1.5e-3
    logits = torch.from_numpy(trace.logits).double() * hardened.logit_scale
    last = torch.from_numpy(trace.spikes[-1]).float()
    torch.testing.assert_close(logits, model.head(last).double(), atol=2 * hardened.logit_scale, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "norm"), [("ms_resnet18", "shortcut.1"), ("resnet19", "shortcut.1"), ("resnet20", "norm2")]
)
def test_the_agreement_above_is_one_of_shortcuts_too(name, norm):
    """A shortcut or branch that weighs 5 % more fires otherwise: the bound is no matter of course."""
    model = used(small(name), 1)
    x = frames(5, model, samples=8, steps=4)
    hardened = harden(model)
    given_spikes = dict(zip(hardened.neurons(), hardened_trace(hardened, x).spikes, strict=True))
    model.get_submodule(f"features.stage2_block1.{norm}").weight.mul_(1.05)
    assert max(straying(model, given_spikes, x).values()) > 3e-3


@needs_compiler
@pytest.mark.parametrize("name", ["ms_resnet18", "resnet20", "vgg16"])
def test_bytes_are_counted_as_compiled(name):
    program = lower(harden(used(small(name, neuron=ROUNDED), 2)), name="bytes", T=2)
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights and counted.state == compiled.bytes_membranes
    rescales = [op for op in program.ops if isinstance(op, Rescale)]
    assert (name == "vgg16") == (not rescales)
    stored = [op for op in rescales if op.wire is None]
    assert counted.gains == sum(4 * len(op.gain) for op in [*stored, *program.neurons])


@pytest.mark.parametrize("name", ["ms_resnet18", "resnet19", "resnet20"])
def test_sums_are_exact_and_full_membranes_take_16_bits(name):
    hardened = harden(used(small(name), 3))
    program = lower(hardened, name="sums", T=2)
    found = ranges.analyse(program)
    assert any(isinstance(op, Add) for op in program.ops)
    for op, reached in zip(program.ops, found, strict=True):
        if isinstance(op, Add | Rescale):
            assert max(-reached.low, reached.high) < 2**23
    assert all(op.bits == 16 for op in program.neurons)
    for key, tensor in hardened.state_dict().items():
        assert torch.equal(tensor, tensor.round()) and tensor.abs().max() < 2**24, key


def test_a_value_that_two_read_is_brought_to_a_unit_once():
    """The stem of MS-ResNet feeds a neuron and a shortcut: one Rescale for both, and none for the sum that goes on."""
    hardened = harden(used(small("ms_resnet18"), 3))
    rescales = [i for i, m in enumerate(hardened.ops) if isinstance(m, LatticeRescale)]
    readers = {i: [j for j, inputs in enumerate(hardened.inputs) if i in inputs] for i in rescales}
    stem = hardened.inputs[rescales[0]][0]
    assert hardened.names[stem] == "features.stem"
    assert {type(hardened.ops[j]) for j in readers[rescales[0]]} == {LatticeNeuron, LatticeAdd}


@given(st.integers(0, 1 << 30), st.integers(1, 1 << 31), st.integers(-12, 24), st.floats(1.0, 4000.0))
def test_rescaling_keeps_currents_to_about_a_unit(seed, bound, fraction, top):
    """Against float64, at the ends of the range, for gains of both signs and channels of any size."""
    rng = np.random.default_rng(seed)
    top = min(top, SUM_LIMIT * 2.0**-fraction)
    unit = torch.tensor(rng.uniform(-1, 1, 7) * top / bound)
    offset = torch.tensor(rng.uniform(-1, 1, 7))
    bounds = torch.full((7,), float(bound), dtype=torch.float64)
    rescale = fit_rescale(bounds, unit, offset, fraction)
    assert float((bounds * rescale.gain.abs()).max()) + 2.0**rescale.gain_shift / 2 <= LARGEST_PRODUCT + 2**31
    x = torch.tensor(rng.integers(-bound, bound + 1, (1, 50, 7))).double()
    wanted = (x * unit + offset) * 2.0**fraction
    assert float((rescale(x).double() - wanted).abs().max()) <= 2 + float(wanted.abs().max()) * 2.0**-22


@pytest.mark.parametrize("reach", [0.001, 0.9, 1.0, 3.7, 5000.0, 1e9])
def test_units_are_as_fine_as_the_limit_allows(reach):
    fraction = sum_fraction(reach, SUM_LIMIT, 24)
    assert reach * 2.0**fraction <= SUM_LIMIT and (
        fraction == 24 or reach * 2.0 ** (fraction + 1) > SUM_LIMIT
    )
    assert sum_fraction(reach, SUM_LIMIT, 5) == min(fraction, 5) and sum_fraction(0.0, 1.0, 5) == 5


@torch.no_grad()
@pytest.mark.parametrize("neuron", [None, ROUNDED], ids=["full", "4-bit membrane"])
@pytest.mark.parametrize("name", ["ms_resnet18", "resnet20", "vgg16"])
def test_training_through_roundings_sees_almost_the_hardened_spikes(name, neuron):
    """All of them up to the first join, where each branch is rounded and not their sum."""
    model = used(small(name, neuron=neuron), 4)
    x = frames(6, model, samples=4, steps=3)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    with through_roundings(model), capture(model, list(hardened.neurons())) as captured:
        model(torch.from_numpy(x).float())
    spikes = [layer.numpy() for layer in captured.spikes(steps=3).values()]
    assert np.array_equal(spikes[0], trace.spikes[0])
    if name == "vgg16":
        assert all(map(np.array_equal, spikes, trace.spikes))
    else:
        assert (spikes[2] != trace.spikes[2]).mean() < 2e-3


@torch.no_grad()
@pytest.mark.parametrize("name", ["bestformer_small", "qkformer_small", "snn_vit_small"])
def test_training_through_roundings_sees_the_spikes_of_attention(name):
    """Closer to the hardened model than without; all but none differ where no join adds currents of other units."""
    model = small_transformer(name)
    x = frames(6, model, samples=4, steps=4)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)

    def strays() -> float:
        with capture(model, list(hardened.neurons())) as captured:
            model(torch.from_numpy(x).float())
        layers = zip(captured.spikes(steps=4).values(), trace.spikes, strict=True)
        return float(np.mean([(spikes.numpy() != expected).mean() for spikes, expected in layers]))

    without = strays()
    with through_roundings(model):
        within = strays()
    assert without > 1e-3 and within < (0.8 * without if name == "snn_vit_small" else 2e-4)


@pytest.mark.parametrize("name", ["ms_resnet18", "resnet19", "resnet20", "vgg16"])
def test_pruned_networks_harden(name):
    """Shortcuts without weights lose channels on either side."""
    model = used(small(name, width=1 / 8), 5)
    x = frames(7, model, samples=4, steps=2)
    before = sum(p.numel() for p in model.parameters())
    prune_(model, PruneConfig(score="svs", ratio=0.4), torch.from_numpy(x).float())
    assert sum(p.numel() for p in model.parameters()) < 0.8 * before
    hardened = harden(used(model, 6))
    expected = hardened_trace(hardened, x)
    assert all(layer.any() for layer in expected.spikes)
    found = compare(reference.run(lower(hardened, name="pruned", T=2), x), expected)
    assert found.exact, found.first_difference


class Odd(nn.Module):
    """conv -> norm -> neuron, then what a test makes of spikes and current."""

    def __init__(self, after):
        super().__init__()
        self.conv, self.norm = Conv2d(2, 4, 3, padding=1), BatchNorm2d(4)
        self.neuron, self.last = build_neuron(NeuronConfig()), build_neuron(NeuronConfig())
        self.pool = MaxPool2d(2)
        self.after = after

    def forward(self, x):
        current = self.norm(self.conv(x))
        return self.after(self, current, self.neuron(current))


def odd(after, size=8):
    torch.manual_seed(0)
    config = ModelConfig(
        name="odd", num_classes=3, input_size=(size, size), neuron=NeuronConfig(), head="gap"
    )
    head = nn.Sequential(GlobalAvgPool2d(), Flatten(), Linear(4, 3))
    return used(quantise_(SpikingModel(config, Odd(after), head)), 0)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda m, current, spikes: m.last(current * spikes), r"features.mul.*no addition"),
        (lambda m, current, spikes: m.last(current + 1), r"features.add.*takes more than tensors"),
        (lambda m, current, spikes: m.last(current.relu()), r"relu.*no addition"),
        (lambda m, current, spikes: m.last(torch.add(current, spikes, alpha=2)), r"features.add.*alpha"),
        (lambda m, current, spikes: m.last(operator.add(m.pool(spikes), spikes)), r"add.*one shape"),
    ],
)
def test_refusals_name_place_and_reason(after, message):
    model = odd(lambda m, current, spikes: spikes)
    model.features.after = after
    with pytest.raises(LatticeError, match=message):
        harden(model)


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        (lambda m, current, spikes: spikes + spikes, {Add}),
        (lambda m, current, spikes: spikes + m.last(current), {Add, Rescale}),
        (lambda m, current, spikes: m.last(torch.add(current, spikes)), {Add, Rescale}),
        (lambda m, current, spikes: m.last(spikes), {Rescale}),
        (lambda m, current, spikes: m.pool(spikes), {OrPool}),
    ],
)
def test_joins_become_the_ops_that_they_need(after, kinds):
    """Spikes of one unit are added as counts; a neuron may read spikes; what is not read is left out."""
    model = odd(after)
    hardened = harden(model)
    program = lower(hardened, name="odd", T=2)
    assert {type(op) for op in program.ops} & {Add, Rescale, OrPool} == kinds
    x = frames(3, model, samples=3)
    assert compare(reference.run(program, x), hardened_trace(hardened, x)).exact
