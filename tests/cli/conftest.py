"""The command line in this process, and one tiny run that the tests share."""

import contextlib
import io
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from rheobase.cli import main

# Small, yet every layer fires: 120 recordings in batches of 8 are enough for batch-norm to settle.
RECIPE = """\
data: {name: digits-dvs, T: 4, train_size: 120}
model: {name: vgg_small, width: 0.5}
optimiser: {lr: 0.05}
train: {epochs: 2, batch_size: 8, threads: 1}
compress: {bits: 4, epochs: 1}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def command(*arguments) -> Done:
    """Run `rheobase ARGUMENTS` in this process, by the entry point that a shell calls."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rheobase", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.run()
            except SystemExit as end:
                code = end.code or 0
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """A cache of its own, one thread, no data root."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHEOBASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("RHEOBASE_DATA", raising=False)
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def rheobase():
    return command


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, recipe):
    """A trained run folder that no test changes, and what `rheobase train` said."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = command("train", recipe, "--out", folder, "--json", "-")
    assert done.code == 0, done.err
    return folder, done


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


@pytest.fixture(scope="session")
def shipped(tmp_path_factory, trained):
    """A copy of the trained run taken through `eval`, `compress` and `export`; what each command said."""
    folder = Path(shutil.copytree(trained[0], tmp_path_factory.mktemp("shipped") / "run"))
    commands = {
        "eval": ("eval", folder, "--robustness", "--json", "-"),
        "compress": ("compress", folder, "--bits", "4", "--epochs", "1", "--json", "-"),
        "export": ("export", folder, "--to", "c", "--json", folder / "export.json"),
    }
    said = {}
    for name, arguments in commands.items():
        said[name] = command(*arguments)
        assert said[name].code == 0, said[name].err
    return folder, said
