"""`rheobase demo`: the main job end to end, from recordings to a verified C program and a report."""

import shlex
import shutil
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rheobase.cli.output import JsonOption, console, print_table, say, write_json
from rheobase.cli.sweep import progress
from rheobase.errors import RecipeError, RheobaseError, unknown
from rheobase.numbers import percent, points, quantity, size
from rheobase.pairs import gain, mean_spread

if TYPE_CHECKING:
    from rheobase.training import Evaluation, Run

RECIPES = {
    "motion-dvs-sim": "demo_motion.yaml",
    "nmnist": "demo_nmnist.yaml",
    "digits-dvs": "demo_digits.yaml",
}


def demo(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Single values of its recipe to change, key.sub=value.", metavar="KEY=VALUE"),
    ] = None,
    data: Annotated[
        str, typer.Option(help="Data set: motion-dvs-sim, digits-dvs or nmnist.")
    ] = "motion-dvs-sim",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the runs. Default: runs/demo-<data>.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--keep", help="Start anew, or go on with what the folder holds.")
    ] = True,
    seeds: Annotated[
        int, typer.Option(min=1, help="Pairs of trainings to compare; the first pair's network ships.")
    ] = 3,
    json: JsonOption = None,
) -> None:
    """Train with and without Stable Spike, quantise to 4 bit, harden, export C, verify, report.

    Example: rheobase demo --data nmnist --json demo.json
    """
    if data not in RECIPES:
        raise RecipeError(unknown("data set of the demo", data, RECIPES))
    folder = out or Path("runs") / f"demo-{data}"
    start = time.perf_counter()
    result = run_demo(data, folder, fresh=fresh, seeds=seeds, overrides=overrides or [])
    result["seconds"] = round(time.perf_counter() - start, 1)
    _print(result)
    write_json(json, result)


def run_demo(
    data: str, folder: Path, *, fresh: bool = True, seeds: int = 3, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """The whole path; returns what `--json` writes.

    Every training leaves its files in `folder/<arm>-seed<k>`; the network of `stable_spike-seed0` ships.
    """
    from rheobase.report import collect, write_report
    from rheobase.training import Sweep, cells, compress, export_c, run_sweep
    from rheobase.training.run import RECIPE

    arms = {"baseline": ["objective.name=cross_entropy"], "stable_spike": ["objective.name=stable_spike"]}
    recipe = Path(str(files("rheobase.cli").joinpath("recipes", RECIPES[data])))
    todo = cells(Sweep(recipe=recipe, arms=arms, seeds=list(range(seeds))), overrides)
    for cell in todo:
        if fresh and (folder / cell.name / RECIPE).is_file():
            shutil.rmtree(folder / cell.name)
    console.rule(f"1/5 train with and without Stable Spike, {seeds} seeds", align="left")
    found: dict[str, list[Run]] = {arm: [] for arm in arms}
    for outcome in run_sweep(todo, folder):
        say(progress(outcome))
        if outcome.error:
            raise RheobaseError(f"{outcome.cell.name}: {outcome.error}")
        found[outcome.cell.arm].append(outcome.run)
    runs = {arm: sorted(several, key=lambda run: run.recipe.train.seed) for arm, several in found.items()}
    base, shipped = runs["baseline"][0], runs["stable_spike"][0]
    console.rule("2/5 judge both with noise added and events lost", align="left")
    baseline, spike = base.evaluate(robustness=True), shipped.evaluate(robustness=True)
    console.rule(f"3/5 quantise to {shipped.recipe.compress.bits} bit, fine-tune, harden", align="left")
    compressed = compress(shipped)
    console.rule("4/5 export C and compare it with the model on every test recording", align="left")
    facts = export_c(shipped).facts
    console.rule("5/5 report", align="left")
    report = shipped.folder / "report.html"
    command = shlex.join(["rheobase", "demo", "--data", data, "--seeds", str(seeds), *overrides])
    pairs = [
        (one.folder, other.folder) for one, other in zip(runs["stable_spike"], runs["baseline"], strict=True)
    ]
    write_report(collect(*pairs[0], repeats=pairs[1:], command=command), report)
    return {
        "data": data,
        "pairs": [
            {"seed": two.recipe.train.seed, "baseline": _steps(one), "stable_spike": _steps(two)}
            for one, two in zip(runs["baseline"], runs["stable_spike"], strict=True)
        ],
        "baseline": _state(baseline),
        "float": {**_state(spike), "bytes": facts["float_bytes"]},
        "quantised": {**_state(compressed.stages["quantised"].evaluation), "bits": compressed.config.bits},
        "hardened": _state(compressed.stages["hardened"].evaluation),
        "program": {key: value for key, value in facts.items() if key != "layers"},
        "report": str(report),
    }


def _steps(run: "Run") -> list[float]:
    assert run.evaluation is not None, "a finished run was evaluated"
    return run.evaluation.accuracy_at


def _state(found: "Evaluation") -> dict[str, Any]:
    return {
        "accuracy": found.accuracy,
        "accuracy_at": found.accuracy_at,
        "spikes_per_sample": found.spikes_per_sample,
    }


def _print(result: dict[str, Any]) -> None:
    program, bits = result["program"], result["quantised"]["bits"]
    early = max(len(program["accuracy_at"]) // 2, 1)
    float_size, packed = size(result["float"]["bytes"]), size(program["bytes_weights"])
    dense = f"{quantity(program['dense_macs_per_sample'])} MAC"
    work = f"{quantity(program['synops_per_sample'])} SynOp"
    equal = f"{program['equal']}/{program['samples']}"

    def row(name: str, state: dict[str, Any], memory: str, operations: str, same: str) -> tuple[str, ...]:
        accuracies = (percent(state["accuracy"]), percent(state["accuracy_at"][early - 1]))
        return name, *accuracies, memory, quantity(state["spikes_per_sample"]), operations, same

    say("")
    steps = len(program["accuracy_at"])
    columns = [
        [pair[arm][k] for pair in result["pairs"]]
        for arm in ("baseline", "stable_spike")
        for k in range(steps)
    ]
    base, spike = columns[:steps], columns[steps:]
    gains = [gain(one, other) for one, other in zip(base, spike, strict=True)]
    print_table(
        f"accuracy after k of {steps} steps, mean and spread of {len(result['pairs'])} seeds",
        ["", *(f"k = {k}" for k in range(1, steps + 1))],
        [
            ["baseline", *(_spread(*mean_spread(values)) for values in base)],
            ["Stable Spike", *(_spread(*mean_spread(values)) for values in spike)],
            ["gain, points", *(f"{points(g.mean)} ± {100 * g.spread:.1f}" for g in gains)],
        ],
    )
    print_table(
        f"{result['data']}: from recordings to a C program, seed {result['pairs'][0]['seed']}",
        ["state", "accuracy", f"{early} steps", "bytes", "spikes", "operations", "equals C"],
        [
            row("baseline", result["baseline"], float_size, dense, "-"),
            row("Stable Spike", result["float"], float_size, dense, "-"),
            row(f"{bits} bit", result["quantised"], packed, "-", "-"),
            row("hardened", result["hardened"], packed, work, equal),
            row("C program", program, packed, work, equal),
        ],
    )
    say(
        "spikes and operations are per recording; equals C: in every spike and every logit\n"
        f"the program: {packed} of weights, {size(program['bytes_code'])} of code, {size(program['bytes_state'])} of state\n"
        f"report: {result['report']}    ({result['seconds']:.0f} s)"
    )


def _spread(mean: float, spread: float) -> str:
    return f"{100 * mean:.1f} ± {100 * spread:.1f}"
