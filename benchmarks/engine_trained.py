"""How fast the host engine runs trained networks, beside one pass of an int8 network of the same topology.

    python benchmarks/engine_trained.py train nmnist     # or motion; RHEOBASE_DATA for nmnist
    python benchmarks/engine_trained.py time [--rounds N] [--check] [--out FILE.csv]

`train` makes Stable Spike networks with 4-bit weights at T = 1, 2 and 4 as the recipes say, into runs/engine_trained/ (at T = 1,
where no steps can be compared, the objective is cross-entropy). KEY=VALUE changes the recipes, `--name` names the folders.

`time` runs every program there on 50 test recordings, one at a time, one thread, in turns with the int8 networks of int8_twin.py.
A time is the least processor time over the rounds, for each recording, then the mean over recordings, whose events differ.
`ratio` is over the *faster* int8 network.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import bench
import int8_twin
import numpy as np
import torch
from bench import Goal, Row, best

from rheobase.engine import Engine
from rheobase.program import load
from rheobase.training import compress, load_recipe, open_run, train

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "runs" / "engine_trained"
RECIPES = {"nmnist": "nmnist_stable_spike", "motion": "motion_stable_spike"}
PROGRAM = Path("compressed") / "program.safetensors"
STEPS = (1, 2, 4)
RECORDINGS = 50
GOAL = 1.5  # of the Stable Spike networks at T = 2, over the faster int8 network


def make(data: str, name: str, changes: list[str]) -> None:
    """Train, compress and lower one network for each T; what is there is kept."""
    for steps in STEPS:
        folder = FOLDER / f"{name}_T{steps}"
        if (folder / PROGRAM).is_file():
            continue
        objective = ["objective={name: cross_entropy}"] if steps == 1 else []
        recipe = load_recipe(
            ROOT / "recipes" / f"{RECIPES[data]}.yaml", [f"data.T={steps}", *objective, *changes]
        )
        train(recipe, folder, resume=folder.exists(), quiet=True)
        stages = compress(open_run(folder), quiet=True).stages
        accuracy = ", ".join(f"{stage} {each.evaluation.accuracy:.1%}" for stage, each in stages.items())
        print(f"{folder.name}: {accuracy}", flush=True)


def measure(folder: Path, rounds: int) -> Row:
    """One program and its int8 twins."""
    program = load(folder / PROGRAM)
    test = open_run(folder).dataset().test
    chosen = np.linspace(0, len(test.labels) - 1, RECORDINGS).astype(int)
    frames = [np.ascontiguousarray(test.frames[i : i + 1].swapaxes(0, 1)) for i in chosen]
    engine = Engine(program, threads=1)
    rates = [part.rate for part in engine.profile(np.concatenate(frames, 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twins: dict[str, Callable[[], object]] = bench.peers(
            {
                int8_twin.TORCH: lambda: int8_twin.torch_twin(program),
                int8_twin.C: lambda: int8_twin.c_twin(program),
            }
        )
        took: dict[str, list[float]] = {name: [np.inf] for name in twins}
        ours = np.full(RECORDINGS, np.inf)
        with torch.inference_mode():
            for _ in range(rounds):
                for i, each in enumerate(frames):
                    ours[i] = min(ours[i], best(lambda each=each: engine.run(each)))
                for name, twin in twins.items():
                    took[name].append(best(twin, calls=RECORDINGS))
    mean, twin_ms = float(ours.mean()), {name: min(times) for name, times in took.items()}
    accuracy = float((engine.predict(test.frames.swapaxes(0, 1).copy()) == test.labels).mean())
    return {
        "network": folder.name,
        "T": program.T,
        "accuracy": accuracy,
        "rates": " ".join(f"{rate:.3f}" for rate in rates),
        "engine ms": mean * 1e3,
        "slowest recording ms": float(ours.max()) * 1e3,
        **{f"{name} ms": each * 1e3 for name, each in twin_ms.items()},
        "ratio": min(twin_ms.values()) / mean,
    }


def main() -> None:
    """Read the command line."""
    if sys.argv[1:2] == ["train"]:
        parser = argparse.ArgumentParser(description="Train the networks that are timed.")
        parser.add_argument("train")
        parser.add_argument("data", choices=list(RECIPES))
        parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
        parser.add_argument("--name")
        options = parser.parse_args()
        make(options.data, options.name or options.data, options.changes)
        return
    parser = bench.parser("Trained programs in the host engine against int8 networks.", 15)
    parser.add_argument("time", choices=["time"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders = sorted(path.parents[1] for path in FOLDER.glob(f"*/{PROGRAM}"))
    if not folders:
        raise SystemExit(f"{FOLDER} holds no program: run `python {sys.argv[0]} train nmnist` first")
    rows = [measure(folder, options.rounds) for folder in folders]
    goals = [
        Goal(f"{row['network']}: times as fast as one int8 pass", row["ratio"], GOAL)
        for row in rows
        if row["T"] == 2
    ]
    bench.finish("engine_trained", rows, goals, options)


if __name__ == "__main__":
    main()
