"""What a program refuses, and what the interval analysis proves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import frames_for, graphs, programs, residual_program, small_program, weight

from rheobase.errors import ProgramError
from rheobase.program import (
    Add,
    Conv2d,
    Flatten,
    HeadSum,
    Linear,
    Neuron,
    OrPool,
    Program,
    Readout,
    Rescale,
    SumPool,
    Weight,
    ranges,
    reference,
)
from rheobase.program.ops import Bounds
from rheobase.program.weight import pack, packed_bytes, rows_last, unpack

RNG = np.random.default_rng(0)


def head(features: int = 8, classes: int = 2) -> list:
    return [Flatten(), Linear(weight(RNG, (classes, features), 4)), Readout(np.zeros(classes, int))]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 8, 9, 16, 17])
def test_pack_round_trip(bits, channels):
    codes = RNG.integers(0, 1 << bits, (channels, 3, 2, 2), dtype=np.uint8)
    w = Weight(codes, bits, 1, 0)
    packed = w.packed()
    assert packed.nbytes == w.bytes == packed_bytes(codes.shape, bits) == 12 * -(-channels * bits // 8)
    assert np.array_equal(unpack(packed, bits, channels), rows_last(codes))


def test_packing_is_planar_by_hand():
    # 5 codes of 4 bits: 3 bytes; byte j holds code j low and code j + 3 high
    assert pack(np.array([[1, 2, 3, 4, 5]], np.uint8), 4).tolist() == [[0x41, 0x52, 0x03]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Weight(np.array([[4]], np.uint8), 2, 1, 0), "2 bits hold 0..3"),
        (lambda: Weight(np.array([[4]], np.uint8), 3, 1, 0), "3 bits"),
        (lambda: Weight(np.array([4], np.uint8), 4, 1, 0), "non-empty uint8"),
        (lambda: Weight(np.array([[1]], np.uint8), 8, 1000, 0), "16 bits"),
        (lambda: Conv2d(weight(RNG, (2, 2), 4)), "Cout, Cin, kh, kw"),
        (lambda: Conv2d(weight(RNG, (3, 2, 1, 1), 4), groups=2), "groups=2 does not divide"),
        (lambda: Conv2d(weight(RNG, (2, 2, 1, 1), 4), stride=0), "stride"),
        (lambda: Neuron([0], [0]), "at least 1"),
        (lambda: Neuron([1, 1], [0]), "channels differ"),
        (lambda: Neuron([1], [0], saturation=32768), "16 bits"),
        (lambda: Neuron([1], [0], v_reset=9, saturation=5), "outside its saturation"),
        (lambda: Neuron([1], [0], bits=8), "16 or 32"),
        (lambda: Neuron([1.5], [0]), "integer array"),
        (lambda: Neuron([1], [0], leak_multiplier=1), "needs a leak_shift"),
        (lambda: Neuron([1], [0], leak_shift=2, leak_multiplier=5), r"leak_multiplier must be .* 0\.\.4"),
        (lambda: Neuron([1], [0], leak_shift=2, leak_multiplier=-1), "leak_multiplier must be"),
        (lambda: Readout([0], kind="last"), "use 'sum'"),
        (lambda: SumPool(0), "kernel"),
        (lambda: Program("1x", (1, 1, 1), 1, []), "must be a letter"),
        (lambda: Program("x", (1, 1, 1), 1, ["conv"]), "program ops"),
        (lambda: Program("x", (2, 2, 2), 1, []).validate(), "ends with a Readout"),
        (lambda: Program("x", (2, 2, 2), 1, head(9)).validate(), "op 1 Linear.*input is \\[8\\]"),
        (lambda: Program("x", (2, 2, 2), 1, head()[1:]).validate(), "put a Flatten before it"),
        (lambda: Program("x", (2, 2, 2), 1, [head()[1], *head()]).validate(), "put a Flatten"),
        (
            lambda: Program("x", (8, 1, 1), 1, [Neuron([1] * 8, [0] * 8), *head()]).validate(),
            "op 0 Neuron: Neuron takes current, but what it reads gives events",
        ),
        (lambda: Program("x", (2, 2, 2), 0, head()).validate(), "T must"),
        (lambda: Program("x", (2, 2, 2), 1, head(), version=1).validate(), "version 1"),
        (lambda: Program("x", (2, 2, 2), 1, head(), {"a": float("nan")}).validate(), "metadata"),
        (lambda: Program("x", (2, 2, 2), 1, head(), {"a": [1]}).validate(), "metadata"),
        (lambda: Program("x", (2, 2, 2), 1, head(), logit_scale=0.0).validate(), "logit_scale"),
        (lambda: Program("x", (2, 2, 2), 1, [Flatten(name="*/ bad"), *head()[1:]]).validate(), "name"),
        (lambda: Program("x", (2, 60000, 60000), 1, head()).validate(), "values"),
        (lambda: Program("x", (2, 2, 2), 1, [SumPool(3), *head(2)]).validate(), "larger than its input"),
    ],
)
def test_refusals_say_what_is_wrong(make, message):
    with pytest.raises(ProgramError, match=message):
        make()


def graph(*ops, shape=(2, 2, 2)):
    Program("g", shape, 2, ops).validate()


IDENTITY = Rescale([1, 1], [0, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: graph(SumPool(1, inputs=(1,)), *head()),
            "op 0 SumPool reads op 1; an op reads ops before it, here -1",
        ),
        (lambda: graph(SumPool(1, inputs=(0,)), *head()), "op 0 SumPool reads op 0"),
        (lambda: graph(SumPool(1, inputs=(-2,)), *head()), "reads op -2"),
        (lambda: graph(SumPool(1, inputs=(True,)), *head()), "reads op True"),
        (lambda: graph(SumPool(1, inputs=("0",)), *head()), "reads op '0'"),
        (lambda: graph(SumPool(1), SumPool(1, inputs=(-1,)), *head()), "op 0 SumPool gives what no op reads"),
        (lambda: graph(*head(), Readout([0, 0], inputs=(1,))), "op 2 Readout gives what no op reads"),
        (
            lambda: graph(*head(), Readout([0, 0], inputs=(2,))),
            "op 3 Readout: Readout takes current, .* gives logits",
        ),
        (lambda: graph(Add(inputs=(-1,)), *head()), "op 0 Add: Add reads 2 values, its inputs are 1"),
        (lambda: graph(SumPool(1, inputs=(-1, -1)), *head()), "SumPool reads 1 values, its inputs are 2"),
        (
            lambda: graph(IDENTITY, Add(inputs=(-1, 0)), *head()),
            "Add takes events or signed or current, .* events and current",
        ),
        (lambda: graph(SumPool(2), Add(inputs=(-1, 0)), *head(2)), r"Add reads \[2, 2, 2\] and \[2, 1, 1\]"),
        (lambda: graph(Rescale([1], [0]), *head()), r"Rescale has 1 gains, but its input is \[2, 2, 2\]"),
        (lambda: Rescale([1, 1], [0]), "gain 2, bias 1"),
        (lambda: Rescale([1], [0], 31), "gain_shift must be"),
        (lambda: Rescale([1 << 31], [0]), "32 bits"),
        (lambda: OrPool(2, 1, 2), "padding must be"),
        (lambda: OrPool(0, 1), "kernel must be"),
        (lambda: graph(OrPool(3, 1), *head()), "window 3x3 is larger"),
        (lambda: graph(*doubled(24), *head()), r"op 23 Add can reach \d+, beyond 32 bits"),
        (lambda: graph(IDENTITY, *doubled(24, 1), *head()), r"op 24 Add can reach \d+, beyond 32 bits"),
        (
            lambda: graph(Rescale([1 << 30] * 2, [0, 0], 30), Rescale([1 << 30] * 2, [0, 0], 10), *head()),
            "beyond 32 bits",
        ),
        (
            lambda: graph(Rescale([1 << 22] * 2, [0, 0]), Rescale([1 << 30] * 2, [0, 0], 30), *head()),
            "beyond 2.53",
        ),
        (lambda: graph(*[SumPool(1)] * (1 << 14), *head()), "at most 16384 ops"),
        (lambda: Conv2d(weight(RNG, (4, 2, 1, 1), 4), groups=0), "groups must be"),
        (
            lambda: graph(Conv2d(weight(RNG, (4, 2, 1, 1), 4), groups=2), *head(16)),
            r"weights for \[4, H, W\]",
        ),
    ],
)
def test_hostile_graphs_are_refused_with_the_reason(make, message):
    with pytest.raises(ProgramError, match=message):
        make()


def doubled(times: int, first: int = 0) -> list:
    """A value added to itself again and again."""
    return [Add(inputs=(i - 1, i - 1)) for i in range(first, first + times)]


def test_an_op_reads_the_one_before_unless_told():
    program = residual_program()
    assert [op.inputs for op in program.ops][:8] == [(-1,), (0,), (1,), (2,), (3,), (1, 4), (5,), (2, 6)]
    assert program.readers()[5] == [6, 9] and program.readers()[-1] == []
    assert program.kinds()[:3] == ["current", "current", "events"] and program.kinds()[-1] == "logits"
    assert program.shapes()[7:10] == [(6, 8, 8), (6, 4, 4), (5, 4, 4)]


@given(st.one_of(programs(), graphs()), st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_every_value_lies_in_its_range_and_type(program, seed):
    """Sparse counts, the largest frames, and frames that are 0 or 255 by place."""
    frames = frames_for(program, 4, seed)
    frames[:, 0] = 255
    frames[:, 1] = 255 * (np.random.default_rng(seed).random(frames[:, 1].shape) < 0.5)
    limits = {
        "uint8_t": (0, 255),
        "uint16_t": (0, 65535),
        "uint32_t": (0, 2**31 - 1),
        "int16_t": (-32768, 32767),
        "int32_t": (-(2**31), 2**31 - 1),
    }
    kinds, analysis = program.kinds(), ranges.analyse(program)
    shifts = {-1: 0}  # sums are stored before their shift, which pools and Flatten hand on
    for index, (op, _, result) in enumerate(reference.walk(program, frames)):
        found, kind = analysis[index], kinds[index]
        assert found.low <= result.min() and result.max() <= found.high
        hands_on = isinstance(op, (Conv2d, Linear, SumPool, OrPool, Flatten))
        shifts[index] = getattr(op, "shift", 0) + shifts[op.inputs[0]] if hands_on else 0
        stored = result >> shifts[index]
        low, high = limits[found.storage]
        assert low <= stored.min() and stored.max() <= high
        assert (kind == "events") == found.storage.startswith("u")


def test_arrays_cannot_change_after_the_fact():
    threshold = np.array([3])
    neuron = Neuron(threshold, [0])
    threshold[0] = 9
    assert neuron.threshold.tolist() == [3]
    with pytest.raises(ValueError, match="read-only"):
        neuron.threshold[0] = 1


def test_digest_sees_every_field():
    digests = {
        small_program().digest(),
        small_program(bits=2).digest(),
        small_program(T=4).digest(),
        small_program(metadata={}).digest(),
        small_program(logit_scale=2.0).digest(),
        small_program(name="other").digest(),
    }
    assert len(digests) == 6 and small_program().digest() in digests


@given(programs(), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_accumulators_reach_their_bounds_and_never_pass_them(program, seed):
    """Adversarial input for each output and place: the most where its weights are positive (negative), else nothing."""
    rng = np.random.default_rng(seed)
    bounds = Bounds(
        np.zeros(program.input_shape[0], int), np.full(program.input_shape[0], 255), 255, "uint8_t"
    )
    shape = program.input_shape
    for op, after in zip(program.ops, program.shapes(), strict=True):
        found = op.bounds(bounds, shape, program.T)
        if isinstance(op, (Conv2d, Linear)):
            most = np.broadcast_to(bounds.high.reshape(-1, *[1] * (len(shape) - 1)), shape)
            worst = np.stack(
                [adversary(op, most, place, sign) for sign in (-1, 1) for place in np.ndindex(after)]
            )
            y = op.run(worst[None])[0]
            assert (found.low.min(), found.high.max()) == (min(y.min(), 0), max(y.max(), 0))
            y = op.run(rng.integers(0, most + 1, (1, 3, *shape)))
            assert found.low.min() <= y.min() and y.max() <= found.high.max()
        bounds, shape = found, after


def adversary(op: Conv2d | Linear, most: np.ndarray, place: tuple[int, ...], sign: int) -> np.ndarray:
    """Input `[*shape]` that drives one output as far as it goes in one direction."""
    wanted = sign * op.weight.values()[place[0]] > 0
    if isinstance(op, Linear):
        return most * wanted
    channels, kh, kw = wanted.shape
    mask = np.zeros(
        (channels, most.shape[1] + 2 * op.padding + kh, most.shape[2] + 2 * op.padding + kw), bool
    )
    y, x = place[1] * op.stride, place[2] * op.stride
    mask[:, y : y + kh, x : x + kw] = wanted
    return most * mask[:, op.padding :, op.padding :][:, : most.shape[1], : most.shape[2]]


def test_int16_is_chosen_up_to_its_last_value():
    def program(offset: int) -> Program:
        w = Weight(np.zeros((1, 1), np.uint8), 1, 1, offset)
        return Program("edge", (1, 1, 1), 1, [Flatten(), Linear(w), Readout([0])])

    assert ranges.analyse(program(128))[1].storage == "int16_t"  # 128 * 255 = 32640
    assert ranges.analyse(program(-128))[1].storage == "int16_t"
    assert ranges.analyse(program(129))[1].storage == "int32_t"


def test_overflow_is_refused_with_layer_bound_and_remedy():
    wide = Linear(Weight(np.full((2, 2048), 255, np.uint8), 8, 127, 0), shift=4, name="head")
    program = Program("big", (2, 32, 32), 4, [Flatten(), wide, Readout([0, 0])])
    with pytest.raises(
        ProgramError, match=r"op 1 Linear 'head' can reach \d+, beyond 32 bits; lower its shift"
    ):
        program.validate()
    logits = Linear(Weight(np.full((2, 2048), 255, np.uint8), 8, 8, 0))
    Program("big", (2, 32, 32), 2, [Flatten(), logits, Readout([0, 0])]).validate()
    with pytest.raises(ProgramError, match=r"a logit can reach 1065369600 a step, 3196108800 over T=3"):
        Program("big", (2, 32, 32), 3, [Flatten(), logits, Readout([0, 0])]).validate()
    saturated = Neuron([9] * 8, [0] * 8, saturation=1 << 16, bits=32, leak_shift=15, leak_multiplier=1 << 15)
    layer = Linear(weight(RNG, (8, 8), 4))
    with pytest.raises(ProgramError, match="saturation 65536 times leak_multiplier 32768 is beyond 32 bits"):
        Program("big", (2, 2, 2), 1, [Flatten(), layer, saturated, *head()[1:]]).validate()
    with pytest.raises(ProgramError, match=r"op 1 SumPool can reach \d+, beyond 32 bits"):
        Program("big", (2, 4096, 4096), 1, [HeadSum(1), SumPool(None), *head(1)]).validate()


def test_float32_exactness_names_the_layer():
    assert ranges.float32_exact(small_program())
    big = Linear(Weight(np.full((2, 2048), 255, np.uint8), 8, 1, 0))
    program = Program("big", (2, 32, 32), 1, [Flatten(), big, Readout([0, 0])])
    assert not ranges.float32_exact(program)
    with pytest.raises(ProgramError, match="op 1 Linear can reach 133171200, but float32"):
        ranges.require_float32_exact(program)
