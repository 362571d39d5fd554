"""Ops of attention: what they refuse, what their ranges prove, what they cost, and files that lie about them."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import attention_program, frames_for, neuron, slow, weight
from test_program_c99 import STRICT, needs_compiler
from test_program_storage import put, tensor, write

from rheobase.cost import count
from rheobase.cost.twin import twin
from rheobase.errors import DataError, ProgramError
from rheobase.program import (
    CompiledProgram,
    Concat,
    Conv2d,
    Flatten,
    Gate,
    HeadMatMul,
    HeadSum,
    Linear,
    OrPool,
    Program,
    Readout,
    Rescale,
    SumPool,
    TimeMix,
    Weight,
    load,
    ranges,
    reference,
    save,
    verify,
)
from rheobase.program.c99 import generate
from rheobase.program.ops import Bounds
from rheobase.program.storage import encode


def test_the_whole_of_attention_equals_loops_by_hand():
    program = attention_program()
    frames = frames_for(program, 2, 4)
    frames[:, 1] = 255
    trace = reference.run(program, frames)
    assert all(0 < layer.mean() < 1 for layer in trace.spikes)
    for n in range(2):
        spikes, logits = slow(program, frames[:, n])
        assert trace.logits[:, n].tolist() == logits
        for layer, expected in zip(trace.spikes, spikes, strict=True):
            assert layer[:, n].tolist() == expected


@needs_compiler
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_compiled_attention_equals_the_reference_at_any_number_of_steps(steps):
    program = attention_program()
    frames = frames_for(program, 3, 5, steps)
    found = verify(CompiledProgram(program, flags=(*STRICT, "-O2")), reference.run(program, frames), frames)
    assert found.exact, found.first_difference


@needs_compiler
def test_mixed_steps_have_an_end():
    program = attention_program()
    assert program.most_steps == generate(program).max_steps == 4
    frames = frames_for(program, 1, 0, 5)
    for run in (CompiledProgram(program).run, lambda x: reference.run(program, x)):
        with pytest.raises(DataError, match="has numbers by step for 4 steps, the frames have 5"):
            run(frames)
    with pytest.raises(ProgramError, match=r"op 13 TimeMix 'saccade': TimeMix mixes 4 steps.*made for T=5"):
        attention_program(T=5).validate()
    mix = TimeMix([1, 1, 1], [1, 1], 2)
    assert mix.run(np.ones((3, 1, 1, 1, 1), int)).ravel().tolist() == [1, 1, 0]  # silent after its steps


@needs_compiler
def test_counts_beyond_16_bits_stay_exact():
    """Squares of counts: 255 * 255 * 9 of a map, 32-bit events that a linear layer reads."""
    w = Weight(np.array([[0, 3], [5, 9]], np.uint8), 4, 2, -15)
    ops = [Gate(inputs=(-1, -1)), SumPool(None), Flatten(), Linear(w), Readout([3, -3])]
    program = Program("squares", (2, 3, 3), 2, ops)
    assert ranges.analyse(program)[1].storage == "uint32_t"
    frames = np.full((2, 1, 2, 3, 3), 255, np.uint8)
    trace = reference.run(program, frames)
    assert trace.logits[0, 0].tolist() == [255 * 255 * 9 * (-15 - 9) + 3, 255 * 255 * 9 * (-5 + 3) - 3]
    assert np.array_equal(CompiledProgram(program, flags=STRICT).run(frames), trace.logits)


@needs_compiler
def test_a_shift_moves_nothing_in_c():
    """A Rescale by a power of two is an alias, as long as 32 bits hold the shift; of the frame it is a copy."""

    def program(*ops):
        return Program(
            "s",
            (2, 2, 2),
            1,
            [*ops, Flatten(), Linear(Weight(np.ones((2, 8), np.uint8), 1, 1, 0)), Readout([0, 0])],
        )

    eight, four = Rescale([8, 8], [0, 0]), Rescale([4, 4], [0, 0])
    assert (eight.wire, Rescale([6, 6], [0, 0]).wire, Rescale([8, 4], [0, 0]).wire) == (3, None, None)
    assert Rescale([8, 8], [0, 1]).wire is None and Rescale([8, 8], [0, 0], 1).wire is None
    copied, aliased = program(eight), program(SumPool(1), four, eight)
    assert "rescale" in generate(copied).kernels_h and "rescale" not in generate(aliased).kernels_h
    for each in (
        copied,
        aliased,
        program(SumPool(1), four, OrPool(1, 1), HeadSum(1), Rescale([2], [0]), Gate(inputs=(4, 1))),
    ):
        frames = frames_for(each, 3, 1)
        assert np.array_equal(
            CompiledProgram(each, flags=STRICT).run(frames), reference.run(each, frames).logits
        )


@needs_compiler
@pytest.mark.parametrize("kind", ["counts", "currents", "vectors"])
def test_joined_channels_by_hand(kind):
    """A frame, channel by channel, beside 16-bit counts; currents of two widths, one shifted; flattened maps."""
    frames = np.arange(1, 9, dtype=np.uint8).reshape(1, 1, 2, 2, 2)
    square = Gate(inputs=(-1, -1))
    ops = {
        "counts": [square, Concat(inputs=(0, -1))],
        "currents": [Rescale([3, -4], [0, 1]), Rescale([8, 8], [0, 0], inputs=(0,)), Concat(inputs=(1, 0))],
        "vectors": [square, Flatten(), Flatten(inputs=(-1,)), Concat(inputs=(1, 2))],
    }[kind]
    codes = np.random.default_rng(0).integers(0, 256, (3, 16), np.uint8)
    last = len(ops) - 1
    tail = [Linear(Weight(codes, 8, 1, -128)), Readout([0, 1, 2])]
    program = Program("joined", (2, 2, 2), 1, [*ops, *([] if kind == "vectors" else [Flatten()]), *tail])
    maps = frames[0, 0].astype(int)
    currents = maps * np.reshape([3, -4], (2, 1, 1)) + np.reshape([0, 1], (2, 1, 1))
    wanted = {
        "counts": np.concatenate([maps * maps, maps]),
        "currents": np.concatenate([8 * currents, currents]),
        "vectors": np.concatenate([(maps * maps).ravel(), maps.ravel()]),
    }[kind]
    logits = (codes.astype(int) - 128) @ wanted.ravel() + [0, 1, 2]
    assert reference.run(program, frames).logits[0, 0].tolist() == logits.tolist()
    found = ranges.analyse(program)[last]
    assert (found.low < 0) == (kind == "currents") and found.high >= wanted.max()
    assert CompiledProgram(program, flags=STRICT).run(frames)[0, 0].tolist() == logits.tolist()
    rows = count(program, frames).rows[last]
    assert rows.events == 16 and rows.synaptic_operations == 0 and rows.bytes_map > 0


HEAD = [Flatten(), Linear(Weight(np.ones((2, 8), np.uint8), 1, 1, 0)), Readout([0, 0])]


def graph(*ops, shape=(2, 2, 2), T=2):
    Program("g", shape, T, [*ops, *HEAD]).validate()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeadSum(0), "heads must be"),
        (lambda: graph(HeadSum(3)), r"C a multiple of 3, got \[2, 2, 2\]"),
        (lambda: HeadMatMul(1, "both"), "kind 'both' is not one of none, first, second"),
        (lambda: graph(HeadMatMul(3, inputs=(-1, -1))), "multiple of 3"),
        (lambda: graph(HeadMatMul(1, inputs=(-1, -1))), r"matrices \[4, 2\] and \[4, 2\]"),
        (
            lambda: graph(SumPool(2), Concat(inputs=(-1, 0))),
            r"Concat reads \[2, 2, 2\] and \[2, 1, 1\]; both must agree in all but",
        ),
        (lambda: graph(Rescale([1, 1], [0, 0]), Concat(inputs=(0, -1))), "gives current and events"),
        (lambda: graph(HeadMatMul(1, inputs=(-1,))), "HeadMatMul reads 2 values, its inputs are 1"),
        (lambda: graph(SumPool(1), HeadSum(1), Gate(inputs=(0, 1))), r"a gate \[2, 2, 2\] for \[1, 2, 2\]"),
        (
            lambda: graph(SumPool(2), Gate(inputs=(-1, 0))),
            r"a gate \[2, 2, 2\] for \[2, 1, 1\]",
        ),
        (
            lambda: graph(Gate(inputs=(-1, -1)), Gate(inputs=(0, 0)), Gate(inputs=(1, -1))),
            r"op 1 Gate can reach 4228250625",
        ),
        (lambda: TimeMix([1, 1], [1, 1], 2), "mixes by 3 numbers, or as many for each of 1 channels, got 2"),
        (lambda: TimeMix([1, 1, 1], [1, 1, 1], 2), "as many thresholds for each channel, got 3"),
        (lambda: TimeMix([1], [1], 0), "steps must be"),
        (lambda: TimeMix([1.5], [1], 1), "integer array"),
        (lambda: graph(TimeMix([1], [1, 1], 1), T=2), "mixes 1 steps, but the program is made for T=2"),
        (lambda: graph(TimeMix([1], [1, 1, 1], 1), T=1), "thresholds for 3 channels"),
        (
            lambda: graph(TimeMix([9000000], [1, 1], 1), T=1),
            "mixed values can reach 2295000000, beyond 32 bits",
        ),
    ],
)
def test_refusals_say_what_is_wrong(make, message):
    with pytest.raises(ProgramError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("ops", 5, "heads", value=3), "op 5 HeadSum"),
        (put("ops", 5, "heads", value=None), "heads must be"),
        (put("ops", 5, "heads", value=-1), "heads must be"),
        (put("ops", 8, "kind", value="third"), "'third' is not one of"),
        (put("ops", 8, "kind", value=7), "must be a string"),
        (put("ops", 8, "inputs", value=[2]), "reads 2 values"),
        (put("ops", 13, "steps", value=10**9), "steps must be"),
        (put("ops", 13, "steps", value=3), "as many thresholds for each channel, got 8"),
        (put("ops", 0, "dilation", value=0), "dilation must be"),
        (put("ops", 0, "dilation", value=200), "larger than its padded input"),
        (put("ops", 0, "dilation", value="2"), "must be an integer"),
        (tensor("13.mixing", None), "needs an int32 vector"),
        (tensor("13.mixing", np.full(10, 2**31 - 1, np.int32)), "beyond 32 bits"),
        (tensor("13.threshold", np.ones(9, np.int32)), "as many thresholds"),
    ],
)
def test_hostile_files_are_refused_with_the_reason(tmp_path, change, message):
    description, tensors = encode(attention_program())
    description, tensors = json.loads(json.dumps(description)), dict(tensors)
    change(description, tensors)
    with pytest.raises(ProgramError, match=message):
        load(write(tmp_path / "p.safetensors", description, tensors))


def test_a_dilation_is_written_where_there_is_one(tmp_path):
    """Files without the field, and their digests, are those of before it existed."""
    program = attention_program()
    described = encode(program)[0]["ops"]
    assert described[0]["dilation"] == 2 and "dilation" not in described[3]
    save(program, tmp_path / "p")
    assert load(tmp_path / "p").digest() == program.digest() and load(tmp_path / "p").ops[0].dilation == 2


@given(
    st.sampled_from(["none", "first", "second"]),
    st.tuples(*[st.integers(1, 3)] * 4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_ranges_of_products_hold_and_are_reached(kind, sizes, signed, other_signed, seed):
    """Values at the ends of their ranges, every entry pushed up and down in turn."""
    rng = np.random.default_rng(seed)
    heads, part, pixels, columns = sizes
    first = (heads * part, pixels, 1)
    second = {
        "none": (heads * columns, part, 1),
        "first": (heads * columns, pixels, 1),
        "second": (heads * part, columns, 1),
    }[kind]
    op = HeadMatMul(heads, kind)
    a, b = (
        interval(rng, shape[0], negative) for shape, negative in ((first, signed), (second, other_signed))
    )
    found = op.bounds(a, b, first, second, 1)
    out = op.output_shape(first, second)
    assert len(found.low) == out[0]
    x, y = (spanning(rng, each, shape) for each, shape in ((a, first), (b, second)))
    z = op.run(x, y).reshape(-1, *out)
    assert (z.min((0, 2, 3)) >= found.low).all() and (z.max((0, 2, 3)) <= found.high).all()
    gate = Gate()
    every = gate.bounds(a, a, first, first, 1)
    squares = gate.run(x, spanning(rng, a, first)).reshape(-1, *first)
    assert (squares.min((0, 2, 3)) >= every.low).all() and (squares.max((0, 2, 3)) <= every.high).all()
    top = np.where(every.high == a.high * a.high, a.high, a.low)[None, None, :, None, None]
    assert (gate.run(top, top).ravel() == every.high).all()


def interval(rng: np.random.Generator, channels: int, signed: bool) -> Bounds:
    high = rng.integers(1, 9, channels)
    return Bounds(
        -rng.integers(1, 9, channels) if signed else 0 * high, high, 9, "int16_t" if signed else "uint8_t"
    )


def spanning(rng: np.random.Generator, bounds: Bounds, shape: tuple[int, ...]) -> np.ndarray:
    ends = rng.integers(0, 2, (1, 40, *shape))
    return np.where(ends, bounds.high.reshape(-1, 1, 1), bounds.low.reshape(-1, 1, 1))


def test_head_sums_and_products_reach_their_bounds():
    frames = np.full((1, 1, 4, 2, 2), 255)
    whole = Bounds(np.zeros(4, int), np.full(4, 255), 255, "uint8_t")
    assert (
        HeadSum(2).bounds(whole, (4, 2, 2), 1).high.tolist() == HeadSum(2).run(frames)[0, 0, :, 0, 0].tolist()
    )
    for kind in ("first", "second"):
        op = HeadMatMul(2, kind)
        assert op.bounds(whole, whole, (4, 2, 2), (4, 2, 2), 1).widest == op.run(frames, frames).max()


def test_work_by_hand():
    q = np.array([[1, 0], [2, 1], [0, 0]]).T.reshape(1, 1, 2, 3, 1)  # three tokens of two entries
    k = np.array([[1, 1], [0, 3], [0, 1]]).T.reshape(1, 1, 2, 3, 1)
    product = HeadMatMul(1, "second")
    assert product.run(q, k)[0, 0, :, :, 0].T.tolist() == [[1, 0, 0], [3, 3, 1], [0, 0, 0]]
    work = product.work(q, k)
    assert (work.events, work.accumulates, work.multiply_accumulates) == (3 + 4, 2 * 3, 1 * 3)
    assert product.macs((2, 3, 1), (2, 3, 1)) == 3 * 2 * 3
    gated = Gate().work(q, k)  # pairs: 1*1, 2*0, 1*3 and the zeros
    assert (gated.events, gated.accumulates, gated.multiply_accumulates) == (7, 2, 0)
    assert Gate().work(2 * q, 3 * k).multiply_accumulates == 2
    assert HeadSum(1).work(q).accumulates == 3
    assert TimeMix([1] * 6, [1] * 6, 3).work(np.ones((3, 1, 2, 3, 1))).multiplications == 6 * (1 + 2 + 3)


def test_attention_is_counted_and_its_twin_multiplies():
    program = attention_program()
    frames = frames_for(program, 4, 2)
    table = count(program, frames)
    assert count(program, frames, reference.run(program, frames)) == table
    rows = {row.layer.split("'")[1]: row for row in table.rows if "'" in row.layer}
    dense = {row.layer.split("'")[1]: row for row in twin(program, 8).rows if "'" in row.layer}
    assert dense["map"].multiply_accumulates == rows["map"].macs == 16 * 16 * 8
    assert dense["other_map"].macs == 2 * 4 * 16 * 4
    assert dense["tokens"].multiply_accumulates == 0 and dense["tokens"].accumulates == 8 * 16
    assert 0 < rows["map"].accumulates < 3 * rows["map"].macs and rows["map"].multiply_accumulates == 0
    assert rows["kept"].multiply_accumulates > 0, "counts times spikes"
    assert rows["masked"].bytes_map == 8 * 16 // 8 and rows["counts"].bytes_map == 8 * 16
    assert rows["saccade"].multiplications == 3 * 32 * 2.5 and rows["saccade"].bytes_membranes == 4 * 32 + 4
    assert rows["shifted"].multiplications == rows["shifted"].additions == 0


def test_digests_see_the_fields_of_attention():
    program = attention_program()
    ops = program.ops
    changes = {
        8: {"kind": "second", "inputs": (4, 2)},
        0: {"dilation": 3, "padding": 3},
        5: {"heads": 2, "name": "t"},
    }
    digests = {program.digest()}
    for place, fields in changes.items():
        changed = [dataclasses.replace(op, **fields) if i == place else op for i, op in enumerate(ops)]
        digests.add(attention_program(ops=changed).digest())
    assert len(digests) == 4


@needs_compiler
@pytest.mark.parametrize("kind", ["none", "first", "second"])
@pytest.mark.parametrize("part", [3, 32, 37])
def test_products_of_frequent_spikes_count_ones(kind, part):
    """Strings of one word and of two, along channels and along places; the same with and without rates."""
    rng = np.random.default_rng(part)
    channels, size = 2 * part, (7, 5) if kind != "none" else (part, 1)
    ops = []
    for _ in range(2):
        ops.append(Conv2d(weight(rng, (channels, 2, 1, 1), 4), inputs=(-1,)))
        ops.append(neuron(rng, channels, "soft", 9))
    ops += [HeadMatMul(2, kind, inputs=(1, 3)), SumPool(None), Flatten()]
    entries = HeadMatMul(2, kind).output_shape((channels, *size), (channels, *size))[0]
    ops += [Linear(weight(rng, (3, entries), 4)), Readout([0, 1, 2])]
    program = Program("products", (2, *size), 2, ops)
    frames = frames_for(program, 3, 0)
    expected = reference.run(program, frames)
    assert 0.06 < np.mean([spikes.mean() for spikes in expected.spikes]) < 0.9
    for rate, counted in ((0.01, False), (0.2, True)):
        assert ("head_matmul_bits" in generate(program, {4: rate}).kernels_h) == counted
        compiled = CompiledProgram(program, flags=(*STRICT, "-O1"), rates={4: rate})
        found = verify(compiled, expected, frames)
        assert found.exact, found.first_difference
