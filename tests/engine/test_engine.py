"""The engine equals the reference, spike for spike, with every kernel, instruction set and number of threads."""

import dataclasses
import platform
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_cases import frames_for, neuron, programs, rounded_program, small_program, weight

from rheobase import native
from rheobase.engine import Engine, library
from rheobase.engine.library import ISAS, KERNELS
from rheobase.engine.plan import plan
from rheobase.errors import DataError, ProgramError
from rheobase.program import (
    CompiledProgram,
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Op,
    Program,
    Readout,
    SumPool,
    reference,
    verify,
)

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
pytestmark = needs_compiler


def able() -> list[str]:
    """Instruction sets of this processor; `scalar` runs everywhere."""
    return list(ISAS)[: list(ISAS).index(library.best_isa()) + 1] if native.compiler() else []


def assert_exact(program: Program, frames: np.ndarray, **options) -> None:
    found = verify(Engine(program, **options), reference.run(program, frames), frames)
    assert found.exact, (options, found.first_difference)


def wide_program(
    bits: int,
    channels: int,
    out: int,
    /,
    *,
    stride: int = 1,
    padding: int = 1,
    size: tuple[int, int] = (5, 7),
    seed: int = 0,
    pool: int | None = None,
    kernel: int = 3,
    **fields,
) -> Program:
    """Frames of one channel to spikes of `channels`, on which the layer to test works; then a readout of its spikes."""
    rng = np.random.default_rng(seed)
    spread = int(np.sqrt(channels * kernel * kernel)) << max(0, bits - 1)
    ops: list[Op] = [
        Conv2d(weight(rng, (channels, 1, 1, 1), 8)),
        Neuron(rng.integers(20, 200, channels), rng.integers(-20, 60, channels), v_reset=0),
    ]
    if pool is not None:
        ops.append(SumPool(pool))
    ops.append(
        Conv2d(
            weight(rng, (out, channels, kernel, kernel), bits), stride, padding, int(fields.pop("shift", 0))
        )
    )
    ops.append(neuron(rng, out, fields.pop("reset", "soft"), spread, **fields))
    ops.append(Flatten())
    shape: tuple[int, ...] = (1, *size)
    for op in ops:
        shape = op.output_shape(shape)
    ops += [Linear(weight(rng, (3, shape[0]), bits)), Readout(np.zeros(3, np.int32))]
    return Program("wide", (1, *size), 3, ops)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.sampled_from([None, *KERNELS]), st.sampled_from([1, 3]), st.integers(1, 2), st.data())
def test_random_programs(program, kernel, samples, threads, data):
    isa = data.draw(st.sampled_from(able()))
    assert_exact(program, frames_for(program, samples, 5), isa=isa, kernel=kernel, threads=threads)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("channels", [1, 31, 63, 64, 65, 127, 128, 130])
def test_channels_across_word_boundaries(bits, channels, kernel):
    for out in (1, 32, 33, 64, 65, 128, 130):
        program = wide_program(bits, channels, out, seed=out, size=(4, 5))
        for isa in able():
            assert_exact(program, frames_for(program, 2, 1), isa=isa, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "fields",
    [
        {"stride": 2},
        {"stride": 3, "padding": 2},
        {"padding": 0},
        {"kernel": 5, "padding": 4, "stride": 2},
        {"kernel": 1, "padding": 0},
        {"kernel": 2, "padding": 2},
        {"pool": 2},
        {"pool": 5, "size": (17, 11)},
        {"shift": 3},
        {"shift": 6, "leak_shift": 1},
        {"reset": "hard", "leak_shift": 2},
        {"reset": "each", "leak_shift": 20},
        {"leak_shift": 3, "leak_multiplier": 5},
        {"bits": 32, "saturation": 100_000, "leak_shift": 1},
        {"saturation": 60},
        {"size": (1, 1)},
        {"size": (9, 33)},
    ],
    ids=str,
)
def test_shapes_resets_leaks(bits, kernel, fields):
    program = wide_program(bits, 70, 40, **{"size": (6, 7)} | fields)
    for isa in able():
        for threads in (1, 2):
            assert_exact(program, frames_for(program, 1, 2), isa=isa, kernel=kernel, threads=threads)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_windows_that_fill_every_counter(bits, kernel):
    """All inputs fire and all codes are at their largest, so that sums pass the narrow lanes' limits; and all at zero."""
    rng = np.random.default_rng(0)
    for code in ((1 << bits) - 1, 0):
        program = wide_program(bits, 256, 129, size=(4, 4))
        ops = list(program.ops)
        ops[1] = Neuron(np.full(256, 1), np.full(256, 32700), v_reset=0)
        conv = ops[2]
        full = dataclasses.replace(conv.weight, codes=np.full_like(conv.weight.codes, code))
        ops[2] = dataclasses.replace(conv, weight=full)
        ops[3] = Neuron(rng.integers(1, 30000, 129), np.zeros(129, np.int32), bits=32, saturation=10**8)
        program = dataclasses.replace(program, ops=ops)
        assert reference.run(program, frames_for(program, 1, 0)).spikes[0].all()
        for isa in able():
            assert_exact(program, frames_for(program, 1, 0), isa=isa, kernel=kernel)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounded_neurons(bits):
    program = rounded_program(bits)
    for isa in able():
        assert_exact(program, frames_for(program, 3, 1), isa=isa, threads=2)


def test_pooled_frames_and_frames_too_busy_to_list():
    rng = np.random.default_rng(0)
    ops = [
        SumPool(2),
        SumPool(2),
        Conv2d(weight(rng, (70, 3, 3, 3), 4), padding=1),
        neuron(rng, 70, "soft", 900),
        Flatten(),
        Linear(weight(rng, (3, 280), 2)),
        Readout(np.array([1, 2, 3])),
    ]
    program = Program("pooled", (3, 9, 11), 2, ops)
    for top in (2, 256):
        frames = rng.integers(0, top, (2, 2, 3, 9, 11), dtype=np.uint8)
        for isa in able():
            for kernel in (None, "dense", "event"):
                assert_exact(program, frames, isa=isa, kernel=kernel)


@pytest.mark.parametrize("out", [16, 50, 100])
def test_frames_are_listed_or_multiplied_by_their_events(out):
    rng = np.random.default_rng(out)
    ops = [
        Conv2d(weight(rng, (out, 3, 3, 3), 8), padding=1),
        neuron(rng, out, "soft", 900),
        Flatten(),
        Linear(weight(rng, (3, out * 56), 4)),
        Readout(np.array([1, 2, 3])),
    ]
    program = Program("frames", (3, 7, 8), 3, ops)
    for rate in (0.02, 0.3, 3.0):
        frames = rng.poisson(rate, (3, 2, 3, 7, 8)).astype(np.uint8)
        for isa in able():
            assert_exact(program, frames, isa=isa)


def test_windows_of_more_weights_than_an_index_holds():
    rng = np.random.default_rng(0)
    ops = [
        Conv2d(weight(rng, (20, 1, 1, 1), 8)),
        Neuron(rng.integers(20, 200, 20), np.zeros(20, np.int32)),
        Flatten(),
        Linear(weight(rng, (5, 20 * 60 * 60), 4)),
        Readout(np.zeros(5, np.int32)),
    ]
    program = Program("long", (1, 60, 60), 2, ops)
    for isa in able():
        assert_exact(program, frames_for(program, 1, 0), isa=isa)


def test_more_steps_than_are_held_at_once():
    program = small_program(4)
    assert_exact(program, frames_for(program, 2, 0, steps=75), threads=2)


def test_equals_the_compiled_program():
    program = small_program(2)
    frames = frames_for(program, 5, 3)
    engine = Engine(program, threads=2)
    assert np.array_equal(engine.run(frames), CompiledProgram(program).run(frames))
    assert np.array_equal(engine.predict(frames), CompiledProgram(program).predict(frames))
    assert np.array_equal(engine.run(torch.from_numpy(frames)), engine.run(frames))
    assert engine.run(frames[:, :0]).shape == (3, 0, 3)


def test_streams_carry_the_state():
    program = small_program(4)
    frames = frames_for(program, 3, 1, steps=6)
    expected = reference.run(program, frames).logits
    stream = Engine(program, threads=2).stream(3)
    for _ in range(2):
        for frame, logits in zip(frames, expected, strict=True):
            assert np.array_equal(stream.step(frame), logits)
        assert np.array_equal(stream.logits, expected.sum(axis=0))
        assert np.array_equal(stream.predict(), expected.sum(axis=0).argmax(axis=-1))
        stream.reset()
    with pytest.raises(DataError, match="3 samples, got frames of 2"):
        stream.step(frames[0, :2])


def test_profile_names_layers_and_measures_rates():
    program = small_program(4)
    frames = frames_for(program, 4, 1)
    trace = reference.run(program, frames)
    found = Engine(program).profile(frames)
    assert [part.layer for part in found] == ["op 0 Conv2d 'features.0'", "op 3 Conv2d", "op 6 Linear"]
    assert found[0].rate == pytest.approx(frames.mean())
    assert found[1].rate == pytest.approx(trace.spikes[0].mean())
    assert found[2].rate == pytest.approx(trace.spikes[1].mean())
    with pytest.raises(DataError, match="at least one sample"):
        Engine(program).profile(frames[:, :0])


def test_kernels_can_be_switched():
    program = small_program(4)
    frames = frames_for(program, 2, 1)
    engine = Engine(program)
    expected = engine.run(frames)
    for kernel in (*KERNELS, None):
        engine.kernel = kernel
        assert engine.kernel == kernel
        assert np.array_equal(engine.run(frames), expected)


def test_layers_choose_by_rates():
    program = wide_program(4, 70, 40)
    frames = frames_for(program, 3, 1)
    engine = Engine(program)
    expected = engine.run(frames)
    for rate in (0.01, 0.9):
        engine.choose([rate] * 3)
        assert engine.kernel is None
        tables = [bool(layer.tables) for layer in engine._layers.array]
        assert tables == [False, rate > 0.5 and engine.isa != "scalar", rate > 0.5 and engine.isa != "scalar"]
        assert np.array_equal(engine.run(frames), expected)
    with pytest.raises(DataError, match="3 layers, got 2 rates"):
        engine.choose([0.1, 0.2])


def test_what_cannot_be_is_refused():
    program = small_program(4)
    with pytest.raises(DataError, match="isa"):
        Engine(program, isa="sse9")
    with pytest.raises(DataError, match="kernel"):
        Engine(program, kernel="magic")
    with pytest.raises(ProgramError, match="threads"):
        Engine(program, threads=0)
    with pytest.raises(DataError, match="takes uint8 frames"):
        Engine(program).run(np.zeros((1, 1, 2, 8, 8), np.int32))


def test_an_op_that_the_engine_does_not_know_runs_by_its_own_c():
    class Odd(SumPool):
        pass

    program = small_program(4)
    ops = [Odd(2, name="strange") if isinstance(op, SumPool) else op for op in program.ops]
    odd = Program("odd", program.input_shape, 3, ops)
    assert [stage.own.op.name for stage in plan(odd) if stage.own is not None] == ["strange"]
    assert_exact(odd, frames_for(odd, 3, 0), threads=2)


@pytest.mark.parametrize("best", list(ISAS)[:2])
def test_the_best_build_is_that_of_the_processor(monkeypatch, best):
    monkeypatch.setattr("rheobase.engine.engine.best_isa", lambda: best)
    if best in able():
        assert Engine(small_program(4)).isa == best
    with pytest.raises(DataError, match=f"does not have avx512; it runs (scalar, )?{best}$"):
        Engine(small_program(4), isa="avx512")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.parametrize("isa", ISAS)
def test_every_build_compiles_without_a_warning(isa):
    command = [native.compiler(), "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *library.FLAGS, *ISAS[isa]]
    done = subprocess.run(
        [*command, library.SOURCE, library.CPU], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(native, "compiler", lambda: None)
    for found in (library.library, library.best_isa):
        found.cache_clear()
    try:
        with pytest.raises(native.CompilerError, match="no C compiler found"):
            Engine(small_program(4))
    finally:
        library.library.cache_clear()
        library.best_isa.cache_clear()
