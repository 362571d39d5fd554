"""Sweeps: cells, folders, resuming, failures, and equality with single runs."""

import json

import pytest
import yaml

from rheobase.errors import CheckpointError, RecipeError
from rheobase.training import Cell, cells, load_checkpoint, load_sweep, run_sweep, train
from rheobase.training.sweep import Orphan, Sweep, finished


@pytest.fixture
def sweep(tmp_path, values):
    """File of a sweep of 2 arms x 1 grid key of 2 values x 2 seeds, one epoch each."""
    values["train"]["epochs"] = 1
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    grid = {
        "recipe": "recipe.yaml",
        "arms": {"baseline": ["objective.name=cross_entropy"], "stable spike": []},
        "grid": {"data.T": [2, 3]},
        "seeds": [0, 1],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(grid))
    return path


def test_every_combination_is_a_cell(sweep):
    found = load_sweep(sweep, ["model.width=0.5"])
    assert len(found) == 8
    assert found[0].name == "baseline-data.T=2-seed0"
    assert found[1].name == "stable_spike-data.T=2-seed0"
    assert {(c.arm, c.recipe.data.T, c.seed) for c in found} == {
        (arm, T, seed) for arm in ("baseline", "stable spike") for T in (2, 3) for seed in (0, 1)
    }
    assert all(c.recipe.model.width == 0.5 for c in found)
    assert {c.recipe.objective.name for c in found if c.arm == "baseline"} == {"cross_entropy"}


def test_a_sweep_equals_its_single_runs_and_goes_on(sweep, tmp_path):
    todo = [cell for cell in load_sweep(sweep) if cell.recipe.data.T == 2]
    alone = train(todo[1].recipe, tmp_path / "alone", quiet=True)
    out = tmp_path / "out"
    first = list(run_sweep(todo[:2], out, jobs=1))
    assert [outcome.cell.name for outcome in first] == [cell.name for cell in todo[:2]]
    assert first[1].run.evaluation == alone.evaluation
    stamp = (out / todo[0].name / "result.json").stat().st_mtime_ns
    everything = list(run_sweep(todo, out, jobs=2))
    assert {outcome.cell.name for outcome in everything} == {cell.name for cell in todo}
    assert all(outcome.error is None and finished(out / outcome.cell.name) for outcome in everything)
    assert (out / todo[0].name / "result.json").stat().st_mtime_ns == stamp, "finished cells are left alone"


def test_a_killed_cell_goes_on(sweep, tmp_path):
    cell = next(c for c in load_sweep(sweep, ["train.epochs=2"]))

    class KilledError(BaseException):
        pass

    class Kill:
        def started(self, state):
            pass

        def epoch_ended(self, state):
            raise KilledError

    out = tmp_path / "out"
    with pytest.raises(KilledError):
        train(cell.recipe, out / cell.name, quiet=True, callbacks=[Kill()])
    assert not finished(out / cell.name)
    whole = train(cell.recipe, tmp_path / "whole", quiet=True)
    (outcome,) = run_sweep([cell], out, jobs=1)
    assert outcome.run.evaluation == whole.evaluation
    assert load_checkpoint(out / cell.name).epoch == 2


def test_a_failing_cell_does_not_stop_the_others(sweep, tmp_path):
    good, bad, *_ = load_sweep(sweep)
    optimiser = bad.recipe.optimiser.model_copy(update={"lr": 1e30})
    bad = Cell("diverges", bad.values, bad.recipe.model_copy(update={"optimiser": optimiser}))
    found = {o.cell.arm: o for o in run_sweep([bad, good], tmp_path / "out", jobs=1)}
    assert "diverged" in found["diverges"].error
    assert found["baseline"].error is None


def test_another_recipe_in_the_folder_is_refused_before_training(sweep, tmp_path):
    first, second, *_ = load_sweep(sweep)
    list(run_sweep([first], tmp_path / "out", jobs=1))
    changed = load_sweep(sweep, ["optimiser.lr=0.01"])
    with pytest.raises(CheckpointError, match=r"optimiser\.lr was"):
        list(run_sweep([changed[1], changed[0]], tmp_path / "out", jobs=1))
    assert not (tmp_path / "out" / second.name / "result.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"armz": {}}, "armz"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [0, 0]}, "more than once"),
        ({"grid": {"data.tt": [1]}}, "data.tt"),
        ({"recipe": "missing.yaml"}, "missing.yaml"),
    ],
)
def test_what_is_wrong_is_named(sweep, change, message):
    sweep.write_text(json.dumps({**yaml.safe_load(sweep.read_text()), **change}))
    with pytest.raises(RecipeError, match=message):
        load_sweep(sweep)


def test_not_a_sweep(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load_sweep(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(RecipeError, match="must hold"):
        load_sweep(tmp_path / "list.yaml")


def test_ray_is_optional(sweep, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is an extra")
    (cell, *_) = load_sweep(sweep)
    try:
        (outcome,) = run_sweep([cell], tmp_path / "out", ray="local")
    finally:
        ray.shutdown()
    assert outcome.error is None
    assert finished(tmp_path / "out" / cell.name)


def test_cells_from_python(sweep):
    found = cells(Sweep(recipe=sweep.parent / "recipe.yaml", seeds=[3]))
    assert [c.name for c in found] == ["run-seed3"]


def test_a_worker_that_outlives_its_sweep_ends_with_its_epoch(sweep, tmp_path, monkeypatch):
    cell = next(c for c in load_sweep(sweep, ["train.epochs=3"]))
    orphan = Orphan()
    orphan.parent = -1  # as if the process that started it had been another
    folder = tmp_path / "out" / cell.name
    with pytest.raises(SystemExit, match="has ended"):
        train(cell.recipe, folder, quiet=True, callbacks=[orphan])
    assert load_checkpoint(folder).epoch == 1
    (outcome,) = run_sweep([cell], tmp_path / "out", jobs=1)
    assert outcome.error is None
    assert outcome.run.epoch == 3
