"""The engine on graphs: every op on every value, and every convolutional model, equal to the reference bit for bit."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_cases import attention_program, frames_for, graphs, residual_program, signal_program, weight
from test_engine import able, assert_exact, needs_compiler

from model_cases import CONVOLUTIONAL, SMALL_TRANSFORMERS
from rheobase.compression import QuantConfig, ReScaWConfig, StandardisedSignConfig, harden, quantise_
from rheobase.engine import Engine
from rheobase.engine.library import KERNELS
from rheobase.engine.plan import plan
from rheobase.models import create_model
from rheobase.program import (
    Add,
    Conv2d,
    Delay,
    Flatten,
    Gate,
    HeadMatMul,
    HeadSum,
    Linear,
    Neuron,
    OrPool,
    Program,
    Readout,
    Rescale,
    RoundedNeuron,
    SumPool,
    TimeMix,
    reference,
)
from rheobase.program.lower import lower

sys.path.append(str(Path(__file__).parents[1] / "compression"))
from graph_cases import used
from test_harden_signals import trained_like

pytestmark = needs_compiler


def assert_streams(program: Program, frames: np.ndarray, expected: np.ndarray, **options) -> None:
    stream = Engine(program, **options).stream(frames.shape[1])
    for frame, logits in zip(frames, expected, strict=True):
        assert np.array_equal(stream.step(frame), logits)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(graphs(), graphs(signals=True)), st.sampled_from([None, *KERNELS]), st.integers(1, 2), st.data()
)
def test_random_graphs(program, kernel, threads, data):
    options = {"isa": data.draw(st.sampled_from(able())), "kernel": kernel, "threads": threads}
    random = frames_for(program, 2, 0)
    ends = np.iinfo(program.input_type)
    full = [np.full_like(random[:, :1], end) for end in (ends.min, ends.max)]
    frames = np.concatenate([random, *full], axis=1)
    assert_exact(program, frames, **options)
    assert_streams(program, frames, reference.run(program, frames).logits, **options)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
@torch.no_grad()
def test_every_convolutional_model(name, threads):
    torch.manual_seed(0)
    model = create_model(name, num_classes=4, input_size=(32, 32), width=1 / 16)
    quantise_(model, QuantConfig(weights=ReScaWConfig(bits=4), edge_bits=8))
    program = lower(harden(used(model, 1)), name=name, T=2)
    frames = frames_for(program, 3, 0)
    expected = reference.run(program, frames)
    assert all(layer.any() for layer in expected.spikes), "silent layers prove nothing"
    assert_exact(program, frames, threads=threads)
    engine = Engine(program, threads=threads)
    for given_frames in (frames, torch.from_numpy(frames), frames[:, :1]):
        logits = expected.logits[:, : given_frames.shape[1]]
        assert np.array_equal(engine.run(given_frames), logits)
    assert_streams(program, frames, expected.logits, threads=threads)


@pytest.mark.parametrize("name", [name for name in SMALL_TRANSFORMERS if name != "sdt_v3_small"])
@torch.no_grad()
def test_every_small_transformer(name):
    """All but sdt_v3, whose neurons fire integers: there is no program of it."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=4, input_size=(24, 24), width=1 / 8, T=4)
    inner = StandardisedSignConfig() if name.startswith("bestformer") else ReScaWConfig(bits=4)
    quantise_(model, QuantConfig(weights=inner, edge_bits=8))
    program = lower(harden(used(model, 1)), name="transformer", T=4)
    frames = frames_for(program, 2, 0)
    expected = reference.run(program, frames)
    assert np.mean([layer.any() for layer in expected.spikes]) > 0.7, "silent layers prove nothing"
    assert_exact(program, frames, threads=2)
    assert_streams(program, frames, expected.logits)


@pytest.mark.parametrize("neuron", ["qt_snn", "ternary_lif", "lif_soft"])
@pytest.mark.parametrize("name", ["spiking_mlp", "spiking_tcn"])
@torch.no_grad()
def test_networks_for_signals(name, neuron):
    """Signed frames, delays, ternary spikes."""
    program = lower(harden(trained_like(name, neuron), "int8"), name="signal", T=12)
    frames = frames_for(program, 3, 0)
    expected = reference.run(program, frames)
    assert all(layer.any() for layer in expected.spikes), "silent layers prove nothing"
    assert_exact(program, frames, threads=2)
    assert_streams(program, frames, expected.logits)


def test_channels_beyond_a_block_in_joins_groups_and_pools():
    rng = np.random.default_rng(0)
    for channels in (63, 64, 65, 130):
        ops = [
            Conv2d(weight(rng, (channels, 2, 3, 3), 1), padding=1),
            Rescale(rng.integers(-9, 9, channels), rng.integers(-9, 9, channels), 2),
            Neuron(rng.integers(1, 9, channels), rng.integers(-2, 2, channels)),
            Conv2d(weight(rng, (channels, 1, 3, 3), 2), padding=1, groups=channels),
            Add(inputs=(1, 3)),
            Neuron(rng.integers(1, 9, channels), rng.integers(-2, 2, channels), leak_shift=1),
            Add(inputs=(2, 5)),
            OrPool(3, 2, 1),
            OrPool(3, 2, 1, inputs=(5,)),
            Add(inputs=(7, 8)),
            Conv2d(weight(rng, (129, channels, 3, 3), 4)),
            Conv2d(weight(rng, (258, 1, 1, 1), 1), groups=129),
            SumPool(None),
            Neuron(rng.integers(1, 90, 258), rng.integers(-2, 2, 258), bits=32),
            Flatten(),
            Linear(weight(rng, (3, 258), 4)),
            Readout(np.zeros(3, int)),
        ]
        program = Program("wide", (2, 6, 7), 3, ops)
        for isa in able():
            assert_exact(program, frames_for(program, 2, 1), isa=isa, threads=2)


def test_residual_layers_end_in_one_pass():
    """A convolution with its rescaling, its shortcut and its neuron is one layer, which keeps its row for the next."""
    program = residual_program()
    stages = plan(program)
    assert [stages[0].name, stages[2].name] == ["op 0 Conv2d 'stem'", "op 3 Conv2d 'depthwise'"]
    stem = stages[0]
    assert (stem.head, len(stem.tail), stem.keep, stem.ends) == ("sums", 1, True, program.ops[2])
    assert (stages[1].head, stages[2].head) == ("load", "conv")
    assert (len(stages[2].tail), stages[2].keep, stages[2].ends) == (2, True, program.ops[6])
    for isa in able():
        assert_exact(program, frames_for(program, 3, 0), isa=isa)


def test_a_profile_of_a_graph_names_all_layers():
    program = residual_program()
    engine = Engine(program)
    parts = engine.profile(frames_for(program, 2, 0))
    assert len(parts) == len(plan(program))
    assert all(part.seconds > 0 for part in parts)
    engine.choose([part.rate for part in parts])
    assert_exact(program, frames_for(program, 2, 0))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("make", [attention_program, signal_program])
def test_ops_without_a_fast_form_run_by_their_own_c(make, threads):
    """Delays, saccades and ternary neurons keep their past from step to step, in parts and in streams."""
    program = make()
    frames = frames_for(program, 3, 4, min(program.most_steps, 40))  # 32 steps are held
    own = {type(stage.own.op) for stage in plan(program) if stage.own is not None}
    assert own == {TimeMix, HeadSum, Gate, HeadMatMul} or own == {Delay, Neuron, RoundedNeuron}
    for isa in able():
        assert_exact(program, frames, isa=isa, threads=threads)
    assert_streams(program, frames, reference.run(program, frames).logits, threads=threads)


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("part", [5, 32, 64, 70])
def test_products_of_spikes_count_ones(heads, part):
    """Heads that begin anywhere in a word, strings of one word and of two, along channels and along places."""
    rng = np.random.default_rng(part)
    channels, size = heads * part, (9, 8)
    ops = []
    for _ in range(2):
        ops.append(Conv2d(weight(rng, (channels, 2, 1, 1), 4), inputs=(-1,)))
        ops.append(Neuron(rng.integers(1, 20, channels), rng.integers(-2, 9, channels)))
    ops += [
        HeadMatMul(heads, "second", inputs=(1, 3)),
        HeadMatMul(heads, "first", inputs=(1, 3)),
        HeadMatMul(heads, "none", inputs=(1, 5)),
        SumPool(None, inputs=(4,)),
        SumPool(None, inputs=(6,)),
        Flatten(inputs=(7,)),
        Flatten(inputs=(8,)),
        Linear(weight(rng, (3, heads * 72), 4), inputs=(9,)),
        Linear(weight(rng, (3, channels), 4), inputs=(10,)),
        Add(inputs=(11, 12)),
        Readout(np.zeros(3, int)),
    ]
    program = Program("products", (2, *size), 3, ops)
    assert [stage.head for stage in plan(program)][2:5] == ["matmul", "matmul", "own"]
    for isa in able():
        assert_exact(program, frames_for(program, 2, 0), isa=isa, threads=2)


def test_counts_beyond_16_bits_are_weighted_one_by_one():
    rng = np.random.default_rng(0)
    ops = [
        Gate(inputs=(-1, -1)),
        Conv2d(weight(rng, (3, 2, 2, 2), 2)),
        SumPool(None),
        Flatten(),
        Linear(weight(rng, (3, 3), 4)),
        Readout([0, 0, 0]),
    ]
    program = Program("squares", (2, 3, 3), 2, ops)
    frames = np.full((2, 1, 2, 3, 3), 255, np.uint8)
    assert np.array_equal(Engine(program).run(frames), reference.run(program, frames).logits)
