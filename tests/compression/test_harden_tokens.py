"""Spiking transformers on the lattice: attention, gates, saccadic neurons, pooled and dilated currents, two streams."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_cases import frames, straying, used
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_harden_graphs import hardened_or_refused
from token_cases import BLOCKS, NEURONS, SIZE, STEPS, Saccadic, head_scale, transformer, transformers
from torch import nn

from rheobase import native
from rheobase.compression import QuantConfig, account, harden, quantise_
from rheobase.compression.fitting import INT32_MAX, fit_mix
from rheobase.errors import LatticeError, ProgramError
from rheobase.layers import BatchNorm2d, Concat, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.models import ModelConfig, SpikingModel
from rheobase.neurons import NeuronConfig, Recurrent, build_neuron
from rheobase.program import CompiledProgram, TimeMix, compare, load, measure, reference, save
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

sys.path.append(str(Path(__file__).parents[1] / "program"))
from program_cases import slow
from test_program_c99 import STRICT

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}


def lowered(model, T=STEPS):
    hardened = hardened_or_refused(model)
    return hardened, lower(hardened, name="toy", T=T)


@settings(max_examples=40, **SLOW)
@given(transformers(), st.integers(0, 1000))
def test_hardened_reference_and_slow_interpreter_agree_on_random_transformers(model, seed):
    hardened, program = lowered(used(model, seed))
    x = frames(seed, model, samples=1, steps=STEPS)
    x[0, 0, :, 0] = 255
    expected = hardened_trace(hardened, x)
    found = compare(reference.run(program, x), expected)
    assert found.exact, found.first_difference
    spikes, logits = slow(program, x[:, 0])
    assert expected.logits[:, 0].tolist() == logits
    for layer, by_hand in zip(expected.spikes, spikes, strict=True):
        assert layer[:, 0].tolist() == by_hand


@needs_compiler
@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_leaves_as_c_as_it_was_trained(kind, tmp_path):
    """float, quantised, hardened, program, file, C."""
    model = used(transformer([kind], NeuronConfig(), heads=2, seed=len(kind)), 1)
    hardened, program = lowered(model)
    x = frames(3, model, samples=3, steps=STEPS)
    expected = hardened_trace(hardened, x)
    assert all(spikes.any() and not spikes.all() for spikes in expected.spikes), "such layers prove nothing"
    save(program, tmp_path / "toy.safetensors")
    again = load(tmp_path / "toy.safetensors")
    assert again.digest() == program.digest()
    found = compare(CompiledProgram(again, flags=(*STRICT, "-O2")).run_traced(x), expected)
    assert found.exact, found.first_difference
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights and counted.state == compiled.bytes_membranes


@torch.no_grad()
@pytest.mark.parametrize("neuron", NEURONS[:2], ids=["soft", "hard"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_hardened_follows_the_quantised_model_layer_by_layer(kind, neuron):
    model = used(transformer([kind], NeuronConfig.model_validate(neuron), heads=2), 2)
    x = frames(5, model, samples=24, steps=STEPS)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    given_spikes = dict(zip(hardened.neurons(), trace.spikes, strict=True))
    found = straying(model, given_spikes, x)
    assert found.keys() == given_spikes.keys()
    assert max(found.values()) < 4e-3, found


class Wired(nn.Module):
    """Spikes and currents of one convolution, and what a test makes of them."""

    def __init__(self, after, parts, width=4):
        super().__init__()
        self.conv, self.norm = Conv2d(2, width, 3, padding=1), BatchNorm2d(width)
        self.neuron, self.last = build_neuron(NeuronConfig()), build_neuron(NeuronConfig())
        self.parts = nn.ModuleList(parts)
        self.after = after

    def forward(self, x):
        current = self.norm(self.conv(x))
        return self.after(self, current, self.neuron(current))


def wired(after, *parts, channels=4, size=SIZE):
    torch.manual_seed(0)
    config = ModelConfig(
        name="wired", num_classes=3, input_size=(size, size), neuron=NeuronConfig(), head="gap"
    )
    head = nn.Sequential(GlobalAvgPool2d(), Flatten(), Linear(channels, 3))
    return used(quantise_(SpikingModel(config, Wired(after, parts), head), QuantConfig()), 0)


def same(model, T=STEPS):
    """The program of a model, which gives what the hardened model gives."""
    hardened = harden(model)
    program = lower(hardened, name="wired", T=T)
    x = frames(3, model, samples=3, steps=T)
    found = compare(reference.run(program, x), hardened_trace(hardened, x))
    assert found.exact, found.first_difference
    return program


def kinds(program):
    return [type(op).__name__ for op in program.ops]


def test_each_leaf_becomes_the_fewest_ops():
    """Scales are no op; counts that a neuron reads are shifted, which C does for nothing; gates of spikes are spikes."""
    program = same(
        wired(lambda m, c, s: m.last(m.parts[1](m.parts[0](s))), HeadSum(2), Scale(0.125), channels=2)
    )
    assert kinds(program)[2:5] == ["HeadSum", "Rescale", "Neuron"] and program.ops[3].wire > 0
    program = same(wired(lambda m, c, s: m.parts[1](m.parts[0](s), s), MapSum(), Gate()))
    assert kinds(program)[2:4] == ["SumPool", "Gate"] and program.kinds()[3] == "events"
    program = same(wired(lambda m, c, s: m.last(m.parts[0](s, c)), Gate()))
    assert kinds(program)[:4] == ["Conv2d", "Rescale", "Neuron", "Gate"] and program.kinds()[3] == "current"
    product = wired(
        lambda m, c, s: m.last(m.parts[1](m.parts[0](s, s), s)), HeadMatMul(2, "second"), HeadMatMul(2)
    )
    assert kinds(same(product))[2:6] == ["HeadMatMul", "HeadMatMul", "Rescale", "Neuron"]


@pytest.mark.parametrize("joined", ["spikes", "currents", "both"])
def test_joined_channels_keep_their_units(joined):
    """Gains of both signs on one side, spikes on the other; the neuron behind decides as in the quantised model."""
    sides = {
        "spikes": (lambda c, s: (s, s), ["Concat"]),
        "currents": (lambda c, s: (c, s + c), ["Add", "Concat"]),
        "both": (lambda c, s: (s, c), ["Rescale", "Concat"]),
    }
    choose, wanted = sides[joined]
    model = wired(lambda m, c, s: m.last(m.parts[0](*choose(c, s))), Concat(), channels=8)
    program = same(model)
    place = kinds(program).index("Concat")
    assert kinds(program)[place + 1 - len(wanted) : place + 1] == wanted
    assert (program.kinds()[place] == "events") == (joined == "spikes")
    x = frames(9, model, samples=40, steps=STEPS)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    assert 0.05 < trace.spikes[-1].mean() < 0.95
    found = straying(model, dict(zip(hardened.neurons(), trace.spikes, strict=True)), x)
    assert max(found.values()) < 2e-3, found


def test_currents_are_pooled_before_the_neuron_turns_them():
    """Gains of both signs before the pooling turn rows; behind it, the currents come to one unit."""

    class Pooled(nn.Module):
        def __init__(self, after):
            super().__init__()
            self.conv, self.norm, self.pool = Conv2d(2, 6, 3, padding=1), BatchNorm2d(6), MaxPool2d(3, 2, 1)
            self.neuron, self.after = build_neuron(NeuronConfig()), after

        def forward(self, x):
            x = self.conv(x)
            return self.neuron(self.norm(self.pool(x)) if self.after else self.pool(self.norm(x)))

    for after, wanted in (
        (False, ["Conv2d", "OrPool", "Neuron"]),
        (True, ["Conv2d", "OrPool", "Rescale", "Neuron"]),
    ):
        torch.manual_seed(1)
        config = ModelConfig(
            name="pooled", num_classes=3, input_size=(8, 8), neuron=NeuronConfig(), head="gap"
        )
        head = nn.Sequential(GlobalAvgPool2d(), Flatten(), Linear(6, 3))
        model = used(quantise_(SpikingModel(config, Pooled(after), head), QuantConfig()), 3)
        assert (model.features.norm.weight < 0).any() and (model.features.norm.weight > 0).any()
        program = same(model)
        assert kinds(program)[: len(wanted)] == wanted
        x = frames(7, model, samples=40, steps=STEPS)
        hardened = harden(model)
        trace = hardened_trace(hardened, x)
        assert 0.05 < trace.spikes[0].mean() < 0.95
        found = straying(model, dict(zip(hardened.neurons(), trace.spikes, strict=True)), x)
        assert max(found.values()) < 1e-3, found


def scaled_heads(scale):
    return wired(lambda m, c, s: m.last(m.parts[1](m.parts[0](s))), HeadSum(2), head_scale(scale), channels=2)


def test_a_scale_a_head_is_part_of_thresholds():
    program = same(scaled_heads(torch.tensor([0.5, 2.0])))
    assert kinds(program)[2:5] == ["HeadSum", "Rescale", "Neuron"] and program.ops[3].wire is not None
    low, high = program.ops[4].threshold.tolist()
    assert low == 4 * high
    constant = same(scaled_heads(torch.tensor([[0.5, 2.0]] * STEPS)))
    assert constant.digest() == program.digest()
    assert (
        program.ops[3].wire is not None and same(scaled_heads(torch.tensor([0.5, -2.0]))).ops[3].wire is None
    )


def squares(heads):
    """Counts of counts of counts: products that pass every width in turn."""

    def after(m, current, spikes):
        for _ in range(5):
            spikes = m.parts[0](spikes, spikes)
        return spikes

    return wired(after, HeadMatMul(heads, "first"), size=8)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: scaled_heads(torch.ones(4)), "scales 4 heads, which do not divide 2"),
        (lambda: wired(lambda m, c, s: m.parts[0](s), HeadSum(3), channels=3), "3 heads do not divide"),
        (
            lambda: wired(lambda m, c, s: m.parts[0](c), Recurrent(NeuronConfig(), 4)),
            r"features.parts.0' is recurrent and takes \[C, 1, 1\], its input is \(4, 8, 8\)",
        ),
        (
            lambda: wired(lambda m, c, s: m.parts[1](m.parts[0](s), s), MapSum(), Concat(), channels=8),
            r"features.parts.1' joins maps of \(4, 1, 1\) and \(4, 8, 8\)",
        ),
        (lambda: squares(1), r"layer 'features.parts.0' can reach \d+, beyond 32 bits"),
        (
            lambda: wired(lambda m, c, s: m.parts[0](s, s), nn.Bilinear(8, 8, 8)),
            r"\(Bilinear\) with 2 inputs",
        ),
    ],
)
def test_refusals_name_layer_and_reason(model, message):
    with pytest.raises(LatticeError, match=message):
        harden(untrained(model))


def untrained(make):
    """Models whose forward pass itself would refuse are not run before they are hardened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "used", lambda model, seed: model.eval())
        return make()


@given(
    st.integers(1, 6),
    st.integers(0, 1 << 20),
    st.integers(1, 1 << 20),
    st.floats(0.01, 100.0),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_mixing_is_as_fine_as_31_bits_allow(steps, seed, largest, unit, signed):
    """Sums of any values stay in 31 bits, decisions are those of the real numbers but for a hair around thresholds."""
    saccade = Saccadic(steps, seed, strength=largest * unit * 20).double()
    mixing, theta = saccade.mixing_matrix().detach(), saccade.thresholds().detach()
    one = torch.ones(2, dtype=torch.float64)
    bound, units = one * largest, torch.tensor([unit, unit / 3], dtype=torch.float64)
    offset = 0.1 * unit * one if signed else 0 * one
    lattice = fit_mix("mix", bound, units, offset, mixing, theta)
    reach = lattice.mixing[0].abs().sum(1) * largest
    assert float(reach.max()) <= INT32_MAX - 1
    finest = torch.tensor([float(row.abs().max()) for row in lattice.mixing[0]]) >= 2**30 / max(
        largest, 1
    ) / (2 * steps + 2)
    assert bool((finest | (reach > 2**29) | (lattice.mixing[0].abs().max(1).values >= 2**28)).all()), (
        "coarser than need be"
    )
    x = torch.tensor(np.random.default_rng(seed).integers(0, largest + 1, (steps, 30, 2))).double()
    real = torch.einsum("tj,jnc->tnc", mixing, x * units + offset)
    margin = (real - theta[:, None, None]).abs()
    scale = (mixing.abs().sum(1) * (largest * unit + offset[0]))[:, None, None]
    sure = margin > scale * 2.0**-18 * max(1.0, largest / 2**12) + units / 2.0**9
    fired = lattice(x) > 0
    assert torch.equal(fired[sure], (real >= theta[:, None, None])[sure])
    assert torch.equal(lattice(x[:1]), lattice(x)[:1]), "causal"


def test_a_threshold_on_a_count_is_met_by_that_count():
    """Ties hit often: 3 of 12 at a threshold of 1/4 fires."""
    lattice = fit_mix(
        "mix",
        torch.tensor([12.0]).double(),
        torch.tensor([1 / 12]).double(),
        torch.zeros(1).double(),
        torch.eye(1).double(),
        torch.tensor([0.25]).double(),
    )
    assert lattice(torch.tensor([[[2.0]], [[3.0]]]).reshape(1, 2, 1)).flatten().tolist() == [0, 1]


def test_mixing_is_refused_where_it_says_nothing():
    one = torch.ones(1, dtype=torch.float64)
    with pytest.raises(LatticeError, match="one lower triangle of as many steps"):
        fit_mix("mix", one, one, 0 * one, torch.ones(2, 2).double(), torch.ones(2).double())
    with pytest.raises(LatticeError, match="neuron 'mix' mixes values up to 1073741824"):
        fit_mix("mix", one * 2**30, one, 0 * one, torch.eye(1).double(), one)


def test_a_model_that_mixes_fewer_steps_than_the_program_is_refused():
    model = used(transformer(["sssa"], NeuronConfig(), steps=STEPS), 1)
    hardened = harden(model)
    assert any(isinstance(op, TimeMix) for op in lower(hardened, name="toy", T=STEPS - 1).ops)
    with pytest.raises(ProgramError, match="mixes 3 steps, but the program is made for T=4"):
        lower(hardened, name="toy", T=STEPS + 1)


def test_logits_of_currents_come_to_a_unit_that_float32_holds():
    """A head that reads currents sums far beyond 2^24; its logits are those of the model all the same."""
    model = wired(lambda m, c, s: m.last(c) + c)
    hardened = harden(model)
    assert kinds(same(model))[-3:] == ["Linear", "Rescale", "Readout"]
    x = torch.from_numpy(frames(3, model, samples=9, steps=STEPS)).float()
    torch.testing.assert_close(
        hardened(x) * hardened.logit_scale, model(x), atol=2e-2, rtol=1e-3
    )  # a spike or two


def test_thresholds_may_be_those_of_heads():
    one = torch.ones(2, dtype=torch.float64)
    lattice = fit_mix(
        "mix", 9 * one, one, 0 * one, torch.eye(1).double(), torch.tensor([[2.0, 5.0]]).double()
    )
    assert lattice(torch.full((1, 1, 2), 4.0)).flatten().tolist() == [1, 0]
