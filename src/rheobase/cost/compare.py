"""A program beside its dense twin: energies, and where the two break even.

Break-even T: the number of steps at which the program, at the mean cost of the steps that were counted, costs what the twin
costs. Break-even rate: the spikes per neuron and step at which it does at these T, when the operations and weight reads that
spikes cause scale with their number and all else stays (frames, neuron updates, membranes, maps).

Over a stream (speech, ECG) the twin has to run at every step as the program does: its energy is that of T passes, and T has
no break-even.
"""

from dataclasses import dataclass

from rheobase.cost.energy import Energy, EnergyModel, WeightReads, energy, places
from rheobase.cost.operations import Table
from rheobase.cost.twin import WIDTHS, twin
from rheobase.program.ir import Program


@dataclass(frozen=True)
class BreakEven:
    """Against one twin: with memory or without. `rate` is None where even silent neurons cost more than the twin, `steps`
    where the program costs nothing, and over a stream.
    """

    steps: float | None
    rate: float | None


@dataclass(frozen=True)
class Against:
    """One twin: its energy, how many times the program's that is, and where they break even."""

    bits: int
    energy: Energy
    ratio: float | None  # twin / program, arithmetic alone
    ratio_with_memory: float | None
    compute: BreakEven
    with_memory: BreakEven


@dataclass(frozen=True)
class Comparison:
    """The program after `steps` steps beside its twins. Without charge for memory in the model, both ratios are one."""

    steps: int
    rate: float
    energy: Energy
    twins: list[Against]


def compare_with_twins(
    program: Program,
    table: Table,
    model: EnergyModel,
    *,
    weights: WeightReads = "event",
    stream: bool = False,
) -> Comparison:
    """Compare the work in `table` with the dense networks of 8 and 4 bits, run once or, over a `stream`, at every step.

    Raises:
        ProgramError: an op whose cost is not known.
    """
    own = energy(table, model, weights=weights)
    scaled = _by_spikes(table, model, weights)
    once = _once(table, model, weights)
    twins = []
    for bits in WIDTHS:
        other = energy(twin(program, bits), model, weights="once")
        if stream:
            other = Energy(table.steps * other.compute, table.steps * other.memory)
        twins.append(
            Against(
                bits,
                other,
                _ratio(other.compute, own.compute),
                _ratio(other.total, own.total),
                break_even(other.compute, own.compute, scaled.compute, once.compute, table, stream),
                break_even(other.total, own.total, scaled.total, once.total, table, stream),
            )
        )
    return Comparison(table.steps, table.rate, own, twins)


def break_even(
    other: float, own: float, by_spikes: float, once: float, table: Table, stream: bool = False
) -> BreakEven:
    """From energies: the twin's, the program's, and of that what scales with spikes and what is spent once for all T.

    steps = (other - once) / ((own - once) / T);   rate = measured rate * (other - (own - by_spikes)) / by_spikes
    """
    a_step = (own - once) / table.steps
    steps = max(0.0, (other - once) / a_step) if a_step > 0 and not stream else None
    left = other - (own - by_spikes)
    if left < 0 or by_spikes <= 0:
        return BreakEven(steps, None)
    return BreakEven(steps, table.rate * left / by_spikes)


def _by_spikes(table: Table, model: EnergyModel, weights: WeightReads) -> Energy:
    """The part of the energy that goes with the number of spikes: operations and weight rows of layers that read spikes."""
    flash, _ = places(table, model)
    driven = [row for row in table.rows if row.hidden]
    compute = sum(
        row.accumulates * model.accumulate
        + row.multiply_accumulates * model.multiply_accumulate[row.factor_bits]
        for row in driven
    )
    reads = sum(row.bytes_weights_by_event for row in driven) if weights == "event" else 0.0
    return Energy(compute, reads * flash.per_byte)


def _once(table: Table, model: EnergyModel, weights: WeightReads) -> Energy:
    """What does not grow with T: weights, where they are read once."""
    flash, _ = places(table, model)
    return Energy(0.0, table.total().bytes_weights * flash.per_byte if weights == "once" else 0.0)


def _ratio(other: float, own: float) -> float | None:
    return other / own if own > 0 else None
