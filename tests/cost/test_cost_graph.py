"""Cost of programs that branch: what is stored, what is streamed, and work of joins, groups and changes of unit."""

import numpy as np
import pytest
from program_cases import frames_for, residual_program

from rheobase.cost import Table, compare_with_twins, count, count_steps, energy, energy_model, twin
from rheobase.program import reference


@pytest.fixture(scope="module")
def rows():
    program = residual_program()
    frames = frames_for(program, 3, 2)
    found = count(program, frames, reference.run(program, frames))
    assert found == count(program, frames)  # with and without the trace
    return program, frames, found.rows


def value(program, frames, index):
    values = {-1: frames.astype(np.int64)}
    for place, op in enumerate(program.ops[: index + 1]):
        values[place] = op.run(*(values[i] for i in op.inputs))
    return values[index]


def test_currents_are_stored_where_more_than_the_next_op_needs_them(rows):
    _, _, found = rows
    by_index = {index: row.bytes_map for index, row in enumerate(found)}
    # stem -> rescale alone, rescale -> neuron and join; all 6x8x8, at the width of their range
    assert by_index[0] == 0
    assert by_index[1] in (6 * 64 * 2, 6 * 64 * 4)
    assert by_index[3] == by_index[4] == 0  # depthwise -> rescale -> join
    assert by_index[5] in (6 * 64 * 2, 6 * 64 * 4)  # a neuron and a convolution read it
    assert by_index[2] == by_index[6] == 6 * 64 // 8  # spikes
    assert (by_index[7], by_index[8]) == (6 * 64, 6 * 16)  # counts, and the largest of them
    read = {index: row.bytes_spikes_read for index, row in enumerate(found)}
    assert read[2] == 3 * by_index[1]  # three steps
    assert read[5] == 3 * by_index[1]  # the other half is streamed
    assert read[7] == 3 * (by_index[2] + by_index[6])
    assert read[9] == 3 * by_index[5]


def test_work_of_groups_joins_and_units(rows):
    program, frames, found = rows
    spikes = value(program, frames, 2)
    ones = np.ones((3, 3))
    reached = sum(
        ones.sum() if 0 < y < 7 and 0 < x < 7 else 6 if 0 < y < 7 or 0 < x < 7 else 4
        for *_, y, x in np.argwhere(spikes)
    )
    depthwise = found[3]
    assert depthwise.synaptic_operations * 3 == reached  # one output channel each
    assert depthwise.bytes_weights_by_event == depthwise.synaptic_operations  # a code of 2 bits: 1 byte
    rescale = found[1]
    assert (rescale.additions, rescale.multiplications) == (2 * 3 * 384, 3 * 384)
    assert found[7].accumulates * 3 == np.count_nonzero(spikes) + np.count_nonzero(value(program, frames, 6))
    assert [row.hidden for row in found[:5]] == [False, False, False, True, True]
    assert not found[5].hidden  # the frame's current goes in as well


def test_sums_of_wide_values_cost_wide_products(rows):
    _, _, found = rows
    assert [found[index].factor_bits for index in (0, 3, 9, 11)] == [8, 8, 32, 8]
    model = energy_model("horowitz45")
    wide = found[9]
    alone = energy(Table(3, 3, [wide]), model).compute
    assert alone == pytest.approx(0.1 * wide.accumulates + 3.2 * wide.multiply_accumulates)
    assert wide.multiply_accumulates > 100


def test_dense_twin_folds_scales_and_stores_what_branches(rows):
    program, frames, _ = rows
    dense = twin(program, 8).rows
    assert dense[1].multiplications == 0 and dense[1].bytes_map == 384
    assert dense[0].bytes_map == 0 and dense[5].bytes_map == 384
    assert dense[3].multiply_accumulates == 6 * 22 * 22
    assert dense[3].bytes_weights == 54
    whole = compare_with_twins(program, count(program, frames), energy_model("horowitz45"))
    assert [other.bits for other in whole.twins] == [8, 4] and whole.energy.total > 0


def test_compiled_and_reference_count_the_same(rows):
    program, frames, found = rows
    assert count_steps(program, frames.swapaxes(0, 1), [3])[0].rows == found
