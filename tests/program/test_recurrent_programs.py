"""Programs with recurrent neurons: against plain loops, the C, their proven bounds, the file, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import recurrent_neuron, weight

from rheobase.cost import count
from rheobase.engine import Engine
from rheobase.errors import ProgramError
from rheobase.exchange import ExchangeError, sketch
from rheobase.program import (
    CompiledProgram,
    Conv2d,
    Flatten,
    Linear,
    Program,
    Readout,
    RecurrentRoundedNeuron,
    Weight,
    load,
    ranges,
    reference,
    save,
    verify,
)


def program(fires, seed=0, inputs=3, bits=4, input_type="int8", T=6) -> Program:
    rng, channels = np.random.default_rng(seed), fires.channels
    ops = [
        Conv2d(weight(rng, (channels, inputs, 1, 1), bits)),
        fires,
        Flatten(),
        Linear(weight(rng, (3, channels), 4)),
        Readout(np.zeros(3, np.int32)),
    ]
    return Program("recurrent", (inputs, 1, 1), T, ops, input_type=input_type)


@st.composite
def programs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    channels, bits = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 4, 8]))
    fires = recurrent_neuron(
        rng,
        channels,
        bits,
        ternary=draw(st.booleans()),
        rounded=draw(st.booleans()),
        reset=draw(st.sampled_from([None, 0, 2])),
    )
    kind = draw(st.sampled_from(["int8", "uint8"]))
    return program(fires, draw(st.integers(0, 99)), draw(st.integers(1, 4)), bits, kind)


def frames(program, samples=3, seed=0):
    rng = np.random.default_rng(seed)
    low = -2 if program.input_type == "int8" else 0
    return rng.integers(low, 3, (program.T, samples, *program.input_shape)).astype(program.input_type)


def slow(program, sample):
    """Spikes of one sample `[T, C]` by loops over plain integers."""
    conv, op = program.ops[:2]
    forward, backward = conv.weight.values()[:, :, 0, 0].tolist(), op.weight.values().tolist()
    C = op.channels
    v, s, told = [0] * C, [0] * C, []
    for frame in sample[:, :, 0, 0].tolist():
        new = []
        for c in range(C):
            drive = sum(w * x for w, x in zip(forward[c], frame, strict=True))
            if isinstance(op, RecurrentRoundedNeuron):
                drive = (drive * int(op.gain[c]) + (1 << op.gain_shift >> 1)) // (1 << op.gain_shift)
            back = sum(w * each for w, each in zip(backward[c], s, strict=True)) * int(op.back_gain[c])
            back = (back + (1 << op.back_shift >> 1)) // (1 << op.back_shift)
            h = v[c] - v[c] // (1 << op.leak_shift) + drive + int(op.bias[c]) + back
            h = max(-op.saturation, min(op.saturation, h))
            fired = int(h >= op.threshold[c]) - int(op.ternary and -h >= op.threshold[c])
            if fired:
                h = h - int(op.threshold[c]) * fired if op.v_reset is None else op.v_reset * fired
            if isinstance(op, RecurrentRoundedNeuron):
                h = int(op.levels[sum(int(edge) <= h for edge in op.edges)])
            v[c] = h
            new.append(fired)
        s = new
        told.append(s)
    return told


@settings(max_examples=60)
@given(programs())
def test_the_reference_is_plain_arithmetic(program):
    x = frames(program)
    found = reference.run(program, x).spikes[0]
    for n in range(x.shape[1]):
        assert found[:, n, :, 0, 0].tolist() == slow(program, x[:, n])


@settings(max_examples=25)
@given(programs(), st.booleans())
def test_c_equals_the_reference(program, by_rate):
    x = frames(program, samples=4, seed=1)
    rates = dict.fromkeys(range(len(program.ops)), 0.1) if by_rate else None
    compiled = CompiledProgram(
        program, rates=rates, flags=("-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    )
    assert verify(
        compiled, reference.run(program, x), x
    ).exact  # samples one after the other: reset forgets the spikes


@given(programs())
@settings(max_examples=40)
def test_no_run_leaves_the_proven_bounds(program):
    found = ranges.analyse(program)[1]
    fires = program.ops[1]
    low, high = fires.reach()
    ends = [np.ones(fires.channels, np.int64), np.zeros(fires.channels, np.int64)]
    ends += [np.sign(row) * s for row in fires.weight.values() for s in ((1, -1) if fires.ternary else (1,))]
    for s in ends:
        s = s if fires.ternary else np.maximum(s, 0)
        drive = fires.drive(fires.bias.astype(np.int64).reshape(-1, 1, 1), s.reshape(1, -1, 1, 1)).ravel()
        assert (low <= drive).all() and (drive <= high).all() and np.abs(drive).max() <= found.widest
    assert found.low >= -int(fires.ternary) and found.high <= 1


def test_files_hold_them(tmp_path):
    for rounded in (False, True):
        made = program(recurrent_neuron(np.random.default_rng(0), 5, 2, ternary=True, rounded=rounded))
        save(made, tmp_path / "p.safetensors")
        assert load(tmp_path / "p.safetensors").digest() == made.digest()
        changed = replace(made.ops[1], back_shift=made.ops[1].back_shift + 1)
        assert replace(made, ops=[made.ops[0], changed, *made.ops[2:]]).digest() != made.digest()


def test_spikes_that_come_back_are_counted_as_work():
    made = program(recurrent_neuron(np.random.default_rng(3), 6, 4, ternary=True), T=8)
    x = frames(made, samples=5)
    trace = reference.run(made, x)
    row = count(made, x, trace).rows[1]
    back = np.count_nonzero(trace.spikes[0][:-1])
    assert back > 0 and row.accumulates == pytest.approx(back * 6 / 5) and row.macs == 36
    assert row.bytes_weights == made.ops[1].weight.bytes and row.bytes_membranes == 6 * 2 + 6
    assert count(made, x).rows[1] == row


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight": Weight(np.zeros((5, 4), np.uint8), 2, 1, 0)}, "one from each to each"),
        ({"back_gain": np.ones(4, np.int32)}, "channels differ"),
        ({"back_shift": 31}, "back_shift"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    good = recurrent_neuron(np.random.default_rng(0), 5, 2)
    with pytest.raises(ProgramError, match=said):
        replace(good, **changes)


def test_gains_beyond_32_bits_and_maps_are_refused():
    good = recurrent_neuron(np.random.default_rng(0), 5, 8)
    with pytest.raises(ProgramError, match="beyond 32 bits; lower back_gain"):
        program(replace(good, back_gain=np.full(5, 1 << 30, np.int32))).validate()
    made = program(good)
    with pytest.raises(ProgramError, match=r"takes \[C\] or \[C, 1, 1\]"):
        replace(made, input_shape=(3, 2, 1)).shapes()


@settings(max_examples=25)
@given(programs())
def test_the_engine_equals_the_reference(program):
    x = frames(program)
    trace = reference.run(program, x)
    found = Engine(program).run_traced(x)
    assert (found.logits == trace.logits).all()
    assert all((mine == wanted).all() for mine, wanted in zip(found.spikes, trace.spikes, strict=True))


def test_formats_without_recurrence_say_so():
    made = program(recurrent_neuron(np.random.default_rng(0), 5, 2), input_type="uint8")
    with pytest.raises(ExchangeError, match="takes back its own spikes"):
        sketch.from_program(made)
