"""`rheobase sweep`: a grid of training runs as one command."""

import csv
import io
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import RheobaseError
from rheobase.files import atomic_write
from rheobase.numbers import percent, points
from rheobase.pairs import gain, mean_spread

if TYPE_CHECKING:
    from rheobase.training.sweep import Outcome


def sweep_command(
    sweep: Annotated[Path, typer.Argument(help="Sweep file, YAML: recipe, arms, grid, seeds.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values of its recipe to change in every cell, key.sub=value.", metavar="KEY=VALUE"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the runs. Default: runs/<name of the sweep>."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Runs at a time. Default: one for each core.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster ('auto': the one of this machine).")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Train arms x grid x seeds of one recipe, each cell a run folder. Killed? The same command goes on.

    Example: rheobase sweep sweeps/motion_stable_spike.yaml --jobs 2
    """
    from rheobase.training.sweep import load_sweep, run_sweep

    folder = out or Path("runs") / sweep.stem
    cells = load_sweep(sweep, overrides or [])
    say(f"{len(cells)} cells in {folder}")
    outcomes: list[Outcome] = []
    for outcome in run_sweep(cells, folder, jobs=jobs, ray=ray):
        outcomes.append(outcome)
        say(f"{len(outcomes)}/{len(cells)} {progress(outcome)}")
    order = [cell.name for cell in cells]
    rows = [
        row(outcome)
        for outcome in sorted(outcomes, key=lambda o: order.index(o.cell.name))
        if not outcome.error
    ]
    if rows:
        atomic_write(folder / "sweep.csv", _csv(rows))
        _print(rows)
        say(f"table: {folder / 'sweep.csv'}")
    write_json(json, {"folder": str(folder), "rows": rows})
    if failed := [outcome for outcome in outcomes if outcome.error]:
        raise RheobaseError(
            f"{len(failed)} of {len(cells)} cells failed, first {failed[0].cell.name}: {failed[0].error}"
        )


def progress(outcome: "Outcome") -> str:
    """One line about a cell that has ended."""
    if outcome.error:
        return f"{outcome.cell.name}: failed, {outcome.error}"
    found = outcome.run.evaluation
    assert found is not None, "a finished run was evaluated"
    return f"{outcome.cell.name}: test accuracy {percent(found.accuracy)}, trained {outcome.run.result['seconds']:.0f} s"


def row(outcome: "Outcome") -> dict[str, Any]:
    """What is worth comparing between cells, of a finished one."""
    found, result = outcome.run.evaluation, outcome.run.result
    assert found is not None, "a finished run was evaluated"
    return {
        "cell": outcome.cell.name,
        "arm": outcome.cell.arm,
        **outcome.cell.values,
        "seed": outcome.cell.seed,
        "accuracy": found.accuracy,
        "accuracy_at": found.accuracy_at,
        "temporal_inconsistency": found.temporal_inconsistency,
        "spikes_per_sample": found.spikes_per_sample,
        "seconds": result["seconds"],
        "commit": result["environment"]["commit"],
        "machine": result["environment"]["processor"],
    }


_FIXED = {"cell", "arm", "seed", "accuracy", "accuracy_at", "temporal_inconsistency", "spikes_per_sample"}
_FIXED |= {"seconds", "commit", "machine"}


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**r, "accuracy_at": " ".join(f"{a:.5f}" for a in r["accuracy_at"])} for r in rows)
    return text.getvalue()


def _print(rows: list[dict[str, Any]]) -> None:
    """Mean and spread over seeds, and the paired difference to the first arm at the same place of the grid."""
    keys = [key for key in rows[0] if key not in _FIXED]
    groups: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = defaultdict(dict)
    for r in rows:
        groups[(r["arm"], *(r[key] for key in keys))][r["seed"]] = r
    first = rows[0]["arm"]
    lines = []
    for (arm, *place), runs in groups.items():
        base = groups.get((first, *place), {})
        line = [arm, *place, len(runs)]
        for read in (lambda r: r["accuracy"], lambda r: r["accuracy_at"][0]):
            mean, spread = mean_spread([read(r) for r in runs.values()])
            shared = sorted(runs.keys() & base.keys())
            line.append(f"{100 * mean:.1f}±{100 * spread:.1f}")
            if arm == first or not shared:
                line.append("")
                continue
            d = gain([read(base[s]) for s in shared], [read(runs[s]) for s in shared])
            line.append(f"{points(d.mean)}±{100 * d.spread:.1f}")
        lines.append(line)
    print_table(
        f"test accuracy in %, and gain over {first} in points, paired by seed: mean ± standard deviation",
        ["arm", *keys, "runs", "accuracy", "gain", "1 step", "gain"],
        lines,
    )
