"""Gather a report's data from run folders: JSON, CSV and NumPy files only, no network is run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rheobase.errors import CheckpointError
from rheobase.numbers import size
from rheobase.report.data import Arm, LayerCost, ProgramFacts, Raster, ReportData, Samples, State
from rheobase.report.gaze import read_gaze
from rheobase.report.spike_times import read_spike_times

_MAKE = {
    "result.json": "`rheobase train --resume`",
    "evaluation.json": "`rheobase eval`",
    "compressed.json": "`rheobase compress`",
    "program.json": "`rheobase export`",
}


def collect(
    run: Path,
    baseline: Path | None = None,
    *,
    repeats: Sequence[tuple[Path, Path | None]] = (),
    command: str | None = None,
) -> ReportData:
    """Report of a run, beside a baseline trained on the same data if there is one.

    The run is the arm that ships; its compression and program are shown as far as they have been made.
    `repeats` are pairs of run and baseline with the same recipes but other seeds; their accuracies are averaged.

    Raises:
        CheckpointError: a folder holds no finished run, the two runs were trained on different data, or a repeat
            differs in more than its seed.
    """
    folders = [folder for folder in (baseline, run) if folder is not None]
    results = [_need(folder / "result.json") for folder in folders]
    recipes = [_recipe(folder) for folder in folders]
    if len({json.dumps(recipe["data"], sort_keys=True) for recipe in recipes}) > 1:
        raise CheckpointError(
            f"{run} and {baseline} were trained on different data and cannot share a report"
        )
    others = [
        [(baseline_k if folder is baseline else run_k) for run_k, baseline_k in repeats] for folder in folders
    ]
    names = _names(recipes)
    result, recipe = results[-1], recipes[-1]
    evaluation = _need(run / "evaluation.json")
    compressed, program = _json(run / "compressed" / "compressed.json"), _json(run / "program.json")
    if compressed is not None and program is not None and program["digest"] != compressed["program_digest"]:
        program = None  # compressed again since it was exported
    return ReportData(
        title="From recordings to a C program",
        subtitle=f"{result['data']} · {recipe['model']['name']} · T = {recipe['data']['T']}",
        facts=_facts(recipe, result, program, command),
        arms=[
            _arm(name, folder, _repeats(folder, recipe, more))
            for name, folder, recipe, more in zip(names, folders, recipes, others, strict=True)
        ],
        states=_states(evaluation, compressed, program),
        program=_program(program, (compressed or {}).get("code_usage", {})),
        samples=_samples(names, folders),
        raster=_raster(folders, result["classes"]),
        spike_times=read_spike_times(run / "spike_times.npz", result["classes"]),
        gaze=read_gaze(run / "gaze.npz", result["classes"]),
        classes=[str(name) for name in result["classes"]],
        seed=recipe["train"]["seed"],
    )


def _repeats(folder: Path, recipe: dict[str, Any], others: Sequence[Path | None]) -> list[list[float]]:
    """`accuracy_at` of the same recipe on other seeds."""
    found = []
    for other in others:
        if other is None:
            raise CheckpointError(f"every repeat of {folder} needs a folder: as many baselines as runs")
        again = _recipe(other)
        changed = [key for key in recipe if {**recipe[key], "seed": 0} != {**again.get(key, {}), "seed": 0}]
        if changed or again["train"]["seed"] == recipe["train"]["seed"]:
            what = f"in {changed[0]!r}" if changed else "not at all"
            raise CheckpointError(
                f"{other} must differ from {folder} in its training seed alone; it differs {what}"
            )
        found.append(_need(other / "evaluation.json")["accuracy_at"])
    return found


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); {_MAKE[path.name]} writes it anew"
        ) from error


def _need(path: Path) -> dict[str, Any]:
    if (values := _json(path)) is None:
        raise CheckpointError(
            f"{path.parent} holds no finished run: {path.name} is missing. Let `rheobase train` finish first"
        )
    return values


def _recipe(folder: Path) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _names(recipes: list[dict[str, Any]]) -> list[str]:
    """What each arm is called: its objective in words, made different where two are alike."""
    words = {"cross_entropy": "baseline", "stable_spike": "Stable Spike", "tet": "TET"}
    names = [words.get(recipe["objective"]["name"], recipe["objective"]["name"]) for recipe in recipes]
    return names if len(set(names)) == len(names) else [f"{name} {i + 1}" for i, name in enumerate(names)]


def _facts(
    recipe: dict[str, Any], result: dict[str, Any], program: dict[str, Any] | None, command: str | None
) -> list[tuple[str, str]]:
    environment = result["environment"]
    samples, train = result["samples"], recipe["train"]
    facts = [
        (
            "Data",
            f"{result['data']}, {samples['train']} / {samples['validation']} / {samples['test']} samples "
            "for training / validation / test",
        ),
        ("Split", f"{recipe['data']['split']}, sha256 {result['split_hash'][:16]}…"),
        ("Frames", f"T = {recipe['data']['T']}, equal {recipe['data']['binning']}"),
        ("Model", f"{recipe['model']['name']}, {result['parameters']:,} parameters"),
        (
            "Training",
            f"{train['epochs']} epochs, batch {train['batch_size']}, {recipe['optimiser']['name']} at "
            f"{recipe['optimiser']['lr']}, last epoch, {result['seconds']:.0f} s",
        ),
        ("Seed", str(train["seed"])),
        ("Machine", f"{environment['processor']}, {environment['threads']} threads"),
        (
            "Versions",
            f"rheobase {environment['rheobase']}, torch {environment['torch']}, Python {environment['python']}",
        ),
        ("Commit", str(environment["commit"] or "not a checkout")),
    ]
    if program is not None and "ticks" in program:
        facts.append(("Program", _on_a_grid(program)))
    elif program is not None:
        facts.append(("Program", f"sha256 {program['digest'][:16]}…"))
    if command is not None:
        facts.append(("Command", command))
    return facts


def _on_a_grid(program: dict[str, Any]) -> str:
    """The program of a spike-time network in words."""
    work = ", ".join(f"{count:,.0f} {name}" for name, count in program["work_per_sample"].items())
    return (
        f"spike times of {program['ticks']} ticks a unit, {size(program['bytes_weights'])} of weights, "
        f"{size(program['bytes_state'])} of state; equal to the reference on {program['equal']} of "
        f"{program['samples']} samples; a sample takes {work}"
    )


def _arm(name: str, folder: Path, repeats: list[list[float]]) -> Arm:
    from rheobase.training.logs import read_metrics

    found = _need(folder / "evaluation.json")
    inconsistency = found["temporal_inconsistency"]
    return Arm(
        name=name,
        history=read_metrics(folder / "metrics.csv"),
        accuracy=found["accuracy"],
        accuracy_at=found["accuracy_at"],
        repeats=repeats,
        rates=found["rates"],
        confusion=found["confusion"],
        spikes_per_sample=found["spikes_per_sample"],
        temporal_inconsistency=float("nan") if inconsistency is None else inconsistency,
        robustness={
            kind: [(level, accuracy) for level, accuracy in curve]
            for kind, curve in found["robustness"].items()
        },
    )


def _states(
    evaluation: dict[str, Any], compressed: dict[str, Any] | None, program: dict[str, Any] | None
) -> list[State]:
    states = [State("float", evaluation["accuracy"], "float32 weights, as trained")]
    if compressed is not None:
        notes = _state_notes(compressed["config"])
        states += [
            State(name, found["accuracy"], notes[name]) for name, found in compressed["states"].items()
        ]
    if program is not None:
        states.append(State("program", program["accuracy"], "C99, compiled and run on this machine"))
    return states


def _state_notes(config: dict[str, Any]) -> dict[str, str]:
    """What each state of a compressed model is, in words."""
    pruning = config["prune"] or {"ratio": 0, "score": ""}
    return {
        "quantised": f"{config['bits']}-bit weights, fine-tuned",
        "pruned": f"{100 * pruning['ratio']:g} % of the channels removed by {pruning['score']}, fine-tuned",
        "rounded": "trained through the integer roundings",
        "hardened": "integer weights, thresholds, biases, membranes",
    }


def _program(found: dict[str, Any] | None, usages: dict[str, float]) -> ProgramFacts | None:
    if found is None or "ticks" in found:
        return None
    names = (
        "bytes_weights",
        "bytes_state",
        "bytes_code",
        "float_bytes",
        "synops_per_sample",
        "dense_macs_per_sample",
        "samples",
        "equal",
        "digest",
    )
    return ProgramFacts(
        layers=[LayerCost(**layer, code_usage=usages.get(layer["name"])) for layer in found["layers"]],
        **{name: found[name] for name in names},
        accuracy_at=found.get("accuracy_at", []),
        exits=[(point["mean_steps"], point["accuracy"]) for point in found.get("exit_curve", [])],
        exit=None if not (chosen := found.get("early_exit")) else (chosen["mean_steps"], chosen["accuracy"]),
    )


def _load(folder: Path) -> dict[str, Any]:
    path = folder / "samples.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _samples(names: list[str], folders: list[Path]) -> Samples | None:
    arrays = {name: found for name, folder in zip(names, folders, strict=True) if (found := _load(folder))}
    if not arrays:
        return None
    first = next(iter(arrays.values()))
    T = first["logits"].shape[1]
    steps = np.arange(1, T + 1)[None, :, None]
    frames = first["frames"]
    return Samples(
        frames=frames if frames.shape[1] == T else frames.max(1, keepdims=True),  # logits of one step for all
        labels=first["labels"],
        logits_at={name: found["logits"].cumsum(1) / steps for name, found in arrays.items()},
    )


def _raster(folders: list[Path], classes: list[str]) -> Raster | None:
    found = [_layers(_load(folder)) for folder in folders]
    if not found[-1]:
        return None
    label = _load(folders[-1])["labels"][0]
    return Raster(
        layers=found[-1], label=str(classes[int(label)]), baseline=found[0] if len(found) > 1 else {}
    )


def _layers(arrays: dict[str, Any]) -> dict[str, Any]:
    return {str(name): arrays[f"raster_{i}"] for i, name in enumerate(arrays.get("raster_layers", []))}
