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
from rheobase.errors import RecipeError, unknown
from rheobase.numbers import percent, quantity, size

if TYPE_CHECKING:
    from rheobase.training import Evaluation

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
    json: JsonOption = None,
) -> None:
    """Train with and without Stable Spike, quantise to 4 bit, harden, export C, verify, report.

    Example: rheobase demo --data nmnist --json demo.json
    """
    if data not in RECIPES:
        raise RecipeError(unknown("data set of the demo", data, RECIPES))
    folder = out or Path("runs") / f"demo-{data}"
    start = time.perf_counter()
    result = run_demo(data, folder, fresh=fresh, overrides=overrides or [])
    result["seconds"] = round(time.perf_counter() - start, 1)
    _print(result)
    write_json(json, result)


def run_demo(data: str, folder: Path, *, fresh: bool = True, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The whole path; returns what `--json` writes.

    Every step leaves its files in `folder/baseline` and `folder/stable_spike`.
    """
    from rheobase.report import collect, write_report
    from rheobase.training import compress, export_c, load_recipe, open_run, train
    from rheobase.training.run import RECIPE

    recipe = files("rheobase.cli").joinpath("recipes", RECIPES[data])
    runs = {}
    for step, (arm, objective) in enumerate(
        (("baseline", "cross_entropy"), ("stable_spike", "stable_spike")), 1
    ):
        console.rule(f"{step}/5 train: {arm.replace('_', ' ')}", align="left")
        target = folder / arm
        if fresh and (target / RECIPE).is_file():
            shutil.rmtree(target)
        arm_recipe = load_recipe(Path(str(recipe)), [f"objective.name={objective}", *overrides])
        runs[arm] = train(arm_recipe, target, resume=not fresh)
        runs[arm].evaluate(robustness=True)
    shipped = open_run(folder / "stable_spike")
    console.rule(f"3/5 quantise to {shipped.recipe.compress.bits} bit, fine-tune, harden", align="left")
    compressed = compress(shipped)
    console.rule("4/5 export C and compare it with the model on every test recording", align="left")
    facts = export_c(shipped).facts
    console.rule("5/5 report", align="left")
    report = shipped.folder / "report.html"
    command = shlex.join(["rheobase", "demo", "--data", data, *overrides])
    write_report(collect(shipped.folder, runs["baseline"].folder, command=command), report)
    baseline, spike = runs["baseline"].evaluation, shipped.evaluation
    assert baseline is not None and spike is not None, "both runs were evaluated"
    return {
        "data": data,
        "baseline": _state(baseline),
        "float": {**_state(spike), "bytes": facts["float_bytes"]},
        "quantised": {**_state(compressed.quantised_evaluation), "bits": compressed.config.bits},
        "hardened": _state(compressed.hardened_evaluation),
        "program": {key: value for key, value in facts.items() if key != "layers"},
        "report": str(report),
    }


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
    print_table(
        f"{result['data']}: from recordings to a C program",
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
