"""The reference against hand-worked traces and an independent interpreter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import frames_for, graphs, programs, slow, small_program, weight

from rheobase.errors import DataError
from rheobase.program import (
    Add,
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    OrPool,
    Program,
    Readout,
    Rescale,
    SumPool,
    Weight,
    reference,
)


def currents(*values: int) -> np.ndarray:
    return np.array(values).reshape(-1, 1, 1)  # [T, N=1, C=1]


def trace(neuron: Neuron, *values: int) -> tuple[list[int], list[int]]:
    membranes, spikes = neuron.membranes(currents(*values))
    return membranes.ravel().tolist(), spikes.ravel().tolist()


def test_soft_reset_without_leak_by_hand():
    # 4; 8 fires, leaves 1; 5; 9 fires, leaves 2
    assert trace(Neuron([7], [0]), 4, 4, 4, 4) == ([4, 1, 5, 2], [0, 1, 0, 1])


def test_leak_floors_negative_membranes_by_hand():
    # -7 - floor(-3.5) = -7 + 4 = -3; -3 - floor(-1.5) = -1; -1 - floor(-0.5) = 0: a shift, not a division
    assert trace(Neuron([9], [0], leak_shift=1), -7, 0, 0, 0) == ([-7, -3, -1, 0], [0, 0, 0, 0])
    # positive: 7 - 3 = 4; 4 - 2 = 2; 2 - 1 = 1; 1 - 0 = 1 stays
    assert trace(Neuron([9], [0], leak_shift=1), 7, 0, 0, 0, 0) == ([7, 4, 2, 1, 1], [0] * 5)


def test_leak_multiplier_floors_by_hand():
    # 3/4: 7 -> 5.25 -> 3.75 -> 2.25; -7 -> -5.25 -> -4.5 -> -3.0 -> -2.25; -1 stays -1
    neuron = Neuron([9], [0], leak_shift=2, leak_multiplier=3)
    assert trace(neuron, 7, 0, 0, 0) == ([7, 5, 3, 2], [0] * 4)
    assert trace(neuron, -7, 0, 0, 0, 0) == ([-7, -6, -5, -4, -3], [0] * 5)
    assert trace(neuron, -1, 0) == ([-1, -1], [0, 0])
    assert trace(Neuron([9], [0], leak_shift=2, leak_multiplier=0), 7, 1) == ([7, 1], [0, 0])


def test_a_tie_at_the_threshold_fires():
    assert trace(Neuron([5], [0]), 5, 4, 1) == ([0, 4, 0], [1, 0, 1])


def test_saturation_comes_before_the_comparison_and_is_symmetric():
    assert trace(Neuron([10], [0], saturation=12), 100, 0, -100, 5) == ([2, 2, -12, -7], [1, 0, 0, 0])
    assert trace(Neuron([13], [0], saturation=12), 100, 100) == ([12, 12], [0, 0])  # can never fire


def test_hard_reset_goes_to_the_given_integer_and_bias_is_added_each_step():
    assert trace(Neuron([6], [2], v_reset=-3), 4, 0, 8) == ([-3, -1, -3], [1, 0, 1])


def test_leak_shift_zero_forgets_everything():
    assert trace(Neuron([6], [0], leak_shift=0), 5, 5, 6) == ([5, 5, 0], [0, 0, 1])


def test_hard_reset_per_channel():
    neuron = Neuron([3, 3], [0, 0], v_reset=np.array([-1, 1]))
    membranes, spikes = neuron.membranes(np.full((1, 1, 2), 4))
    assert membranes.tolist() == [[[-1, 1]]] and spikes.tolist() == [[[1, 1]]]


def test_pooling_leaves_incomplete_windows_out_and_flatten_is_channel_first():
    x = np.arange(18).reshape(1, 1, 2, 3, 3)
    assert SumPool(2).run(x).ravel().tolist() == [0 + 1 + 3 + 4, 9 + 10 + 12 + 13]
    assert SumPool(None).run(x).ravel().tolist() == [36, 117]
    assert Flatten().run(x).ravel().tolist() == list(range(18))


def test_the_largest_of_a_window_and_zeros_around_the_map():
    x = np.arange(9).reshape(1, 1, 1, 3, 3)
    assert OrPool(2, 1).run(x).ravel().tolist() == [4, 5, 7, 8]
    assert OrPool(2, 2).run(x).ravel().tolist() == [4]
    assert OrPool(3, 2, 1).run(x).ravel().tolist() == [4, 5, 7, 8]
    work = OrPool(3, 2, 1).work(
        x
    )  # eight events: the four at the edges lie in two windows, three corners in one, the middle in four
    assert (work.events, work.accumulates) == (8, 4 * 2 + 3 + 4)


@pytest.mark.parametrize(
    ("gain", "shift", "x", "y"),
    [
        (3, 1, 1, 2),
        (3, 1, -1, -1),
        (-3, 1, 1, -1),
        (1, 2, 1, 0),
        (1, 2, 2, 1),
        (-1, 2, 2, 0),
        (5, 0, -3, -15),
    ],
)
def test_rescaling_rounds_halves_up(gain, shift, x, y):
    assert Rescale([gain], [100], shift).run(np.array([[[x]]])).item() == y + 100


def test_groups_read_their_own_channels():
    codes = np.array([1, 2, 3, 4], np.uint8).reshape(4, 1, 1, 1)
    x = np.array([10, 100]).reshape(1, 1, 2, 1, 1)
    conv = Conv2d(Weight(codes, 4, 1, 0), groups=2)
    assert conv.run(x).ravel().tolist() == [10, 20, 300, 400]
    assert conv.work(x).synaptic_operations == 4 and conv.macs((2, 1, 1)) == 4


def test_a_residual_join_by_hand():
    """The frame goes two ways: 3 x - 4 as a current, and as counts; 7 fires, is subtracted, and leaves the rest."""
    ops = [
        Rescale([3], [-4]),
        Rescale([1], [0], inputs=(-1,)),
        Add(inputs=(0, 1)),
        Neuron([7], [0]),
        Add(inputs=(-1, 3)),
        Flatten(),
        Linear(Weight(np.array([[3]], np.uint8), 2, 1, 0)),
        Readout([0]),
    ]
    program = Program("join", (1, 1, 1), 3, ops)
    x = np.array([1, 2, 3], np.uint8).reshape(3, 1, 1, 1, 1)
    trace = reference.run(program, x)  # currents 0, 4, 8; membranes 0, 4, 12
    assert trace.spikes[0].ravel().tolist() == [0, 0, 1]
    assert trace.logits.ravel().tolist() == [3, 6, 12]


def test_shift_multiplies_by_a_power_of_two():
    w = Weight(np.array([[0, 15]], np.uint8), 4, 2, -15)
    assert Linear(w, 3).run(np.array([[[1, 2]]])).tolist() == [[[8 * (-15 + 30)]]]


@given(st.one_of(programs(), graphs()), st.integers(0, 1000))
@settings(max_examples=120, deadline=None)
def test_reference_equals_the_slow_interpreter(program, seed):
    program.validate()
    frames = frames_for(program, 2, seed)
    found = reference.run(program, frames)
    for n in range(2):
        spikes, logits = slow(program, frames[:, n])
        assert found.logits[:, n].tolist() == logits
        for layer, expected in zip(found.spikes, spikes, strict=True):
            assert layer[:, n].tolist() == expected


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_float_products_equal_integer_products(kind):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, 2, 3, 9, 9))
    op = Conv2d(weight(rng, (4, 3, 3, 3), 8), 2, 1)
    values = op.weight.values()
    assert np.array_equal(op.convolve(x, values, kind), op.convolve(x, values, np.int64))


def test_products_beyond_float32_stay_exact():
    # 600 * 65535 * 127 needs 33 bits; an odd total that float32 would round
    x = np.full((1, 1, 600), 65535)
    x[..., 0] = 1
    w = Weight(np.full((1, 600), 255, np.uint8), 8, 1, -128)
    assert Linear(w).run(x).item() == 127 * (599 * 65535 + 1)
    conv = Conv2d(Weight(np.full((1, 600, 1, 1), 255, np.uint8), 8, 1, -128))
    assert conv.run(x.reshape(1, 1, 600, 1, 1)).item() == 127 * (599 * 65535 + 1)


def test_chunks_of_samples_change_nothing(monkeypatch):
    program = small_program()
    frames = frames_for(program, 5, 0)
    whole = reference.run(program, frames)
    monkeypatch.setattr(reference, "CHUNK", 1)
    parts = reference.run(program, frames)
    assert np.array_equal(whole.logits, parts.logits)
    assert all(np.array_equal(a, b) for a, b in zip(whole.spikes, parts.spikes, strict=True))
    assert reference.run(program, frames, spikes=False).spikes == []
    assert reference.run(program, frames[:, :0]).logits.shape == (3, 0, 3)


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 1, 2, 8, 7), np.uint8), np.zeros((3, 1, 2, 8, 8), int), np.zeros(3, np.uint8)]
)
def test_frames_of_another_kind_are_refused(bad):
    with pytest.raises(DataError, match="uint8 frames"):
        reference.run(small_program(), bad)
