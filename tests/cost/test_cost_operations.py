"""Operation counts against brute force."""

import numpy as np
import pytest
from cost_cases import frames, program, weight
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.cost import count
from rheobase.errors import DataError
from rheobase.program import Conv2d, Linear, Program, RoundedNeuron, reference


def brute(op: Conv2d, x: np.ndarray) -> tuple[int, int]:
    """Additions for inputs of 1 and above 1, output by output."""
    kh, kw = op.weight.shape[2:]
    _, height, width = op.output_shape(x.shape[2:])
    found = [0, 0]
    for i in range(height):
        for j in range(width):
            for u in range(kh):
                for v in range(kw):
                    y, z = i * op.stride + u - op.padding, j * op.stride + v - op.padding
                    if 0 <= y < x.shape[3] and 0 <= z < x.shape[4]:
                        found[0] += int((x[..., y, z] == 1).sum())
                        found[1] += int((x[..., y, z] > 1).sum())
    return found[0] * op.weight.shape[0], found[1] * op.weight.shape[0]


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_fan_out_equals_brute_force(size, kernel, stride, padding, seed):
    if any(n + 2 * padding < k for n, k in zip(size, kernel, strict=True)):
        return
    op = Conv2d(weight(3, 2, *kernel), stride, padding)
    x = np.random.default_rng(seed).integers(0, 4, (2, 2, 2, *size))
    work = op.work(x)
    assert (work.accumulates, work.multiply_accumulates) == brute(op, x)
    assert work.events == np.count_nonzero(x)


def test_table_by_hand():
    net, x = program(), frames()
    trace = reference.run(net, x)
    pooled = net.ops[2].run(trace.spikes[0])
    rows = {row.layer: row for row in count(net, x).rows}
    assert list(rows)[:3] == ["op 0 Conv2d 'first'", "op 1 Neuron", "op 2 SumPool"]
    first = rows["op 0 Conv2d 'first'"]
    assert (first.accumulates * 4, first.multiply_accumulates * 4) == brute(net.ops[0], x)
    assert first.synaptic_operations == first.accumulates + first.multiply_accumulates
    assert first.macs == 5 * 9 * 8 * 2 * 9 and first.bytes_weights == 18 * 3
    assert rows["op 1 Neuron"].neuron_updates == 3 * 5 * 9 * 8
    # the ninth row fills no window
    assert rows["op 2 SumPool"].accumulates * 4 == np.count_nonzero(trace.spikes[0][..., :8, :])
    second = rows["op 3 Conv2d"]
    assert (second.accumulates * 4, second.multiply_accumulates * 4) == brute(net.ops[3], pooled)
    linear = rows["op 6 Linear"]
    assert linear.accumulates * 4 == 3 * np.count_nonzero(trace.spikes[1]) and linear.macs == 72
    assert rows["op 7 Readout"].neuron_updates == 9
    total = count(net, x).total()
    assert total.synaptic_operations == pytest.approx(sum(row.synaptic_operations for row in rows.values()))
    assert total.bytes_weights == sum(op.weight.bytes for op in net.ops if isinstance(op, (Conv2d, Linear)))


def test_counts_do_not_depend_on_trace_or_chunks(monkeypatch):
    net, x = program(), frames()
    expected = count(net, x)
    assert count(net, x, reference.run(net, x)) == expected
    monkeypatch.setattr(reference, "CHUNK", 1)
    assert count(net, x) == expected
    assert count(net, x, reference.run(net, x)) == expected


def test_no_events_no_synaptic_operations():
    net = program()
    table = count(net, np.zeros((3, 2, 2, 9, 8), np.uint8))
    assert table.total().synaptic_operations == 0 and table.total().events == 0
    assert table.total().neuron_updates == 3 * (5 * 72 + 6 * 4 + 3) and table.total().macs > 0


def test_rounded_membranes_cost_a_multiplication_an_update():
    net = program()
    assert count(net, frames()).total().multiplications == 0
    ops = list(net.ops)
    ops[1] = RoundedNeuron(
        np.full(5, 20), np.zeros(5, int), gain=[1] * 5, gain_shift=0, levels=[-9, 0, 9], edges=[-5, 5], bits=2
    )
    net = Program("net", net.input_shape, 3, ops)
    rows = count(net, frames(), reference.run(net, frames())).rows
    assert [row.multiplications for row in rows] == [0, 3 * 5 * 72, *[0] * 6]
    assert rows[1].multiplications == rows[1].neuron_updates
    assert count(net, frames()).rows == rows


def test_no_samples_and_foreign_traces_are_refused():
    net = program()
    with pytest.raises(DataError, match="there are none"):
        count(net, frames()[:, :0])
    with pytest.raises(DataError, match="the frames need"):
        count(net, frames(4), reference.run(net, frames(3)))
