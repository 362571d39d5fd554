"""`rheobase cost`: operations, bytes and energy of a compressed run, beside a dense network of its topology."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import RecipeError
from rheobase.numbers import NA, quantity, size, times

if TYPE_CHECKING:
    from rheobase.cost import BreakEven, Comparison, EnergyModel, Table
    from rheobase.cost.energy import WeightReads

STEPS = (1, 2, 4)


def cost_command(
    run: Annotated[Path, typer.Argument(help="Run folder, compressed.")],
    model: Annotated[
        str,
        typer.Option(help="Energy model: horowitz45, horowitz45_int8, or convention (0.9 and 4.6 pJ)."),
    ] = "horowitz45",
    memory: Annotated[
        str | None,
        typer.Option(help="Where all lies: 8kB, 32kB, 1MB or DRAM. Default: the smallest that holds it."),
    ] = None,
    weights: Annotated[
        Literal["event", "step", "once"],
        typer.Option(help="Weights are read: a row for each event, all once a step, or all once."),
    ] = "event",
    steps: Annotated[
        str | None,
        typer.Option(
            help="Timesteps to compare at, such as 1,2,4. Default: 1, 2, 4 and the run's own T; of a stream T."
        ),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            help="The dense network runs at every step, or once for all. Default: at every step where the data are signals."
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """What a compressed run costs on its test part: work and bytes by layer, energy, and where it breaks even with a dense net.

    Example: rheobase cost runs/motion_stable_spike --model horowitz45 --steps 1,2,4
    """
    from rheobase.cost import compare_with_twins, count_steps, energies, energy_model
    from rheobase.training import open_run
    from rheobase.training.export import load_program

    prices = energy_model(model) if memory is None else energy_model(model).in_memory(memory)
    opened = open_run(run)
    program, data = load_program(opened), opened.dataset()
    stream = data.sensor[1] == 1 if stream is None else stream  # signals and spike trains: one pixel wide
    tables = count_steps(program, data.test.frames, chosen_steps(steps, program.T, stream))
    full = tables[-1]
    comparisons = [
        compare_with_twins(program, table, prices, weights=weights, stream=stream) for table in tables
    ]
    names = [op.name or program.label(index) for index, op in enumerate(program.ops)]
    print_layers(full, names, prices, weights)
    print_comparison(comparisons, prices, stream)
    write_json(
        json,
        {
            "run": str(run),
            "model": {
                "name": prices.name,
                "pJ": {
                    "accumulate": prices.accumulate,
                    "multiply_accumulate": {str(bits): pj for bits, pj in prices.multiply_accumulate.items()},
                    "addition": prices.addition,
                    "multiplication": prices.multiplication,
                    "byte": {level.name: level.per_byte for level in prices.memory},
                },
            },
            "weights": weights,
            "stream": stream,
            "samples": full.samples,
            "steps": full.steps,
            "layers": [
                asdict(row) | {"energy": asdict(each)}
                for row, each in zip(full.rows, energies(full, prices, weights=weights), strict=True)
            ],
            "total": asdict(full.total()),
            "comparisons": [asdict(comparison) for comparison in comparisons],
        },
    )


def chosen_steps(text: str | None, T: int, stream: bool) -> list[int]:
    """The steps to compare at, rising.

    Raises:
        RecipeError: not whole numbers in 1..T.
    """
    if text is None and stream:
        return [T]
    if text is None:
        return sorted({step for step in (*STEPS, T) if step <= T})
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1 or found[-1] > T:
        raise RecipeError(
            f"--steps {text!r} must be whole numbers in 1..{T}, the timesteps of this run, such as 1,{T}"
        )
    return found


def print_layers(table: "Table", names: Sequence[str], model: "EnergyModel", weights: "WeightReads") -> None:
    """Work, then bytes and energy, of one inference, layer by layer."""
    from rheobase.cost import energies, energy, places
    from rheobase.cost.energy import weight_reads

    rows = list(zip([*names, "total"], [*table.rows, table.total()], strict=True))
    spent = [*energies(table, model, weights=weights), energy(table, model, weights=weights)]
    print_table(
        f"One inference of {table.steps} steps, mean of {table.samples} test recordings",
        ["layer", "synaptic ops", "accumulates", "MACs", "updates", "multiplies"],
        [
            [
                name,
                quantity(row.synaptic_operations),
                quantity(row.accumulates),
                quantity(row.multiply_accumulates),
                quantity(row.neuron_updates),
                quantity(row.multiplications),
            ]
            for name, row in rows
        ],
    )
    print_table(
        "Bytes read and written, and energy",
        ["layer", "weights", "membranes", "spikes", "compute nJ", "memory nJ"],
        [
            [
                name,
                size(weight_reads(row, weights)),
                size(row.bytes_membranes_read + row.bytes_membranes_written),
                size(row.bytes_spikes_read + row.bytes_spikes_written),
                nanojoules(each.compute),
                nanojoules(each.memory) if model.memory else NA,
            ]
            for (name, row), each in zip(rows, spent, strict=True)
        ],
    )
    if model.memory:
        flash, ram = places(table, model)
        say(
            f"{model.name}: weights in {flash.name}, membranes and spikes in {ram.name}; weights read "
            + {"event": "a row for each event", "step": "once a step", "once": "once"}[weights]
        )
    else:
        say(f"{model.name}: memory and neuron updates are not charged")


def print_comparison(comparisons: "Sequence[Comparison]", model: "EnergyModel", stream: bool) -> None:
    """The program after each number of steps beside dense networks of 8 and 4 bits."""
    dense = "dense at every step" if stream else "dense"
    for title, charged in (("without memory", False), ("with memory", True)):
        if charged and not model.memory:
            continue
        rows = []
        for each in comparisons:
            for other in each.twins:
                own, twin = (
                    (each.energy.total, other.energy.total)
                    if charged
                    else (each.energy.compute, other.energy.compute)
                )
                meet = other.with_memory if charged else other.compute
                rows.append(
                    [
                        f"T = {each.steps}",
                        f"{each.rate:.4f}",
                        nanojoules(own),
                        f"int{other.bits}",
                        nanojoules(twin),
                        times(twin, own),
                        *break_even_cells(meet),
                    ]
                )
        print_table(
            f"Energy beside the same layers {dense}, {title}",
            ["program", "firing rate", "nJ", "dense", "nJ", "gain", "break-even T", "break-even rate"],
            rows,
        )
    say("gain above 1×: the program costs less; break-even rate '-': not even silent neurons would")


def break_even_cells(meet: "BreakEven") -> list[str]:
    """Steps and rate as text."""
    return [
        NA if meet.steps is None else f"{meet.steps:.2f}",
        "-" if meet.rate is None else f"{meet.rate:.4f}",
    ]


def nanojoules(picojoules: float) -> str:
    """1234.5 pJ -> '1.23'."""
    value = picojoules / 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
