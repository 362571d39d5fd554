"""Bytes and neuron operations: by hand, against an interpreter that goes event by event, and against the compiled C."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from cost_cases import by_event, frames, program, weight
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase import native
from rheobase.cost import count, count_steps, mean
from rheobase.errors import DataError
from rheobase.program import (
    CompiledProgram,
    Flatten,
    Linear,
    Neuron,
    Program,
    Readout,
    RoundedNeuron,
    measure,
    reference,
    write_c,
)

COUNTED = (
    "accumulates",
    "multiply_accumulates",
    "additions",
    "multiplications",
    "spikes",
    "bytes_weights_by_event",
)
COUNTED += ("bytes_weights_by_step", "bytes_membranes_read", "bytes_membranes_written")
COUNTED += ("bytes_spikes_read", "bytes_spikes_written")


def tiny(neuron: Neuron) -> Program:
    return Program(
        "tiny", (2, 1, 2), 2, [Flatten(), Linear(weight(3, 4)), neuron, Linear(weight(2, 3)), Readout([0, 0])]
    )


def test_every_column_by_hand():
    # T=2; frames hold the counts 1, 0, 3, 0 and then 0, 0, 0, 2: events 1 and 3 and 2, one of them of count 1
    x = np.array([1, 0, 3, 0, 0, 0, 0, 2], np.uint8).reshape(2, 1, 2, 1, 2)
    net = tiny(Neuron([1 << 14] * 3, [0] * 3, leak_shift=1, saturation=32767))  # never fires
    _, first, neuron, head, out = count(net, x).rows
    assert (first.events, first.accumulates, first.multiply_accumulates) == (3, 3, 6)
    assert first.bytes_weights == 8  # 4 rows of 3 codes of 4 bits, 2 bytes each
    assert (first.bytes_weights_by_event, first.bytes_weights_by_step) == (3 * 2, 2 * 8)
    assert (first.bytes_spikes_read, first.bytes_spikes_written) == (2 * 4, 0)
    assert (first.hidden, head.hidden) == (False, True)
    assert (neuron.neurons, neuron.neuron_updates, neuron.spikes) == (3, 6, 0)
    # leak 1, current and bias 2, clip 2, compare 1, soft reset 1
    assert (neuron.additions, neuron.multiplications) == (6 * 7, 0)
    assert (neuron.bytes_membranes, neuron.bytes_membranes_read, neuron.bytes_membranes_written) == (
        6,
        12,
        12,
    )
    assert (neuron.bytes_map, neuron.bytes_spikes_written, neuron.bytes_spikes_read) == (1, 2, 0)
    assert (head.events, head.synaptic_operations, head.bytes_weights_by_event) == (0, 0, 0)
    assert (head.bytes_weights, head.bytes_weights_by_step, head.bytes_spikes_read) == (3, 6, 2)
    assert (out.additions, out.bytes_membranes, out.bytes_membranes_read) == (2 * 4, 8, 16)


@pytest.mark.parametrize(
    ("fields", "additions", "multiplications"),
    [
        ({}, 6, 0),
        ({"v_reset": 0}, 5, 0),
        ({"leak_shift": 2}, 7, 0),
        ({"leak_shift": 2, "leak_multiplier": 3}, 6, 1),
        ({"leak_shift": 2, "v_reset": -1}, 6, 0),
    ],
)
def test_operations_of_an_update_by_hand(fields, additions, multiplications):
    row = count(tiny(Neuron([5] * 3, [0] * 3, **fields)), np.zeros((2, 1, 2, 1, 2), np.uint8)).rows[2]
    assert (row.additions, row.multiplications) == (6 * additions, 6 * multiplications)


@pytest.mark.parametrize(("levels", "comparisons"), [(2, 1), (3, 2), (4, 2), (5, 3), (16, 4)])
def test_rounded_membranes_search_their_level(levels, comparisons):
    neuron = RoundedNeuron(
        [5] * 3,
        [0] * 3,
        gain=[1] * 3,
        gain_shift=1,
        levels=np.arange(levels),
        edges=np.arange(1, levels),
        bits=4,
    )
    row = count(tiny(neuron), np.zeros((2, 1, 2, 1, 2), np.uint8)).rows[2]
    assert (row.additions, row.multiplications) == (6 * (6 + 1 + comparisons), 6)
    assert row.bytes_membranes == 2  # 3 codes of 4 bits


@given(st.integers(0, 999), st.sampled_from([1, 2, 4, 8]), st.integers(0, 3), st.booleans())
@settings(max_examples=15, deadline=None)
def test_every_counter_equals_the_event_by_event_interpreter(seed, bits, variant, hard):
    net = program(bits)
    ops = list(net.ops)
    leak = [{}, {"leak_shift": 2}, {"leak_shift": 3, "leak_multiplier": 5}, {"leak_shift": 1}][variant]
    reset = {"v_reset": 0 if hard else None}
    ops[1] = Neuron(np.full(5, 9 * bits), np.full(5, -1), **leak, **reset)
    if variant == 3:
        ops[1] = RoundedNeuron(
            np.full(5, 9 * bits),
            np.full(5, -1),
            gain=[1, -1, 2, 3, 1],
            gain_shift=1,
            levels=[-20, -7, 0, 8, 30],
            edges=[-15, -3, 4, 20],
            bits=4,
            **leak,
            **reset,
        )
    net = Program("net", net.input_shape, 3, ops)
    x = np.random.default_rng(seed).poisson(0.6, (3, 2, 2, 9, 8)).astype(np.uint8)
    trace = reference.run(net, x)
    found = count(net, x, trace)
    by_hand = [by_event(net, x[:, n]) for n in range(2)]
    for n, (_, logits) in enumerate(by_hand):
        assert np.array_equal(logits, trace.logits[:, n])
    for index, row in enumerate(found.rows):
        for name in COUNTED:
            total = sum(counters[index][name] for counters, _ in by_hand)
            assert getattr(row, name) * 2 == total, (row.layer, name)


@pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("gcov") is None,
    reason="gcov counts calls in the C; it or gcc is missing",
)
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_shipped_c_reads_as_many_weight_rows(tmp_path, bits):
    """`gcc --coverage` counts the calls that add one weight row: one for each event and output place it touches."""
    net, x = program(bits), frames()
    write_c(net, tmp_path, x)
    build = ["gcc", "-std=c99", "-O0", "--coverage", "model.c", "self_test.c", "-o", "self_test"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([str(tmp_path / "self_test")], cwd=tmp_path, check=True, capture_output=True)
    data = next(path.name for path in tmp_path.glob("*model.gcda"))
    done = subprocess.run(
        ["gcov", "--json-format", "--stdout", data], cwd=tmp_path, check=True, capture_output=True
    )
    functions = [f for file in json.loads(done.stdout)["files"] for f in file["functions"]]
    calls = sum(f["execution_count"] for f in functions if f["name"].startswith("add_row"))
    rows = [
        row.synaptic_operations * x.shape[1] / op.weight.shape[0]
        for op, row in zip(net.ops, count(net, x).rows, strict=True)
        if hasattr(op, "weight")
    ]
    assert calls == sum(rows) > 0


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
def test_bytes_are_those_of_the_compiled_program():
    net, x = program(), frames()
    sizes = measure(net)
    total = count(net, x).total()
    vectors = sum(op.threshold.nbytes + op.bias.nbytes for op in net.neurons) + net.ops[-1].bias.nbytes
    assert total.bytes_weights == sizes.bytes_weights - vectors
    assert total.bytes_membranes == sizes.bytes_membranes
    assert count(net, x, CompiledProgram(net).run_traced(x)) == count(net, x)


def test_prefixes_and_batches_are_counted_as_if_alone(monkeypatch):
    net, x = program(), frames(5)
    monkeypatch.setattr("rheobase.cost.measure.BATCH", 2)
    tables = count_steps(net, x.swapaxes(0, 1), [1, 3])
    assert tables == [count(net, x[:1]), count(net, x)]
    assert [table.samples for table in tables] == [5, 5]
    for wrong in ([], [0], [4]):
        with pytest.raises(DataError, match="cannot be counted"):
            count_steps(net, x.swapaxes(0, 1), wrong)


def test_means_are_over_samples():
    net, x = program(), frames(5)
    parts = [count(net, x[:, :2]), count(net, x[:, 2:])]
    assert mean(parts) == count(net, x)
    with pytest.raises(DataError, match="as many steps"):
        mean([parts[0], count(net, x[:2])])
    with pytest.raises(DataError, match="one or more"):
        mean([])


def test_rate_is_spikes_per_neuron_and_step():
    net, x = program(), frames()
    spikes = reference.run(net, x).spikes
    neurons = sum(layer.size for layer in spikes)
    assert count(net, x).rate == pytest.approx(sum(int(layer.sum()) for layer in spikes) / neurons)
