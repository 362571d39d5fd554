import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from rheobase.errors import CheckpointError, DataError, RecipeError
from rheobase.training import (
    Callback,
    DivergenceError,
    dump_recipe,
    load_checkpoint,
    open_run,
    parse_recipe,
    read_metrics,
    train,
)

# Trains the recipe `argv[1]` into `argv[2]` and dies as `argv[3]` says.
VICTIM = """
import os, signal, sys
from rheobase.training import Callback, checkpoint, load_recipe, progress, train

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Die(Callback):
    def epoch_ended(self, state):
        if state.epoch == 2:
            if sys.argv[3] == "after an epoch":
                die()
            elif sys.argv[3] == "between the files":
                checkpoint.atomic_write_json = die
            else:
                progress.TrainingProgress.step = die

train(load_recipe(sys.argv[1]), sys.argv[2], quiet=True, callbacks=[Die()])
"""


def numbers(run):
    return [{**row, "seconds": 0} for row in run.metrics]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, events):
    """A run that nothing interrupted, and its recipe."""
    values = {
        "data": {"name": "folder", "folder": str(events), "T": 3},
        "model": {"name": "vgg_small", "width": 0.25},
        "objective": {"name": "stable_spike"},
        "optimiser": {"lr": 0.05},
        "train": {"epochs": 4, "batch_size": 16, "threads": 1},
        "augment": {"shift": 1},
    }
    return train(parse_recipe(values), tmp_path_factory.mktemp("runs") / "whole", quiet=True)


def test_what_a_run_leaves(whole):
    names = {path.name for path in whole.folder.iterdir()}
    assert names == {
        "recipe.yaml",
        "metrics.csv",
        "checkpoint.json",
        "checkpoint-4.safetensors",
        "result.json",
        "evaluation.json",
        "samples.npz",
    }
    run = open_run(whole.folder)
    assert run.recipe == whole.recipe
    assert run.epoch == 4
    assert run.result["final"] == run.metrics[-1]
    assert run.result["environment"]["threads"] == 1
    assert run.evaluation.accuracy == run.result["test_accuracy"]
    data = run.dataset()
    assert run.evaluate(data=data, model=run.model(data)) == run.evaluation
    found = run.evaluate(robustness=True)
    assert run.evaluation == found
    assert found.robustness["drop"][0] == (0.0, found.accuracy)


@pytest.mark.parametrize("when", ["after an epoch", "between the files", "within an epoch"])
def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path, when):
    (tmp_path / "r.yaml").write_text(dump_recipe(whole.recipe))
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, tmp_path / "r.yaml", folder, when], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert open_run(folder).epoch == 2
    assert open_run(folder).result == {}
    run = train(whole.recipe, folder, resume=True, quiet=True)
    assert numbers(run) == numbers(whole)
    one, two = load_checkpoint(folder), load_checkpoint(whole.folder)
    for name, tensor in two.model.items():
        assert torch.equal(one.model[name], tensor), name
    assert one.optimiser["param_groups"] == two.optimiser["param_groups"]
    assert not list(folder.glob(".*"))


def test_a_finished_run_resumes_to_itself(whole):
    before = (whole.folder / "metrics.csv").read_bytes()
    train(whole.recipe, whole.folder, resume=True, quiet=True)
    assert (whole.folder / "metrics.csv").read_bytes() == before


def test_resume_starts_where_there_is_nothing(recipe, tmp_path):
    short = parse_recipe(recipe.model_dump(), ["train.epochs=1"])
    assert train(short, tmp_path / "new", resume=True, quiet=True, evaluate=False).epoch == 1
    assert not (tmp_path / "new" / "evaluation.json").exists()


def test_another_recipe_is_refused(whole):
    changed = parse_recipe(
        whole.recipe.model_dump(), ["optimiser.lr=0.2", "train.epochs=9", "compress.bits=2"]
    )
    with pytest.raises(CheckpointError) as caught:
        train(changed, whole.folder, resume=True, quiet=True)
    assert "optimiser.lr was 0.05 and is 0.2; train.epochs was 4 and is 9" in str(caught.value)
    assert "compress" not in str(caught.value)


def test_a_full_folder_is_refused(whole, recipe, tmp_path):
    with pytest.raises(CheckpointError, match=r"already holds a run: resume it"):
        train(whole.recipe, whole.folder, quiet=True)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(CheckpointError, match="already holds 1 file"):
        train(recipe, tmp_path, quiet=True)
    with pytest.raises(CheckpointError, match=r"no run to resume"):
        train(recipe, tmp_path, resume=True, quiet=True)


def test_a_folder_that_cannot_be_written(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match="cannot be written"):
            train(recipe, folder, quiet=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(recipe, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CheckpointError, match="cannot be written"):
        train(recipe, tmp_path, quiet=True)


def test_one_step_and_stable_spike(recipe, tmp_path):
    one = parse_recipe(recipe.model_dump(), ["data.T=1"])
    with pytest.raises(DataError, match="T >= 2"):
        train(one, tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").iterdir())


def test_divergence_keeps_the_epochs_before(recipe, tmp_path):
    class Break(Callback):
        def epoch_ended(self, state):
            if state.epoch == 2:
                with torch.no_grad():
                    next(state.model.head.parameters()).fill_(float("nan"))

    with pytest.raises(DivergenceError, match="epoch 3, step 1"):
        train(recipe, tmp_path / "run", quiet=True, callbacks=[Break()])
    run = open_run(tmp_path / "run")
    assert run.epoch == len(run.metrics) == 2
    assert run.model() is not None
    assert run.evaluation is None


def test_weights_that_broke_in_the_last_step_are_not_kept(recipe, tmp_path):
    class Break(Callback):
        def started(self, state):
            state.optimiser.register_step_post_hook(self.spoil)
            self.left, self.model = 3, state.model

        def spoil(self, *_):
            self.left -= 1
            if not self.left:
                with torch.no_grad():
                    next(self.model.head.parameters()).fill_(float("inf"))

    with pytest.raises((CheckpointError, DivergenceError)):
        train(recipe, tmp_path / "run", quiet=True, callbacks=[Break()])


def test_tensorboard(recipe, tmp_path):
    on = parse_recipe(recipe.model_dump(), ["train.tensorboard=true", "train.epochs=1"])
    train(on, tmp_path / "run", quiet=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_tensorboard_that_is_not_installed(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    on = parse_recipe(recipe.model_dump(), ["train.tensorboard=true"])
    with pytest.raises(RecipeError, match=r"pip install 'rheobase\[tensorboard\]'"):
        train(on, tmp_path / "run", quiet=True)


def test_damaged_folders(tmp_path, whole):
    with pytest.raises(CheckpointError, match="is no run folder"):
        open_run(tmp_path)
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,train_loss\n1,abc\n")
    with pytest.raises(CheckpointError, match="not a metrics file"):
        read_metrics(path)
    path.write_text("epoch,train_loss\n1,0.1\n2,\n3,0.3\n")
    assert read_metrics(path, up_to=2) == [{"epoch": 1, "train_loss": 0.1}, {"epoch": 2}]


def test_result_is_json(whole):
    result = json.loads((whole.folder / "result.json").read_text())
    assert {
        "final",
        "test_accuracy",
        "seconds",
        "seeds",
        "environment",
        "split_hash",
        "warnings",
    } <= result.keys()
