"""Run folders: what is in them, opening one, and what a finished run writes beside its checkpoint."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import rheobase
from rheobase.compression import quantise_
from rheobase.datasets import DataSet, load_dataset
from rheobase.errors import CheckpointError
from rheobase.files import atomic_write, atomic_write_json
from rheobase.models import SpikingModel, create_model
from rheobase.models.gaze import saccadic_neurons
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.training.checkpoint import POINTER, has_checkpoint, load_checkpoint, load_model_tensors
from rheobase.training.evaluation import Evaluation, collect_samples, evaluate, save_arrays
from rheobase.training.gaze import collect_gaze, mismatches
from rheobase.training.logs import Metrics, read_metrics
from rheobase.training.recipe import Recipe, dump_recipe, load_recipe
from rheobase.training.spike_times import collect_spike_times, spikes_per_sample

RECIPE, METRICS, RESULT = "recipe.yaml", "metrics.csv", "result.json"
EVALUATION, SAMPLES = "evaluation.json", "samples.npz"
SPIKE_TIMES, GAZE = "spike_times.npz", "gaze.npz"

# What may change between a run and its resumption: it has no part in the numbers of training.
FREE = (
    *("compress", "data.root", "data.cache"),
    *(f"train.{key}" for key in ("tensorboard", "threads", "workers", "strategy", "recompute")),
)


@dataclass(frozen=True)
class Run:
    """A run folder: its recipe, and the rest read when asked for."""

    folder: Path
    recipe: Recipe

    @property
    def metrics(self) -> list[Metrics]:
        """One dictionary an epoch (see `rheobase.training.logs.Metrics`)."""
        return read_metrics(self.folder / METRICS)

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds: final metrics, environment, seeds. Empty before training has finished."""
        return _read_json(self.folder / RESULT) or {}

    @property
    def evaluation(self) -> Evaluation | None:
        """What the last `evaluate` found, None before."""
        values = _read_json(self.folder / EVALUATION)
        if values is None:
            return None
        known = {
            name: values[name] for name in (field.name for field in fields(Evaluation)) if name in values
        }
        known["robustness"] = {
            kind: [tuple(pair) for pair in curve] for kind, curve in values["robustness"].items()
        }
        return Evaluation(**known)

    @property
    def epoch(self) -> int:
        """Finished epochs in the checkpoint; 0 before the first."""
        return load_checkpoint(self.folder).epoch if has_checkpoint(self.folder) else 0

    def dataset(self) -> DataSet:
        """The data set of the recipe."""
        return load_dataset(self.recipe.data)

    def model(self, data: DataSet | None = None) -> SpikingModel:
        """The trained model, in evaluation mode; `data` saves loading it again.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another model.
        """
        model = build_model(self.recipe, data or self.dataset())
        load_model_tensors(model, load_checkpoint(self.folder).model, f"the checkpoint of {self.folder}")
        return model.eval()

    def evaluate(
        self,
        *,
        robustness: bool = False,
        noise: bool = False,
        samples: int = 8,
        data: DataSet | None = None,
        model: SpikingModel | None = None,
    ) -> Evaluation:
        """Evaluate on the test part; write `evaluation.json`, and `samples.npz` with that many recordings.

        Of a spike-time network also `spike_times.npz`, of one with saccadic attention `gaze.npz`.
        """
        data = data or self.dataset()
        model = model or self.model(data)
        batch_size = self.recipe.train.batch_size
        found = evaluate(model, data.test, batch_size=batch_size, robustness=robustness, noise=noise)
        if isinstance(model, SpikeTimeClassifier):
            times = collect_spike_times(model, data.test, batch_size=batch_size)
            save_arrays(self.folder / SPIKE_TIMES, times)
            found = replace(found, spikes_per_sample=spikes_per_sample(times))
        if saccadic_neurons(model):
            looks = collect_gaze(model, data.test, batch_size=batch_size)
            save_arrays(self.folder / GAZE, looks)
            found = replace(found, mismatch=mismatches(looks))
        atomic_write_json(
            self.folder / EVALUATION, {**found.to_json(), "part": "test", "split_hash": data.split_hash}
        )
        if samples:
            save_arrays(self.folder / SAMPLES, collect_samples(model, data.test, samples))
        return found


def open_run(folder: str | Path) -> Run:
    """The run in a folder, finished or not.

    Raises:
        CheckpointError: the folder holds no run.
        RecipeError: its recipe cannot be read.
    """
    folder = Path(folder)
    if not (folder / RECIPE).is_file():
        raise CheckpointError(
            f"{folder} is no run folder: it has no {RECIPE}. Train one with `rheobase train`"
        )
    return Run(folder, load_recipe(folder / RECIPE))


def build_model(recipe: Recipe, data: DataSet) -> SpikingModel:
    """The untrained model of a recipe, of the size that the data asks for, quantised where it is trained so.

    Raises:
        LatticeError: a pattern of `model.quantise` matches no layer.
    """
    chosen = recipe.model
    model = create_model(
        chosen.name,
        num_classes=len(data.classes),
        in_channels=data.train.frames.shape[2],
        input_size=data.sensor,
        neuron=chosen.neuron,
        width=chosen.width,
        head=chosen.head,
        input_unit=data.input_unit,
        T=data.T,
        options=chosen.options,
    )
    if chosen.quantise is not None:
        quantise_(model, chosen.quantise)
    return model


def check_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make sure, before any work is done, that a run can be written to `folder`; make it if need be.

    Raises:
        CheckpointError: it cannot be written; it holds something and `resume` is off; with `resume`, it holds
            something that is no run, or a run of another recipe (the message names the keys that differ).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise CheckpointError(
            f"run folder {folder} cannot be written: {error.strerror}; choose another"
        ) from error
    if not held:
        return
    if not resume:
        what = "a run" if RECIPE in held else f"{len(held)} files"
        raise CheckpointError(
            f"run folder {folder} already holds {what}: resume it (--resume), or choose another folder"
        )
    if RECIPE not in held:
        raise CheckpointError(
            f"{folder} is not empty and holds no run to resume ({RECIPE} is missing); choose another folder"
        )
    before, now = (
        _flat(load_recipe(folder / RECIPE).model_dump(mode="json")),
        _flat(recipe.model_dump(mode="json")),
    )
    differing = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(FREE)
    ]
    if differing and (POINTER in held or METRICS in held):
        raise CheckpointError(
            f"run folder {folder} was trained with another recipe: {'; '.join(differing)}. "
            "Resume with the same recipe, or choose another folder"
        )


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write `recipe.yaml` with every default spelled out."""
    atomic_write(folder / RECIPE, dump_recipe(recipe))


def write_result(
    run: Run,
    history: list[Metrics],
    *,
    data: DataSet,
    model: torch.nn.Module,
    warnings: list[str],
    accuracy: float | None,
) -> None:
    """Write `result.json`: last epoch's metrics, test accuracy if it was measured, environment and seeds."""
    recipe = run.recipe
    result: dict[str, Any] = {
        "epochs": recipe.train.epochs,
        "final": history[-1],
        "test_accuracy": accuracy,
        "seconds": sum(row["seconds"] for row in history),
        "parameters": sum(p.numel() for p in model.parameters()),
        "samples": {part: len(getattr(data, part)) for part in ("train", "validation", "test")},
        "data": data.name,
        "classes": list(data.classes),
        "split_hash": data.split_hash,
        "seeds": {"train": recipe.train.seed, "data": recipe.data.seed},
        "warnings": warnings,
        "environment": environment(),
    }
    atomic_write_json(run.folder / RESULT, result)


def environment() -> dict[str, Any]:
    """Versions, threads and machine that a result was made with."""
    versions = {
        name: _version(name) for name in ("rheobase", "torch", "numpy", "lightning-fabric", "safetensors")
    }
    return {
        "python": platform.python_version(),
        **versions,
        "platform": f"{sys.platform} {platform.machine()}",
        "processor": _processor(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Commit of the working tree that this package is imported from, with `+changes` if it has any."""
    folder = Path(rheobase.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", "__init__.py"
        )  # a virtual environment inside some repository is not ours
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
