"""harden of neurons with rounded membranes: against the equations in float64, the program and the C; bytes; what is refused."""

import math
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_harden import counts, trained_like

from rheobase import native
from rheobase.compression import LibraConfig, LSQConfig, ReScaWConfig, account, harden, through_roundings
from rheobase.compression.fitting import _apart, _fits, _gain, fit_rounded
from rheobase.compression.graph import layer_names
from rheobase.compression.lattice import LatticeNeuron, LatticeRoundedNeuron
from rheobase.errors import LatticeError
from rheobase.layers import BatchNorm2d
from rheobase.neurons import (
    LIF,
    Neuron,
    NeuronConfig,
    SquatMembrane,
    TanhMembrane,
    UniformMembrane,
    preset,
)
from rheobase.objectives import capture
from rheobase.program import CompiledProgram, RoundedNeuron, load, measure, reference, save, verify, write_c
from rheobase.program.lower import _op as lower_op
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

KINDS = {"uniform": UniformMembrane, "tanh": TanhMembrane, "squat": SquatMembrane}
PRESETS = ["lif_soft", "lif_sj", "lif_tet", "lif_ms", "plif_sew", "if_soft"]  # tau of lif_ms is 4/3
LEVELS = {("squat", bits): 2**bits for bits in (2, 4, 8)} | {
    (kind, bits): 2**bits - 1 for kind in ("uniform", "tanh") for bits in (2, 4, 8)
}
needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")


def config(name, kind, bits):
    """A preset with a rounded membrane."""
    return preset(name).model_copy(update={"membrane": KINDS[kind](bits=bits)})


def rounded_model(name="lif_soft", kind="tanh", bits=4, **fields):
    return trained_like(neuron=config(name, kind, bits), **fields)


def neuron_in_float64(options, leak, gain, x):
    """Spikes and kept membranes `[T, ...]` by the equations, one step after the other."""
    levels, edges = (np.array(t) for t in (options.membrane.levels(), options.membrane.edges()))
    v = np.zeros(x.shape[1:])
    spikes, kept = [], []
    for current in x:
        h = leak * v + gain * current
        s = h > options.v_threshold if options.strict else h >= options.v_threshold
        w = h - options.v_threshold * s if options.v_reset is None else np.where(s, options.v_reset, h)
        v = levels[(w[..., None] >= edges).sum(-1)]
        spikes.append(s)
        kept.append(v)
    return np.stack(spikes), np.stack(kept)


def differing(model, frames, trace):
    """Share of spikes of each layer that differ from the equations, every layer given the hardened model's own input."""
    modules = dict(model.double().named_modules())
    x, found, layer = torch.from_numpy(frames).double(), [], 0
    for name in layer_names(model):
        module = modules[name]
        if isinstance(module, Neuron):
            spikes, _ = neuron_in_float64(
                module.config, float(module.leak()), float(module.gain()), x.numpy()
            )
            found.append(float((spikes != trace.spikes[layer]).mean()))
            x, layer = torch.from_numpy(trace.spikes[layer]).double(), layer + 1
        else:
            x = module(x)
    return found


@torch.no_grad()
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_hardened_follows_the_equations_layer_by_layer(name, kind, bits):
    model = rounded_model(name, kind, bits)
    frames = counts(7, samples=8).numpy().astype(np.uint8)
    trace = hardened_trace(harden(model), frames)
    assert all(0.001 < spikes.mean() < 0.9 for spikes in trace.spikes[:3])
    assert max(differing(model, frames, trace)) < 2e-4


@torch.no_grad()
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_hardened_follows_the_quantised_model(name, kind, bits):
    """The float32 model as it was trained, from frames to classes: the first layer's spikes, and what is decided."""
    model = rounded_model(name, kind, bits)
    x = counts(7, samples=16)
    hardened = harden(model)
    first = next(iter(model.neurons().values()))
    names = {id(module): key for key, module in model.named_modules()}
    with capture(model, [names[id(first)]]) as soft:
        logits = model(x)
    trace = hardened_trace(hardened, x.numpy().astype(np.uint8))
    spikes = next(iter(soft.spikes().values())).numpy()
    assert spikes.mean() > 0.01 and (spikes != trace.spikes[0]).mean() < 2e-4
    assert (hardened(x).sum(0).argmax(-1) == logits.sum(0).argmax(-1)).float().mean() >= 0.9


@torch.no_grad()
def test_the_agreement_above_is_one_of_membranes_too():
    """Other membranes give other spikes: the bound is no matter of course."""
    frames = counts(7, samples=8).numpy().astype(np.uint8)
    trace = hardened_trace(harden(rounded_model("lif_soft", "tanh", 4)), frames)
    assert min(differing(rounded_model("lif_soft", "uniform", 4), frames, trace)) > 2e-3
    assert min(differing(rounded_model("lif_soft", "tanh", 2), frames, trace)) > 2e-3


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(PRESETS),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([2, 4, 8]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["flatten", "gap"]),
    st.sampled_from([0.2, 0.5]),
    st.integers(1, 5),
)
def test_program_equals_hardened_exactly(seed, name, kind, bits, weight_bits, head, width, steps):
    model = rounded_model(
        name, kind, bits, weights=ReScaWConfig(bits=weight_bits), head=head, width=width, seed=seed
    )
    hardened = harden(model)
    program = lower(hardened, name="test", T=steps)
    frames = counts(seed + 1, samples=2, T=steps).numpy().astype(np.uint8)
    frames[0, 0] = 255  # the largest input there is
    expected = hardened_trace(hardened, frames)
    found = verify(lambda x: reference.run(program, x), expected, frames)
    assert found.exact, found.first_difference
    for op in program.neurons:
        assert isinstance(op, RoundedNeuron) and op.bits == bits and len(op.levels) == LEVELS[kind, bits]
    for tensor_name, tensor in hardened.state_dict().items():
        assert torch.equal(tensor, tensor.round()) and tensor.abs().max() < 2**24, tensor_name


@needs_compiler
@pytest.mark.parametrize("weight_bits", [1, 8])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_equals_hardened_and_bytes_are_counted(tmp_path, kind, bits, weight_bits):
    """A width whose channels fill no byte; through a file."""
    model = rounded_model(
        "lif_tet", kind, bits, weights=ReScaWConfig(bits=weight_bits), width=0.35, seed=bits
    )
    hardened = harden(model)
    save(lower(hardened, name="test", T=3), tmp_path / "p.safetensors")
    program = load(tmp_path / "p.safetensors")
    frames = counts(3, samples=3).numpy().astype(np.uint8)
    frames[0, 0] = 255
    found = verify(CompiledProgram(program), hardened_trace(hardened, frames), frames)
    assert found.exact, found.first_difference
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights and counted.state == compiled.bytes_membranes
    shapes = [shape for op, shape in zip(program.ops, program.shapes(), strict=True) if op in program.neurons]
    assert counted.membranes == sum(math.ceil(math.prod(shape) * bits / 8) for shape in shapes)
    assert counted.tables == len(shapes) * 4 * (2**bits + LEVELS[kind, bits] - 1)
    assert counted.gains == counted.thresholds == 4 * sum(shape[0] for shape in shapes)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_lone_neuron_keeps_the_levels_of_the_equations(data):
    """Gains, biases and thresholds of any size by channel, both signs: spikes and membranes as in float64, almost always."""
    kind, bits = data.draw(st.sampled_from(sorted(KINDS))), data.draw(st.sampled_from([2, 4, 8]))
    soft, strict = data.draw(st.booleans()), data.draw(st.booleans())
    tau = data.draw(st.sampled_from([1.0, 1.1, 4 / 3, 2.0, 5.0, 8.0]))
    options = NeuronConfig(
        tau=tau,
        v_threshold=data.draw(st.sampled_from([0.5, 1.0, 0.7])),
        v_reset=None if soft else data.draw(st.sampled_from([0.0, -0.3])),
        strict=strict,
        membrane=KINDS[kind](bits=bits),
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    channels, bound = 6, data.draw(st.sampled_from([30, 1000, 200000]))
    unit = torch.tensor(rng.uniform(-1, 1, channels) * 20 / bound)
    bias = torch.tensor(rng.uniform(-0.3, 0.3, channels))
    theta = torch.full((channels,), options.v_threshold, dtype=torch.float64)
    lattice = fit_rounded("n", torch.full((channels,), float(bound)), unit, bias, theta, LIF(options))
    # currents of about a threshold, a few of them at the ends
    sums = rng.normal(0, bound / 20, (5, 1000, channels)).round()
    sums[rng.random(sums.shape) < 0.02] = bound
    sums[rng.random(sums.shape) < 0.02] = -bound
    spikes, kept = neuron_in_float64(options, 1 - 1 / tau, 1.0, sums * unit.numpy() + bias.numpy())
    found = lattice(torch.tensor(sums).float()).numpy()
    assert (found != spikes).mean() < 5e-3
    op = lower_op("n", lattice)
    assert op.leak_multiplier is None and (op.leak_shift is None) == (tau not in (1.0, 2.0, 8.0))
    membranes, again = op.membranes(sums.astype(np.int64))
    assert np.array_equal(found, again)
    levels = np.array(options.membrane.levels())
    codes, wanted = np.searchsorted(op.levels, membranes), np.searchsorted(levels, kept)
    assert (np.abs(levels[codes] - levels[wanted]) > 2**-6).mean() < 5e-3
    if bound <= 1000:  # larger sums leave gains some 13 of 31 bits, and levels of 8 bits are 2^-7 apart
        assert (codes != wanted).mean() < 5e-3


@given(st.integers(0, 1 << 30), st.integers(1, 1 << 24), st.floats(-30, 30))
def test_gains_are_as_fine_as_32_bits_let_them_be(seed, largest, exponent):
    rng = np.random.default_rng(seed)
    bound = torch.tensor(rng.uniform(0, largest, 5)).round()
    factor = torch.tensor(rng.uniform(-1, 1, 5)) * 2.0 ** (exponent - math.log2(largest))
    shift, gain = _gain(bound, factor)
    assert torch.equal(gain, torch.round(factor * 2.0**shift)) and 0 <= shift <= 30
    if shift < 30 and _fits(bound, gain, shift):
        finer = torch.round(factor * 2.0 ** (shift + 1))
        assert not _fits(bound * (1 + 2**-20), finer + finer.sign(), shift + 1)
    assert _fits(bound, gain, shift) or shift == 0


@given(st.integers(0, 1 << 30), st.floats(0.01, 50))
def test_levels_move_apart_and_0_stays(seed, spread):
    rng = np.random.default_rng(seed)
    levels = np.unique(np.append(rng.normal(0, spread, rng.integers(2, 40)), 0.0))
    found = _apart(torch.tensor(levels)).numpy()
    assert (np.diff(found) > 0).all() and np.array_equal(found, found.round())
    assert found[levels == 0.0] == 0
    rounded = np.round(levels)
    if (np.diff(rounded) > 0).all():
        assert np.array_equal(found, rounded)
    zero = int(np.searchsorted(levels, 0.0))
    for i in range(zero + 1, len(levels)):  # no further than it must: next to its neighbour, or where it was
        assert found[i] == max(rounded[i], found[i - 1] + 1)
    for i in range(zero):
        assert found[i] == min(rounded[i], found[i + 1] - 1)


def test_a_threshold_of_one_and_a_reset_are_whole_and_saturation_never_bites():
    for name in ("lif_soft", "lif_tet"):
        lattices = [m for m in harden(rounded_model(name)).ops if isinstance(m, LatticeRoundedNeuron)]
        for lattice in lattices:
            one = float(lattice.threshold[0]) - (name == "lif_tet")
            assert math.log2(one) == round(math.log2(one))
            top = float(lattice.threshold.max()) + float(lattice.edges[-1])
            assert lattice.saturation >= top and -lattice.saturation < float(lattice.edges[0])


def test_a_dead_channel_is_no_obstacle():
    """Nothing is divided by the batch-norm gain: a channel without one fires by its bias or never."""
    model = rounded_model()
    norm = next(m for m in model.modules() if isinstance(m, BatchNorm2d))
    with torch.no_grad():
        norm.weight[2], norm.bias[2], norm.running_mean[2] = 0.0, 1.5, 0.0
        norm.weight[3], norm.bias[3], norm.running_mean[3] = 0.0, 0.1, 0.0
    trace = hardened_trace(harden(model), counts(0).numpy().astype(np.uint8))
    assert trace.spikes[0][:, :, 2].all() and not trace.spikes[0][:, :, 3].any()


@torch.no_grad()
@pytest.mark.parametrize("name", ["lif_soft", "lif_tet", "plif_sew"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_through_roundings_sees_the_hardened_spikes(name, kind):
    """Gains of both signs, and a dead channel, whose sums cannot be told from its current."""
    model = rounded_model(name, kind, 4)
    norm = next(m for m in model.modules() if isinstance(m, BatchNorm2d))
    norm.weight[2], norm.bias[2] = 0.0, 0.7
    x = counts(5, samples=4)
    trace = hardened_trace(harden(model), x.numpy().astype(np.uint8))
    with through_roundings(model), capture(model, list(model.neurons())) as captured:
        model(x)
    for found, expected in zip(captured.spikes(steps=4).values(), trace.spikes, strict=True):
        assert expected.mean() > 0.001 and np.array_equal(found.numpy(), expected)


def test_lsq_of_8_bits_hardens_whatever_signs_batch_norm_has():
    """Gains may be negative, so that no row of weights is turned and -128 needs no +128."""
    model = trained_like(weights=LSQConfig(bits=8), neuron=config("lif_soft", "uniform", 4))
    stored = [op.weight for op in lower(harden(model), name="test", T=2).ops if hasattr(op, "weight")]
    assert {weight.bits for weight in stored} == {8}
    assert any(float(m.gain.min()) < 0 for m in harden(model).ops if isinstance(m, LatticeRoundedNeuron))


def test_the_preset_of_the_q_snn_paper_hardens():
    program = lower(harden(trained_like(weights=LibraConfig(), neuron="q_snn")), name="q", T=2)
    assert all(
        isinstance(op, RoundedNeuron) and op.leak_shift == 1 and op.v_reset == 0 for op in program.neurons
    )


def test_mixed_networks_keep_both_kinds():
    model = rounded_model()
    layer = next(iter(model.neurons().values()))
    layer.config = layer.config.model_copy(update={"membrane": None})
    kinds = [type(m) for m in harden(model).ops if isinstance(m, LatticeNeuron)]
    assert kinds == [LatticeNeuron, *[LatticeRoundedNeuron] * 3]


@needs_compiler
def test_written_c_proves_itself(tmp_path):
    write_c(lower(harden(rounded_model(bits=2, width=0.35)), name="test", T=3), tmp_path)
    command = [
        str(native.compiler()),
        "-std=c99",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-pedantic",
        "-Werror",
    ]
    command += ["-DRHEOBASE_TRACE", "self_test.c", "model.c", "-o", "self_test"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./self_test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "logits equal\nspikes equal\nPASS\n"


def test_refusals_name_the_neuron_and_what_to_do():
    model = rounded_model(bits=8)
    norm = next(m for m in model.modules() if isinstance(m, BatchNorm2d))
    with torch.no_grad():
        norm.weight.mul_(1e6)
    with pytest.raises(
        LatticeError, match=r"neuron1.*levels of its membrane apart.*fewer weight or membrane bits"
    ):
        harden(model)
