"""Ternary spikes, signed frames and delays: hand-worked traces, what is refused, and the C against the reference."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_cases import frames_for, signal_program, signal_programs, slow, small_program, weight
from test_program_c99 import STRICT, build, needs_compiler, sanitizers

from rheobase.compression import account
from rheobase.cost import count
from rheobase.errors import DataError, ProgramError
from rheobase.exchange import ExchangeError
from rheobase.exchange.sketch import from_program
from rheobase.program import (
    Add,
    CompiledProgram,
    Conv2d,
    Delay,
    Flatten,
    Linear,
    Neuron,
    Program,
    Readout,
    RoundedNeuron,
    load,
    measure,
    ranges,
    reference,
    save,
    verify,
    write_c,
)
from rheobase.program.storage import decode, encode


def trace(neuron: Neuron, *values: int) -> tuple[list[int], list[int]]:
    membranes, spikes = neuron.membranes(np.array(values).reshape(-1, 1, 1))
    assert spikes.dtype == np.int8
    return membranes.ravel().tolist(), spikes.ravel().tolist()


def test_ternary_spikes_by_hand():
    # ties fire on both sides
    soft = Neuron([5], [0], ternary=True)
    assert trace(soft, 4, 1, -4, -1, -9) == ([4, 0, -4, 0, -4], [0, 1, 0, -1, -1])
    hard = Neuron([5], [0], v_reset=-2, ternary=True)
    assert trace(hard, 5, -2, -3, 4) == ([-2, -4, 2, 6 - 8], [1, 0, -1, 1])
    # the floor of the leak is not odd: 3 - 1 = 2, -3 - (-2) = -1; the bias is added on both sides
    assert trace(Neuron([9], [1], leak_shift=1, ternary=True), 2, 0) == ([3, 3], [0, 0])
    assert trace(Neuron([9], [-1], leak_shift=1, ternary=True), -2, 0) == ([-3, -2], [0, 0])


def test_rounded_ternary_spikes_by_hand():
    neuron = RoundedNeuron(
        [8], [0], v_reset=0, gain=[1], gain_shift=0, levels=[-8, 0, 8], edges=[-4, 4], bits=2, ternary=True
    )
    assert trace(neuron, 4, -3, -5, 0, -8) == ([8, 8, 0, 0, 0], [0, 0, 0, 0, -1])
    assert trace(neuron, -5, 0, -1, 9) == ([-8, 0, 0, 0], [0, -1, 0, 1])


@given(st.integers(0, 1 << 20), st.sampled_from([None, 0]))
@settings(max_examples=20, deadline=None)
def test_without_a_leak_and_a_bias_ternary_neurons_are_odd(seed, reset):
    x = np.random.default_rng(seed).integers(-30, 31, (9, 2, 3))
    neuron = Neuron(np.array([7, 20, 40]), np.zeros(3, int), v_reset=reset, ternary=True)
    assert np.array_equal(neuron.run(-x), -neuron.run(x))


@given(signal_programs(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reference_equals_python_loops(program, seed):
    frames = frames_for(program, 2, seed)
    found = reference.run(program, frames)
    for n in range(2):
        spikes, logits = slow(program, frames[:, n])
        assert found.logits[:, n].tolist() == logits
        assert [layer[:, n].tolist() for layer in found.spikes] == spikes


@given(signal_programs(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_ranges_hold_what_is_reached(program, seed):
    frames = frames_for(program, 4, seed)
    frames[:, 0], frames[:, 1] = np.iinfo(program.input_type).min, np.iinfo(program.input_type).max
    for found, (_, _, result) in zip(ranges.analyse(program), reference.walk(program, frames), strict=True):
        assert found.low <= result.min() and result.max() <= found.high
        if found.storage == "int8_t":
            assert found.low >= -128 and found.high <= 127


@needs_compiler
@given(signal_programs(), st.integers(0, 1000))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_c_equals_reference(program, seed):
    frames = frames_for(program, 3, seed)
    found = verify(CompiledProgram(program, flags=(*STRICT, "-O1")), reference.run(program, frames), frames)
    assert found.exact, found.first_difference


@needs_compiler
def test_c_of_every_op_at_once(tmp_path):
    program = signal_program()
    frames = frames_for(program, 5, 1, steps=11)
    expected = reference.run(program, frames)
    assert all({-1, 0, 1} == set(np.unique(layer)) for layer in expected.spikes)
    assert verify(CompiledProgram(program), expected, frames).exact
    assert verify(CompiledProgram(program, rates={}), expected, frames).exact  # row by row
    sizes, counted = measure(program), account(program)
    assert (sizes.bytes_weights, sizes.bytes_membranes) == (counted.constants, counted.state)
    write_c(program, tmp_path, frames)
    assert "const int8_t *frame)" in (tmp_path / "model.h").read_text()
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitizers(tmp_path) else []
    done = build(tmp_path, "-O1", "-DRHEOBASE_TRACE", *flags)
    assert done.stdout == "logits equal\nspikes equal\nPASS\n"
    write_c(program, tmp_path)  # golden frames of its own
    assert build(tmp_path, "-O1").stdout == "logits equal\nPASS\n"


@given(signal_programs())
@settings(max_examples=30, deadline=None)
def test_decode_inverts_encode(program):
    description, tensors = encode(program)
    again = decode(json.loads(json.dumps(description)), tensors)
    assert again.digest() == program.digest() and again.input_type == program.input_type
    assert all(
        getattr(a, "ternary", 0) is getattr(b, "ternary", 0)
        for a, b in zip(again.ops, program.ops, strict=True)
    )


def test_files_keep_signs_and_older_ones_have_none(tmp_path):
    program = signal_program()
    save(program, tmp_path / "p")
    again = load(tmp_path / "p")
    assert again.digest() == program.digest() != signal_program(input_type="uint8").digest()
    assert again.ops[2].ternary is True and again.ops[0].delays.tolist() == [0, 2, 3]
    description, tensors = encode(small_program())
    assert "ternary" not in description["ops"][1]
    older = {**description, "version": 2}
    with pytest.raises(ProgramError, match="version 2 have no input_type"):
        decode(older, tensors)
    del older["input_type"]
    assert decode(older, tensors).digest() == small_program().digest()
    for wrong in (None, "float32", 1):
        with pytest.raises(ProgramError, match="input_type must be uint8 or int8"):
            decode({**description, "input_type": wrong}, tensors).validate()
    described, tensors = encode(program)
    described["ops"][2]["ternary"] = 2
    with pytest.raises(ProgramError, match="ternary must be true or false"):
        decode(described, tensors)


def test_storage_of_signed_values():
    """Spikes and their sums are int8 as long as they fit, as events are unsigned."""
    found = {r.layer.split("'")[1]: r for r in ranges.analyse(signal_program()) if "'" in r.layer}
    assert [found[name].storage for name in ("delays1", "ternary1", "pooled", "sum")] == ["int8_t"] * 4
    assert (found["sum"].low, found["sum"].high) == (-5, 5)
    ops = [
        Add(inputs=(-1, -1)),
        Flatten(),
        Linear(weight(np.random.default_rng(0), (2, 4), 2)),
        Readout([0, 0]),
    ]
    wide = ranges.analyse(Program("wide", (4, 1, 1), 1, ops, input_type="int8"))
    assert (wide[0].storage, wide[0].low, wide[0].high) == ("int16_t", -256, 254)


def test_signed_events_are_not_added_to_others():
    rng = np.random.default_rng(0)
    mixed = [
        Conv2d(weight(rng, (2, 2, 1, 1), 2)),
        Neuron([3, 3], [0, 0], ternary=True),
        Neuron([3, 3], [0, 0], inputs=(0,)),
        Add(inputs=(1, 2)),
        Flatten(),
        Linear(weight(rng, (2, 2), 2)),
        Readout([0, 0]),
    ]
    with pytest.raises(ProgramError, match="gives signed and events"):
        Program("mixed", (2, 1, 1), 1, mixed).validate()


def test_readers_that_refuse_name_what_they_miss():
    ops = list(small_program().ops)
    ops[1] = dataclasses.replace(ops[1], ternary=True)
    with pytest.raises(ExchangeError, match="fires -1 too"):
        from_program(small_program(ops=ops))
    with pytest.raises(DataError, match="takes int8 frames"):
        reference.run(signal_program(), np.zeros((2, 1, 2, 5, 2), np.uint8))
    with pytest.raises(DataError, match="takes uint8 frames"):
        reference.run(small_program(), np.zeros((2, 1, 2, 8, 8), np.int8))


@pytest.mark.parametrize("delays", [[-1], [1, 1], [1 << 20], [], [0.5]])
def test_delays_that_cannot_be(delays):
    with pytest.raises(ProgramError, match="delays"):
        Delay(np.array(delays))


def test_a_spike_of_minus_one_is_an_accumulate():
    ops = [Flatten(), Linear(weight(np.random.default_rng(0), (3, 2), 2)), Readout([0, 0, 0])]
    program = Program("tiny", (2, 1, 1), 1, ops, input_type="int8")
    row = count(program, np.array([-1, -5], np.int8).reshape(1, 1, 2, 1, 1)).rows[1]
    assert (row.accumulates, row.multiply_accumulates) == (3, 3)


def test_delays_cost_their_ring():
    row = count(signal_program(), frames_for(signal_program(), 1, 0)).rows[0]
    assert row.bytes_membranes == 3 * 2 * 5 * 2 + 4 and row.synaptic_operations == 0


def test_onnx_fires_both_ways(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from rheobase.exchange import export_onnx, run_onnx

    rng = np.random.default_rng(1)
    ops = [
        Conv2d(weight(rng, (6, 2, 3, 1), 2)),
        dataclasses.replace(signal_program().ops[2], inputs=()),
        Conv2d(weight(rng, (6, 6, 1, 1), 4)),
        dataclasses.replace(signal_program().ops[6], inputs=()),
        Flatten(),
        Linear(weight(rng, (3, 36), 4)),
        Readout([1, 0, -1]),
    ]
    program = signal_program(ops=ops)
    frames = frames_for(program, 4, 2)
    expected = np.cumsum(reference.run(program, frames).logits, axis=0)
    assert np.array_equal(run_onnx(export_onnx(program, tmp_path / "p.onnx"), program, frames), expected)
