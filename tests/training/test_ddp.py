"""Several processes train what one trains: same weights, same metrics, from the same global batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ddp_worker import run

STABLE = {"name": "stable_spike"}
GAUSSIAN = {"name": "stable_spike", "noise": "gaussian", "consistency": "huber"}


def torchrun(processes, *arguments):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def together(folder, cases, processes, *arguments):
    done = torchrun(processes, Path(__file__).parent / "ddp_worker.py", folder, json.dumps(cases), *arguments)
    assert done.returncode == 0, done.stderr
    return {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(processes)] for name in cases}


def same(one, two):
    for (name, a), b in zip(one[0].items(), two[0].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")
    for a, b in zip(one[1], two[1], strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-7)


# 39 samples in batches of 12 end in a batch of 3, shared as 2 and 1; 38 in batches of 9 in one of 2.
CASES = {
    "stable-spike": {"objective": STABLE, "count": 39},
    "gaussian": {"objective": GAUSSIAN, "count": 38, "train": {"batch_size": 9}},
    "tet-residual": {"objective": {"name": "tet"}, "model": "ms_resnet18", "train": {"epochs": 2}},
    "accumulated-recomputed": {"objective": STABLE, "train": {"accumulate": 3, "recompute": True}},
}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return together(tmp_path_factory.mktemp("two"), CASES, 2)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(two_processes, name):
    one = run(CASES[name])
    for each in two_processes[name]:
        same(one, each)


def test_a_process_without_a_sample_in_the_last_batch(tmp_path):
    case = {"objective": STABLE, "count": 38, "train": {"epochs": 2}}
    one = run(case)
    for each in together(tmp_path, {"empty": case}, 3)["empty"]:
        same(one, each)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="FSDP needs CUDA: gloo mixes up its collectives and batch-norm's"
)
def test_shards_equal_one_process(tmp_path):
    cases = {name: CASES[name] for name in ("stable-spike", "accumulated-recomputed")}
    for name, found in together(tmp_path, cases, 2, "fsdp").items():
        one = run(cases[name])
        for each in found:
            same(one, each)
