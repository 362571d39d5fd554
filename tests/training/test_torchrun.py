"""`torchrun -m rheobase train`: one run folder, resumed to the same numbers, ended together."""

import os
import re
import socket
import subprocess
import sys

import pytest
import torch

from rheobase.errors import RecipeError
from rheobase.training import dump_recipe, load_checkpoint, open_run, parse_recipe, train

# A process that trains `argv[1]` into `argv[2]`; rank 1 fails after epoch 1, as `argv[3]` says.
VICTIM = """
import os, sys
from rheobase.training import Callback, load_recipe, loop, train

class Fail(Callback):
    def epoch_ended(self, state):
        if os.environ["RANK"] == "1":
            if sys.argv[3] == "dies":
                os._exit(3)
            raise RuntimeError("out of luck")

try:
    train(load_recipe(sys.argv[1]), sys.argv[2], quiet=True, callbacks=[Fail()])
except loop.RheobaseError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment
    )


def test_one_folder_written_by_one_process(recipe, tmp_path):
    """Few small steps: float32 rounding is all that differs from a run of one process."""
    short = parse_recipe(recipe.model_dump(), ["train.epochs=2", "optimiser.lr=0.001", "train.batch_size=40"])
    (tmp_path / "r.yaml").write_text(dump_recipe(short))
    command = ["-m", "rheobase", "train", tmp_path / "r.yaml", "--out", tmp_path / "two", "--quiet"]
    done = torchrun(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert not list((tmp_path / "two").glob(".*"))
    assert open_run(tmp_path / "two").epoch == 2
    assert open_run(tmp_path / "two").evaluation is not None

    one = train(short, tmp_path / "one", quiet=True)
    a, b = load_checkpoint(one.folder), load_checkpoint(tmp_path / "two")
    for name, tensor in a.model.items():
        torch.testing.assert_close(b.model[name], tensor, rtol=1e-4, atol=1e-5, msg=name)

    refused = torchrun(*command)
    assert refused.returncode != 0
    assert "already holds a run: resume it" in refused.stderr
    assert "process 0 stopped: " in refused.stderr


def test_fsdp_without_cuda(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sharded = parse_recipe(recipe.model_dump(), ["train.strategy=fsdp"])
    with pytest.raises(RecipeError, match=r"fsdp needs CUDA.*train\.strategy=ddp"):
        train(sharded, tmp_path / "run", quiet=True)


def test_resumed_after_the_first_epoch(recipe, tmp_path):
    """Killed between epochs, resumed by two processes: the numbers of two processes uninterrupted."""
    longer = parse_recipe(recipe.model_dump(), ["train.epochs=2"])
    (tmp_path / "r.yaml").write_text(dump_recipe(longer))
    victim = tmp_path / "victim.py"
    victim.write_text(VICTIM)
    assert torchrun(victim, tmp_path / "r.yaml", tmp_path / "run", "dies").returncode != 0
    assert open_run(tmp_path / "run").epoch == 1
    for folder, flags in (("run", ["--resume"]), ("whole", [])):
        command = [
            "-m",
            "rheobase",
            "train",
            tmp_path / "r.yaml",
            "--out",
            tmp_path / folder,
            "--quiet",
            *flags,
        ]
        done = torchrun(*command)
        assert done.returncode == 0, done.stderr
    a, b = load_checkpoint(tmp_path / "run"), load_checkpoint(tmp_path / "whole")
    for name, tensor in a.model.items():
        assert torch.equal(tensor, b.model[name]), name
    for index, entries in b.optimiser["state"].items():
        assert torch.equal(a.optimiser["state"][index]["momentum_buffer"], entries["momentum_buffer"])


@pytest.mark.parametrize("how", ["dies", "raises"])
def test_a_failing_process_ends_the_others_with_a_clear_error(recipe, tmp_path, how):
    """Without torchrun, which would kill the others: each ends by itself."""
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    shared |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", VICTIM, tmp_path / "r.yaml", tmp_path / "run", how]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 3 if how == "dies" else 1]
    assert re.search(r"PeerError: process 0 of 2 lost another process.*--resume", errors[0]), errors[0]
    if how == "raises":
        assert "RuntimeError: out of luck" in errors[1]
    assert open_run(tmp_path / "run").epoch == 1
