"""Stable Spike, paired: every arm trains on the same split and seed as the baseline, and differences are taken pairwise.

    python benchmarks/stable_spike.py run nmnist --jobs 2        # N-MNIST, 300 training recordings; needs RHEOBASE_DATA
    python benchmarks/stable_spike.py run motion --jobs 2        # motion-dvs-sim, 600 training recordings; generated
    python benchmarks/stable_spike.py table results/stable_spike_motion.csv

Each training appends one row to results/stable_spike_<data>.csv; rows that exist are not trained again, so a killed run goes on.
Last epoch, no choice by test accuracy; `TI` is the temporal inconsistency MSE(skeleton, rate) on the test set.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed
from study import append, commit, head, line, machine, read, spread
from torch import manual_seed  # the module `torch` itself cannot be sent to the workers

from rheobase.datasets import DataConfig, load_dataset
from rheobase.models import create_model
from rheobase.objectives import CrossEntropyConfig, StableSpikeConfig, build_objective
from rheobase.training import OptimiserConfig, TrainConfig, evaluate, fit

ARMS = {
    "none": CrossEntropyConfig(),
    "spike": StableSpikeConfig(gamma_noise=0),
    "spike x10": StableSpikeConfig(beta_spike=10, gamma_noise=0),
    "noise": StableSpikeConfig(beta_spike=0),
    "noise, scale .5": StableSpikeConfig(beta_spike=0, noise_scale=0.5),
    "both": StableSpikeConfig(),
    "both, OR": StableSpikeConfig(bit_op="or"),
    "both, XOR": StableSpikeConfig(bit_op="xor"),
    "both, kl": StableSpikeConfig(consistency="kl"),
    "both, cosine": StableSpikeConfig(consistency="cosine"),
    "both, huber": StableSpikeConfig(consistency="huber"),
}


@dataclass(frozen=True)
class Study:
    """One data set, its network's schedule, and the splits that are averaged over."""

    data: str
    splits: tuple[str, ...]
    train_size: int | None
    binning: str
    lr: float
    epochs: int
    batch_size: int
    weight_decay: float
    seeds: tuple[int, ...] = (0, 1, 2)


STUDIES = {
    "nmnist": Study("nmnist", ("low-data-0", "low-data-1", "low-data-2"), None, "count", 0.1, 12, 32, 1e-4),
    "motion": Study("motion-dvs-sim", ("official",), 600, "time", 0.05, 20, 16, 5e-4),
}
FIELDS = [
    *("data", "split", "T", "seed", "arm", "accuracy", "accuracy_at", "TI", "last_rate", "mean_rate"),
    *("spikes", "seconds", "commit", "machine"),
]


def train_cell(study: Study, split: str, T: int, seed: int, arm: str) -> dict[str, object]:
    """Train one network and measure it on the test set."""
    start = time.perf_counter()
    data = load_dataset(
        DataConfig(name=study.data, split=split, T=T, binning=study.binning, train_size=study.train_size)  # type: ignore[arg-type]
    )
    manual_seed(seed)
    model = create_model("vgg_small", num_classes=len(data.classes), in_channels=2, input_size=data.sensor)
    fit(
        model,
        data.train,
        build_objective(ARMS[arm]),
        optimiser=OptimiserConfig(name="sgd", lr=study.lr, weight_decay=study.weight_decay),
        train=TrainConfig(epochs=study.epochs, batch_size=study.batch_size, seed=seed, threads=1),
        quiet=True,
    )
    result = evaluate(model, data.test)
    rates = list(result.rates.values())
    return {
        "data": study.data,
        "split": split,
        "T": T,
        "seed": seed,
        "arm": arm,
        "accuracy": round(result.accuracy, 5),
        "accuracy_at": " ".join(f"{a:.5f}" for a in result.accuracy_at),
        "TI": f"{result.temporal_inconsistency:.6g}",
        "last_rate": f"{rates[-1]:.6g}",
        "mean_rate": f"{sum(rates) / len(rates):.6g}",
        "spikes": round(result.spikes_per_sample, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "commit": commit(),
        "machine": machine(),
    }


def run(name: str, path: Path, arms: list[str], steps: list[int], jobs: int, seeds: list[int] | None) -> None:
    """Train every cell that has no row yet; rows are appended as they come."""
    study = STUDIES[name]
    done = {(r["split"], int(r["T"]), int(r["seed"]), r["arm"]) for r in read(path)}
    cells = [
        (split, T, seed, arm)
        for seed in (seeds or study.seeds)
        for split in study.splits
        for arm in arms
        for T in steps
        if (split, T, seed, arm) not in done
    ]
    print(f"{len(cells)} trainings to do, {len(done)} done")
    for split in study.splits:  # fill the cache before the workers ask for it
        for T in steps:
            load_dataset(
                DataConfig(
                    name=study.data, split=split, T=T, binning=study.binning, train_size=study.train_size
                )
            )  # type: ignore[arg-type]
    rows: Iterator[dict[str, object]] = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(train_cell)(study, *cell) for cell in cells
    )
    for i, row in enumerate(rows, 1):
        append(path, FIELDS, [row])
        print(
            f"{i}/{len(cells)} {row['split']} T={row['T']} seed {row['seed']} {row['arm']}: {row['accuracy']}",
            flush=True,
        )


def difference(
    rows: list[dict[str, str]], arm: str, value: str, relative: bool = False, index: int | None = None
) -> str:
    """Mean and standard deviation of the paired difference to `none`, with the number of pairs it is positive in."""

    def number(row: dict[str, str]) -> float:
        return float(row[value].split()[index]) if index is not None else float(row[value])

    base = {(r["split"], r["seed"]): number(r) for r in rows if r["arm"] == "none"}
    pairs = [
        (number(r), base[r["split"], r["seed"]])
        for r in rows
        if r["arm"] == arm and (r["split"], r["seed"]) in base
    ]
    if not pairs:
        return "-"
    gaps = [100 * (a / b - 1) if relative else 100 * (a - b) for a, b in pairs]
    unit = " %" if relative else ""
    return f"{spread(gaps, sign='+')}{unit} ({sum(g > 0 for g in gaps)}/{len(gaps)})"


def table(path: Path) -> None:
    """Print the paired table of a results file as Markdown, one for each T."""
    everything = read(path)
    for T in sorted({int(r["T"]) for r in everything}, reverse=True):
        rows = [r for r in everything if int(r["T"]) == T]
        early = sorted({1, max(T // 2, 1)})
        columns = [
            "arm",
            "runs",
            "accuracy",
            "d",
            *(f"first {k} of {T}, d" for k in early),
            "TI, d",
            "last rate, d",
        ]
        print(f"\n**T = {T}**\n\n{head(columns)}")
        for arm in ARMS:
            own = [r for r in rows if r["arm"] == arm]
            if own:
                cells = _baseline(own, early) if arm == "none" else _differences(rows, arm, early)
                accuracy = [100 * float(r["accuracy"]) for r in own]
                print(line([arm, str(len(own)), spread(accuracy), *cells]))


def _baseline(own: list[dict[str, str]], early: list[int]) -> list[str]:
    """The baseline's own figures, where the other arms show differences."""
    first = [statistics.mean(100 * float(r["accuracy_at"].split()[k - 1]) for r in own) for k in early]
    inconsistency, rate = (statistics.mean(float(r[key]) for r in own) for key in ("TI", "last_rate"))
    return ["", *(f"**{value:.1f}**" for value in first), f"**{inconsistency:.4f}**", f"**{rate:.3f}**"]


def _differences(rows: list[dict[str, str]], arm: str, early: list[int]) -> list[str]:
    return [
        difference(rows, arm, "accuracy"),
        *(difference(rows, arm, "accuracy_at", index=k - 1) for k in early),
        difference(rows, arm, "TI", relative=True),
        difference(rows, arm, "last_rate", relative=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("study", choices=sorted(STUDIES))
    runs.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    runs.add_argument("--T", nargs="+", type=int, default=[4, 2])
    runs.add_argument("--seeds", nargs="+", type=int)
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--out", type=Path)
    tables = commands.add_parser("table")
    tables.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "table":
        for path in arguments.files:
            table(path)
        return
    out = arguments.out or Path(__file__).parent.parent / "results" / f"stable_spike_{arguments.study}.csv"
    run(arguments.study, out, arguments.arms, arguments.T, arguments.jobs, arguments.seeds)


if __name__ == "__main__":
    main()
