"""Energy, the dense twin and break-evens, worked out by hand."""

import numpy as np
import pytest
from cost_cases import frames, program, size, weight

from rheobase.cost import (
    MODELS,
    EnergyModel,
    Table,
    break_even,
    compare_with_twins,
    count,
    energies,
    energy,
    energy_model,
    places,
    twin,
)
from rheobase.cost.energy import Level
from rheobase.errors import ProgramError, RecipeError
from rheobase.program import Conv2d, Flatten, Linear, Neuron, Program, Readout, reference

# primes, so that no two terms are mistaken for each other
PRIMES = EnergyModel(
    "primes",
    2,
    {4: 31, 8: 3, 32: 37},
    5,
    7,
    (Level("small", 50, 11), Level("middle", 400, 13), Level("large", float("inf"), 17)),
)


def test_energy_is_the_sum_of_its_terms():
    table = count(program(), frames())
    t = table.total()
    flash, ram = places(table, PRIMES)
    # 18*3 + 45*3 + 24*2 bytes of weights; membranes 5*72*2 + 6*4*2 + 12, maps 45 and 80
    assert t.bytes_weights == 237 and flash.name == "middle"
    assert t.bytes_membranes == 780 and ram.name == "large"
    compute = 2 * t.accumulates + 3 * t.multiply_accumulates + 5 * t.additions + 7 * t.multiplications
    state = t.bytes_membranes_read + t.bytes_membranes_written + t.bytes_spikes_read + t.bytes_spikes_written
    reads = {"event": t.bytes_weights_by_event, "step": 3 * 237, "once": 237}
    for how, read in reads.items():
        found = energy(table, PRIMES, weights=how)
        assert found.compute == pytest.approx(compute)
        assert found.memory == pytest.approx(13 * read + 17 * state)
        assert found.total == pytest.approx(found.compute + found.memory)
        rows = energies(table, PRIMES, weights=how)
        assert sum(row.total for row in rows) == pytest.approx(found.total)


@pytest.mark.parametrize(
    ("name", "ac", "mac8", "mac4"),
    [("horowitz45", 0.1, 0.3, 0.15), ("horowitz45_int8", 0.03, 0.23, 0.08), ("convention", 0.9, 4.6, 4.6)],
)
def test_constants_of_the_models(name, ac, mac8, mac4):
    model = energy_model(name)
    assert model.accumulate == pytest.approx(ac)
    assert [model.multiply_accumulate[bits] for bits in (8, 4)] == pytest.approx([mac8, mac4])
    assert model.multiply_accumulate[32] == pytest.approx(4.6 if name == "convention" else 3.2)


def test_memory_by_size_and_by_name():
    model = MODELS["horowitz45"]
    # 64 bits from 8 kB: 10 pJ
    assert [8 * level.per_byte for level in model.memory] == [10, 20, 100, 1300]
    assert [model.level(n).name for n in (0, 8192, 8193, 32769, 1 << 20, (1 << 20) + 1)] == [
        "8kB",
        "8kB",
        "32kB",
        "1MB",
        "1MB",
        "DRAM",
    ]
    assert model.in_memory("DRAM").level(1).name == "DRAM"
    with pytest.raises(RecipeError, match=r"unknown memory of horowitz45 '9kB'; did you mean '8kB'"):
        model.in_memory("9kB")
    with pytest.raises(RecipeError, match="does not charge memory"):
        MODELS["convention"].in_memory("8kB")
    with pytest.raises(RecipeError, match="did you mean 'horowitz45'"):
        energy_model("horowitz")


@pytest.mark.parametrize("bits", [8, 4])
def test_twin_by_hand(bits):
    rows = twin(program(), bits).rows
    # 3x3 windows inside a 9x8 map: (3*9 - 2) * (3*8 - 2) taps; stride 2 on 4x4: rows at -1..1 and 1..3 hold 2 + 3
    assert rows[0].multiply_accumulates == 5 * 2 * 25 * 22
    assert rows[3].multiply_accumulates == 6 * 5 * 5 * 5
    assert rows[6].multiply_accumulates == 3 * 24 and rows[6].accumulates == 0
    assert (rows[2].accumulates, rows[2].multiply_accumulates) == (5 * 8 * 8, 0)
    assert (rows[1].additions, rows[1].multiplications) == (2 * 360, 360)
    assert rows[7].additions == 3 and rows[7].bytes_membranes_written == 12
    assert [r.bytes_weights for r in rows if r.bytes_weights] == [
        18 * size((5,), bits),
        45 * size((6,), bits),
        24 * size((3,), bits),
    ]
    assert rows[0].bytes_spikes_read == 144  # the frame has 8 bits
    assert (rows[1].bytes_spikes_written, rows[2].bytes_spikes_read) == (size((360,), bits),) * 2
    assert (rows[2].bytes_spikes_written, rows[3].bytes_spikes_read) == (size((80,), bits),) * 2
    assert (rows[4].bytes_spikes_written, rows[6].bytes_spikes_read) == (size((24,), bits),) * 2


def two_layers(threshold: int, T: int = 4) -> Program:
    """All work is in the hidden layer: a frame of one pixel, 8 neurons, 64 outputs."""
    ops = [
        Flatten(),
        Linear(weight(8, 1, bits=8)),
        Neuron(np.full(8, threshold), np.full(8, 1), v_reset=0),
        Linear(weight(64, 8, bits=8)),
        Readout(np.zeros(64, int)),
    ]
    return Program("two", (1, 1, 1), T, ops)


def test_break_even_rate_and_steps_by_hand():
    # a silent frame and a bias of 1: threshold 2 fires every second step; without memory and neurons the program costs
    # 0.9 * 64 * 8 * rate a step, the twin 4.6 * 64 * 8 + 4.6 * 8
    net, silent = two_layers(2), np.zeros((4, 1, 1, 1, 1), np.uint8)
    found = compare_with_twins(net, count(net, silent), MODELS["convention"])
    assert found.rate == 0.5 and found.steps == 4
    assert found.energy.compute == pytest.approx(0.9 * 64 * 8 * 0.5 * 4)
    for other in found.twins:
        assert other.energy.compute == pytest.approx(4.6 * (64 * 8 + 8))
        assert other.compute.steps == pytest.approx(4.6 * 520 / (0.9 * 512 * 0.5))
        assert other.compute.rate == pytest.approx(4.6 * 520 / (0.9 * 512 * 4))
        assert other.ratio == pytest.approx(4.6 * 520 / (0.9 * 512 * 2))
        assert other.with_memory == other.compute and other.ratio_with_memory == other.ratio


@pytest.mark.parametrize("weights", ["event", "step", "once"])
def test_at_the_break_even_rate_the_energies_are_equal(weights):
    """The predicted rate is that of another threshold: there the program costs what the prediction says."""
    silent = np.zeros((12, 1, 1, 1, 1), np.uint8)
    half, third = (count(two_layers(n, 12), silent) for n in (2, 3))
    target = energy(third, PRIMES, weights=weights)
    own = energy(half, PRIMES, weights=weights)
    flash, _ = places(half, PRIMES)
    spent = half.rows[3]
    by_spikes = 2 * spent.accumulates + (
        flash.per_byte * spent.bytes_weights_by_event if weights == "event" else 0
    )
    found = break_even(target.total, own.total, by_spikes, 0.0, half)
    assert found.rate == pytest.approx(third.rate) == pytest.approx(1 / 3)


def test_at_the_break_even_steps_the_energies_are_equal():
    silent = np.zeros((12, 1, 1, 1, 1), np.uint8)
    net = two_layers(2, 12)
    twelve, four = count(net, silent), count(net, silent[:4])
    for weights in ("event", "step", "once"):
        flash, _ = places(twelve, PRIMES)
        once = flash.per_byte * twelve.total().bytes_weights if weights == "once" else 0.0
        target, own = (energy(t, PRIMES, weights=weights).total for t in (four, twelve))
        assert break_even(target, own, 1.0, once, twelve).steps == pytest.approx(4)


def test_where_nothing_breaks_even():
    table = Table(1, 2, count(program(), frames()).rows)
    assert break_even(10.0, 20.0, 5.0, 0.0, table).rate is None  # 15 of 20 do not go with spikes
    assert break_even(10.0, 20.0, 0.0, 0.0, table).rate is None
    assert break_even(10.0, 0.0, 0.0, 0.0, table).steps is None
    assert break_even(10.0, 40.0, 0.0, 20.0, table).steps == 0  # reading the weights costs more than the twin


def test_comparison_is_made_of_energy_twin_and_break_even():
    net, x = program(), frames()
    table = count(net, x, reference.run(net, x))
    found = compare_with_twins(net, table, PRIMES, weights="step")
    assert found.energy == energy(table, PRIMES, weights="step")
    assert [other.bits for other in found.twins] == [8, 4]
    for other in found.twins:
        assert other.energy == energy(twin(net, other.bits), PRIMES, weights="once")
        assert other.ratio_with_memory == pytest.approx(other.energy.total / found.energy.total)


def test_over_a_stream_the_twin_runs_at_every_step():
    net, silent = two_layers(2, 12), np.zeros((12, 1, 1, 1, 1), np.uint8)
    table = count(net, silent)
    once, every = (compare_with_twins(net, table, PRIMES, stream=stream) for stream in (False, True))
    assert every.energy == once.energy
    for a, b in zip(once.twins, every.twins, strict=True):
        assert (b.energy.compute, b.energy.memory) == (12 * a.energy.compute, 12 * a.energy.memory)
        assert b.ratio == pytest.approx(12 * a.ratio) and b.compute.steps is None
        fixed = once.energy.compute - (own := 2 * table.rows[3].accumulates)
        assert b.compute.rate == pytest.approx(table.rate * (b.energy.compute - fixed) / own)


def test_unknown_ops_are_never_free():
    class Other(Flatten):
        pass

    class Convolution(Conv2d):
        pass

    net = program()
    for index, op in ((5, Other()), (3, Convolution(weight(6, 5, 3, 3), stride=2, padding=1))):
        other = Program("net", net.input_shape, 3, [*net.ops[:index], op, *net.ops[index + 1 :]])
        for cost in (lambda p: count(p, frames()), lambda p: twin(p, 8)):
            with pytest.raises(ProgramError, match=f"op {index} .*the cost of this op is not known"):
                cost(other)
