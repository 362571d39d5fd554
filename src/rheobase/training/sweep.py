"""Sweeps: one recipe trained in several arms, over a grid of values and over seeds; each cell is a run folder.

A sweep file is YAML:

    recipe: ../recipes/motion_baseline.yaml   # relative to the sweep file
    arms:                                     # name: overrides; the first is the one that others are compared with
      baseline: []
      stable_spike: [objective.name=stable_spike]
    grid: {data.T: [4, 2]}                    # every combination
    seeds: [0, 1, 2]

Cells that are finished are not trained again and cells that were killed go on, so the same command resumes a
sweep. joblib shares the cells out over processes of this machine, or over a Ray cluster.
"""

import fcntl
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import yaml
from pydantic import Field, ValidationError

from rheobase.config import Config
from rheobase.datasets import load_dataset
from rheobase.errors import RecipeError, RheobaseError
from rheobase.training.arithmetic import settle_recipe
from rheobase.training.callback import Callback, State
from rheobase.training.loop import train
from rheobase.training.recipe import Recipe, load_recipe
from rheobase.training.recipe_errors import explain
from rheobase.training.run import RECIPE, Run, check_folder, open_run

Value = bool | int | float | str | None


class Sweep(Config):
    """A grid of training runs over one recipe: arms x grid x seeds."""

    recipe: Path
    arms: dict[str, list[str]] = Field(default={"run": []}, min_length=1)
    grid: dict[str, list[Value]] = {}
    seeds: list[int] = Field(default=[0], min_length=1)


@dataclass(frozen=True)
class Cell:
    """One training run of a sweep."""

    arm: str
    values: dict[str, Value]  # its place in the grid
    recipe: Recipe

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return self.recipe.train.seed

    @property
    def name(self) -> str:
        """Name of its run folder: arm, place in the grid, seed."""
        parts = [self.arm, *(f"{key}={value}" for key, value in self.values.items()), f"seed{self.seed}"]
        return re.sub(r"[^\w.=+-]", "_", "-".join(parts))


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: with a finished run, or with an error."""

    cell: Cell
    run: Run
    error: str | None = None


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> list[Cell]:
    """Cells of a sweep file; `overrides` change its recipe in every cell.

    Raises:
        RecipeError: the file cannot be read, a key is unknown, a recipe is not valid, or two cells are alike.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RecipeError(f"sweep {path} cannot be read: {reason}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"sweep {path} must hold 'recipe:' and 'arms:', got {type(values).__name__}")
    try:
        sweep = Sweep.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, Sweep, f"sweep {path}", {})) from error
    return cells(sweep.model_copy(update={"recipe": path.parent / sweep.recipe}), overrides)


def cells(sweep: Sweep, overrides: Sequence[str] = ()) -> list[Cell]:
    """Every combination of arm, grid values and seed, seeds outermost so that early cells can be paired.

    Raises:
        RecipeError: a recipe is not valid, or two cells would share a folder.
    """
    found = []
    for seed in sweep.seeds:
        for place in itertools.product(*sweep.grid.values()):
            values = dict(zip(sweep.grid, place, strict=True))
            for arm, changes in sweep.arms.items():
                chosen = [*overrides, *changes, *(f"{key}={_yaml(value)}" for key, value in values.items())]
                found.append(Cell(arm, values, load_recipe(sweep.recipe, [*chosen, f"train.seed={seed}"])))
    names = [cell.name for cell in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"cells of a sweep must differ, but {twice[0]!r} occurs more than once")
    return found


def run_sweep(
    todo: Sequence[Cell], folder: str | Path, *, jobs: int | None = None, ray: str | None = None
) -> Iterator[Outcome]:
    """Train every cell into `folder/<name>`; outcomes come as cells finish. A failing cell does not stop the others.

    `jobs` processes share the cores of this machine (default: one for each core). With `ray` (an address, or
    "auto") the cells go to a Ray cluster instead, whose machines must see `folder` and the data.

    Raises:
        CheckpointError: a run folder cannot be written or holds a run of another recipe; before any training.
        RecipeError: `ray` is asked for and not installed, or no cluster answers.
    """
    folder = Path(folder)
    for cell in todo:
        target = folder / cell.name
        check_folder(target, settle_recipe(cell.recipe, target / RECIPE), resume=True)
    for data in {cell.recipe.data.model_dump_json(): cell.recipe.data for cell in todo}.values():
        load_dataset(data)  # once: the workers then find it in the cache
    if ray is not None:
        yield from _on_ray(todo, folder, ray)
    else:
        yield from _on_this_machine(todo, folder, jobs)


def finished(folder: Path) -> bool:
    """Whether a folder holds a run that was trained and evaluated to the end."""
    return (
        (folder / RECIPE).is_file() and bool((run := open_run(folder)).result) and run.evaluation is not None
    )


def _train_cell(cell: Cell, folder: Path) -> Outcome:
    try:
        with _alone(folder):
            if finished(folder):
                return Outcome(cell, open_run(folder))
            return Outcome(cell, train(cell.recipe, folder, resume=True, quiet=True, callbacks=[Orphan()]))
    except (RheobaseError, OSError) as error:
        return Outcome(cell, Run(folder, cell.recipe), str(error))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works on the cell: one that outlived a killed sweep ends with its epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Orphan(Callback):
    """Ends a worker after its epoch when the sweep that started it is gone."""

    def __init__(self) -> None:
        self.parent = os.getppid()

    def epoch_ended(self, state: State) -> None:
        """Exit if the parent has changed; the checkpoint of this epoch is written."""
        if os.getppid() != self.parent:
            sys.exit("the sweep that started this worker has ended")


def _on_this_machine(todo: Sequence[Cell], folder: Path, jobs: int | None) -> Iterator[Outcome]:
    """Cells on processes that share the cores evenly; a single job runs in this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs or cores, max(len(todo), 1))
    settings: dict[str, Any] = {"backend": "sequential", "n_jobs": 1}
    if jobs > 1:
        settings = {"backend": "loky", "n_jobs": jobs, "inner_max_num_threads": max(cores // jobs, 1)}
    with joblib.parallel_config(**settings):
        work = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        yield from work(joblib.delayed(_train_cell)(cell, folder / cell.name) for cell in todo)


def _on_ray(todo: Sequence[Cell], folder: Path, address: str) -> Iterator[Outcome]:
    """Cells as tasks of a Ray cluster, one core each."""
    try:
        import ray
    except ImportError as error:
        raise RecipeError("a sweep on a Ray cluster needs Ray: pip install 'rheobase[ray]'") from error
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"no Ray cluster at {address!r}: {error}; start one with `ray start --head`"
        ) from error
    task = ray.remote(num_cpus=1)(_train_cell)
    pending = [task.remote(cell, (folder / cell.name).absolute()) for cell in todo]
    while pending:
        done, pending = ray.wait(pending)
        yield ray.get(done[0])


def _yaml(value: Value) -> str:
    return yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
