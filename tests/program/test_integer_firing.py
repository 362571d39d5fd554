"""Ops of integers fired without membrane, of maxima over tokens, and of numbers by step: reference, ranges, C, files, costs."""

import json

import numpy as np
import pytest
from fuzz_programs import COMPILERS, Case, check
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import firing_program, frames_for, multi_threshold, slow, weight
from test_program_c99 import STRICT, needs_compiler
from test_program_storage import put, tensor, write

from rheobase.compression import account
from rheobase.cost import count, twin
from rheobase.engine import Engine
from rheobase.errors import DataError, ProgramError
from rheobase.program import (
    CompiledProgram,
    Conv2d,
    Flatten,
    HeadOrPool,
    Linear,
    MultiThreshold,
    OrPool,
    Program,
    Readout,
    Rescale,
    StepRescale,
    SumPool,
    TimeMix,
    Weight,
    compare,
    load,
    measure,
    ranges,
    reference,
    save,
)
from rheobase.program.c99.generator import generate
from rheobase.program.ops import Bounds
from rheobase.program.storage import encode
from rheobase.program.stream import ProgramStream

LARGEST = (1 << 31) - 1


def test_levels_by_hand():
    """A threshold is met by the value that equals it; equal thresholds are passed together; channels have their own."""
    op = MultiThreshold([-1, 5, 3, 5, 3, 9], 3)
    x = np.array([[-2, -1, 2, 3, 4], [4, 5, 8, 9, 10]]).reshape(1, 1, 2, 5, 1)
    assert op.run(x)[0, 0, :, :, 0].tolist() == [[0, 1, 1, 3, 3], [0, 2, 2, 3, 3]]
    assert op.work(x).neuron_updates == 10 and op.macs((2, 5, 1)) == 0
    assert op.output_kind("events") == op.output_kind("signed") == op.output_kind("current") == "events"


def test_spread_tokens_by_hand():
    """Two heads of two entries, four tokens: the window crosses rows of the map, and no head."""
    x = np.zeros((1, 1, 4, 2, 2), int)
    x[0, 0, 0, 0, 1] = 5  # token 1, entry 0 of the first head
    spread = HeadOrPool(2, 3).run(x)[0, 0].reshape(4, 4)
    assert spread.tolist() == [[5, 5, 5, 0], [5, 5, 5, 0], [0] * 4, [0] * 4]
    assert HeadOrPool(2, 1).run(x).tolist() == x.tolist()
    assert HeadOrPool(2, 3).work(x).accumulates == 3 * 2
    assert HeadOrPool(1, 255).run(x).tolist() == np.full(x.shape, 5).tolist()
    assert (HeadOrPool(2, 3).run(x - 9) == HeadOrPool(2, 3).run(x) - 9).all(), "what lies outside is left out"


def test_units_by_step_by_hand():
    op = StepRescale([2, 3, -1, 5], [0, 1, 7, -7], 1, steps=2)
    x = np.array([[3, -3], [3, -3], [4, 4]]).reshape(3, 1, 2)
    # (6 + 1) >> 1, ((-9 + 1) >> 1) + 1;  ((-3 + 1) >> 1) + 7, ((-15 + 1) >> 1) - 7;  the last step's numbers go on
    assert op.run(x)[:, 0].tolist() == [[3, -3], [6, -14], [-2 + 7, 10 - 7]]
    assert (op.channels, op.most_steps, op.wire) == (2, 2, None)
    one = StepRescale([4, 4], [0, 0], 0, steps=1)
    assert one.run(x[:1]).tolist() == Rescale([4, 4], [0, 0]).run(x[:1]).tolist()


def test_steps_mixed_by_channel_by_hand():
    op = TimeMix([1, 1, 1, 1, -1, 1], [2, 2, 3, 1], 2)
    x = np.array([[2, 2], [1, 2]]).reshape(2, 1, 2)
    assert op.run(x)[:, 0].tolist() == [[1, 1], [1, 0]]  # 2 >= 2, 2 >= 2; 2 + 1 >= 3, -2 + 2 >= 1
    assert op.matrices.tolist() == [[[1, 0], [1, 1]], [[1, 0], [-1, 1]]]
    shared = TimeMix([1, 1, 1], [2, 2, 3, 1], 2)
    alone = TimeMix([1, 1, 1] * 2, [2, 2, 3, 1], 2)
    assert shared.run(x).tolist() == alone.run(x).tolist()


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_ranges_hold_and_are_reached(heads, part, tokens, signed, seed):
    rng = np.random.default_rng(seed)
    channels = heads * part
    low = -rng.integers(1, 40, channels) if signed else np.zeros(channels, int)
    given_bounds = Bounds(low, rng.integers(1, 40, channels), 40, "int16_t" if signed else "uint8_t")
    ends = [np.broadcast_to(e.reshape(-1, 1, 1), (channels, tokens, 1)) for e in (low, given_bounds.high)]
    x = np.stack([*ends, *(np.where(rng.integers(0, 2, ends[0].shape), *ends) for _ in range(30))])[None]
    fires = multi_threshold(rng, channels, int(rng.integers(1, 9)), 40)
    steps = StepRescale(rng.integers(-40, 40, 2 * channels), rng.integers(-9, 9, 2 * channels), 2, steps=2)
    spread = HeadOrPool(heads, int(rng.choice([1, 3, 5])))
    for op in (fires, steps, spread):
        found = op.bounds(given_bounds, (channels, tokens, 1), 1)
        made = op.run(np.concatenate([x, x]))
        reached = made.min((0, 1, 3, 4)), made.max((0, 1, 3, 4))
        assert reached[0].tolist() == found.low.tolist() and reached[1].tolist() == found.high.tolist()


def ends_program(signed: bool) -> Program:
    """Currents that are pushed to both ends of 31 bits, and thresholds at and beside the ends."""
    top = LARGEST - 300
    thresholds = [[-top, 1 - top, -top], [0, 1, -top], [top - 1, top, LARGEST]]
    gain = (1 << 31) // 256 - 2
    ops = [
        Rescale([gain, -gain, gain], [0, 0, 5]),
        MultiThreshold(np.ravel(thresholds), 3),
        Flatten(),
        Linear(Weight(np.arange(12, dtype=np.uint8).reshape(2, 6) % 4, 2, 2, -3)),
        Readout([0, 0]),
    ]
    return Program("ends", (3, 2, 1), 2, ops, input_type="int8" if signed else "uint8")


@needs_compiler
@pytest.mark.parametrize(
    "program", [firing_program(), ends_program(False), ends_program(True)], ids=lambda p: p.name
)
def test_reference_slow_interpreter_c_engine_and_sanitizers_agree(program, tmp_path):
    case = Case(program)
    spikes, logits = slow(program, case.frames[:, 0])
    assert case.expected.logits[:, 0].tolist() == logits
    for layer, by_hand in zip(case.expected.spikes, spikes, strict=True):
        assert layer[:, 0].tolist() == by_hand
    assert all(len(np.unique(layer)) > 1 for layer in case.expected.spikes), "constant layers prove nothing"
    by_row = Case(program, dict.fromkeys(range(len(program.ops)), 0.1), rows=True, number=1)
    check([case, by_row], tmp_path, COMPILERS[:1], ["-O2"])
    for runner in (
        CompiledProgram(program, flags=(*STRICT, "-O1")),
        Engine(program),
        Engine(program, isa="scalar"),
    ):
        found = compare(runner.run_traced(case.frames), case.expected)
        assert found.exact, found.first_difference


@needs_compiler
def test_a_file_and_its_bytes(tmp_path):
    program = firing_program()
    save(program, tmp_path / "p.safetensors")
    assert load(tmp_path / "p.safetensors").digest() == program.digest()
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights and counted.state == compiled.bytes_membranes


@needs_compiler
def test_sums_of_one_row_are_fired_before_the_next():
    """Of a map of 8 rows, the sums of one take the room of all."""
    stem = Conv2d(weight(np.random.default_rng(0), (6, 2, 3, 3), 4), padding=1)
    ops = [
        stem,
        MultiThreshold([9] * 6, 1),
        SumPool(None),
        Flatten(),
        Linear(weight(np.random.default_rng(0), (2, 6), 4)),
    ]
    program = Program("rows", (2, 8, 8), 1, [*ops, Readout([0, 0])])
    whole, by_row = (generate(program, rows=rows).scratch_bytes for rows in (False, True))
    assert whole - by_row == 7 * 8 * 6 * 2


@needs_compiler
def test_bytes_are_fired_where_their_input_lay():
    """Counts of a byte that nobody else reads give their room to what is fired."""
    source = generate(firing_program()).model_c
    (line,) = (line for line in source.splitlines() if "multi_threshold_u8(x3" in line)
    assert "(x3, x4," in line
    rooms = dict(line.strip().split(" = ") for line in source.splitlines() if "*const x" in line)
    assert rooms["uint8_t *const x3"] == rooms["uint8_t *const x4"]


@needs_compiler
def test_numbers_by_step_have_an_end():
    program = firing_program()
    assert program.most_steps == generate(program).max_steps == 4
    with pytest.raises(DataError, match="has numbers by step for 4 steps, the frames have 5"):
        reference.run(program, frames_for(program, 1, 0, 5))
    with pytest.raises(ProgramError, match="cannot run on a stream"):
        ProgramStream(program)
    ops = [
        StepRescale([1] * 4, [0] * 4, steps=2),
        Flatten(),
        Linear(Weight(np.ones((2, 2), np.uint8), 1, 1, 0)),
    ]
    with pytest.raises(
        ProgramError, match=r"op 0 StepRescale.*gains for 2 steps, but the program is made for T=3"
    ):
        Program("long", (2, 1, 1), 3, [*ops, Readout([0, 0])]).validate()


def test_fired_integers_are_spikes_of_neurons_to_traces_and_costs():
    program = firing_program()
    frames = frames_for(program, 3, 2)
    trace = reference.run(program, frames)
    table = count(program, frames, trace)
    assert count(program, frames) == table
    rows = {row.layer.split("'")[1]: row for row in table.rows if "'" in row.layer}
    dense = {row.layer.split("'")[1]: row for row in twin(program, 8).rows if "'" in row.layer}
    fired = rows["fired"]
    assert (
        fired.spikes == np.count_nonzero(trace.spikes[0]) / 3
        and fired.neurons == dense["fired"].neurons == 6 * 64
    )
    assert (fired.additions, fired.bytes_membranes) == (4 * 4 * 384, 0)  # levels, steps
    assert fired.bytes_map == 6 * 64 * 3 // 8, "0..4 are 3 bits"
    assert not rows["stem"].hidden and rows["depthwise"].hidden
    assert rows["by_step"].bytes_membranes == 4 and rows["by_step"].multiplications == 4 * 384
    assert rows["spread"].bytes_map == fired.bytes_map and rows["spread"].macs == 0


def test_products_of_signed_events_are_signed_bytes():
    """One ternary factor makes a product signed; -1 is an accumulation as 1 is."""
    program = firing_program()
    kinds = {op.name: kind for op, kind in zip(program.ops, program.kinds(), strict=True)}
    assert [kinds[name] for name in ("spread_signed", "map", "gated", "saccade")] == ["signed"] * 3 + [
        "events"
    ]
    found = {op.name: each for op, each in zip(program.ops, ranges.analyse(program), strict=True)}
    assert (found["map"].storage, found["map"].low, found["map"].high) == (
        "int8_t",
        -12,
        12,
    )  # 3 entries, up to 4
    frames = frames_for(program, 2, 3)
    rows = {row.layer.split("'")[1]: row for row in count(program, frames).rows if "'" in row.layer}
    assert rows["map"].multiply_accumulates == 0 < rows["map"].accumulates
    assert OrPool(2, 2).output_kind("signed") == "signed"


HEAD = [Flatten(), Linear(Weight(np.ones((2, 8), np.uint8), 1, 1, 0)), Readout([0, 0])]


def graph(*ops):
    Program("g", (2, 2, 2), 2, [*ops, *HEAD]).validate()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiThreshold([1], 0), r"levels must be an integer in 1\.\.255"),
        (lambda: MultiThreshold([1] * 256, 256), r"levels must be an integer in 1\.\.255"),
        (lambda: MultiThreshold([1, 2, 3], 2), "as many thresholds for each channel, got 3"),
        (lambda: MultiThreshold([1, 2, 3, 1], 2), "must not fall from level to level"),
        (lambda: MultiThreshold([1.5], 1), "integer array"),
        (
            lambda: graph(MultiThreshold([1, 2, 3], 1)),
            r"thresholds for 3 channels, but its input is \[2, 2, 2\]",
        ),
        (lambda: HeadOrPool(0, 3), "heads must be"),
        (lambda: HeadOrPool(1, 2), "kernel must be odd"),
        (lambda: graph(HeadOrPool(3, 3)), r"C a multiple of 3, got \[2, 2, 2\]"),
        (lambda: StepRescale([1, 1, 1], [0, 0, 0], steps=2), "as many gains for each channel, got 3"),
        (lambda: StepRescale([1, 1], [0, 0], steps=0), "steps must be"),
        (
            lambda: graph(StepRescale([1, 1], [0, 0], steps=2)),
            r"gains for 1 channels, but its input is \[2, 2, 2\]",
        ),
        (lambda: graph(StepRescale([1] * 2, [0] * 2, steps=1)), "made for T=2"),
        (lambda: graph(StepRescale([1, 1, 1 << 30, 1], [0] * 4, steps=2)), "beyond 32 bits"),
        (
            lambda: TimeMix([1] * 9, [1] * 4, 2),
            "mixes by 3 numbers, or as many for each of 2 channels, got 9",
        ),
    ],
)
def test_refusals_say_what_is_wrong(make, message):
    with pytest.raises(ProgramError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("ops", 1, "levels", value=3), "must not fall|do not fit|thresholds for 8 channels"),
        (put("ops", 1, "levels", value=10**9), "levels must be"),
        (put("ops", 1, "levels", value=None), "levels must be"),
        (put("ops", 2, "kernel", value=4), "kernel must be odd"),
        (put("ops", 2, "heads", value=4), "C a multiple of 4"),
        (put("ops", 6, "steps", value=3), "StepRescale has gains for 8 channels"),
        (put("ops", 6, "steps", value=-1), "steps must be"),
        (tensor("1.threshold", None), "needs an int32 vector"),
        (tensor("1.threshold", np.ones(25, np.int32)), "as many thresholds"),
        (tensor("6.gain", np.ones(6, np.int32)), "channels differ"),
    ],
)
def test_hostile_files_are_refused_with_the_reason(tmp_path, change, message):
    description, tensors = encode(firing_program())
    description, tensors = json.loads(json.dumps(description)), dict(tensors)
    change(description, tensors)
    with pytest.raises(ProgramError, match=message):
        load(write(tmp_path / "p.safetensors", description, tensors))
