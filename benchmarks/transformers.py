"""Spiking transformers on real N-MNIST recordings, T = 4: every arm of a seed on the same split.

    python benchmarks/transformers.py run low-data --jobs 2       # 300 training and 700 test recordings, three splits
    python benchmarks/transformers.py run official --jobs 2       # 900 and 100
    python benchmarks/transformers.py table results/transformers_*.csv

Needs RHEOBASE_DATA. One row a model in results/transformers_<part>.csv; rows that exist are not trained again, so a killed
run goes on. Last epoch, no choice by test accuracy. `accuracy` is that of the float network; `hardened` that of its program of
4-bit weights (first and last layer 8 bit) after five epochs of fine-tuning, whose weights take `hardened_bytes`; `sops` are
synaptic operations a recording in it, `attention` those of the ops that attention has beside its layers. Differences are paired:
Stable Spike with plain QKFormer, saccadic attention with spiking self-attention in the same network.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from shipping import shipped
from study import append, commit, head, line, machine, read, spread
from torch import manual_seed  # the module `torch` itself cannot be sent to the workers

from rheobase.compression import QuantConfig, ReScaWConfig, weight_bytes
from rheobase.datasets import DataConfig, load_dataset
from rheobase.models import create_model
from rheobase.objectives import StableSpike, StableSpikeConfig
from rheobase.training import AugmentConfig, OptimiserConfig, TrainConfig, evaluate, fit


@dataclass(frozen=True)
class Part:
    """Recordings and schedule; `splits` one a seed, in turn."""

    splits: tuple[str, ...]
    epochs: int
    batch_size: int


@dataclass(frozen=True)
class Arm:
    """A network as its recipe trains it, and the arm that it is compared with."""

    model: str
    lr: float
    weight_decay: float
    options: dict[str, Any] = field(default_factory=dict)
    stable_spike: bool = False
    base: str | None = None


PARTS = {
    "low-data": Part(("low-data-0", "low-data-1", "low-data-2"), 25, 16),
    "official": Part(("official",), 12, 32),
}
SSA = "SNN-ViT, spiking self-attention"
ARMS = {
    "QKFormer": Arm("qkformer_small", 5e-3, 0.06),
    "QKFormer, Stable Spike": Arm("qkformer_small", 5e-3, 0.06, stable_spike=True, base="QKFormer"),
    SSA: Arm("snn_vit_small", 2e-3, 0.01, {"attention": "spiking"}),
    "SNN-ViT": Arm("snn_vit_small", 2e-3, 0.01, {"attention": "saccadic", "mode": "v2a"}, base=SSA),
    "Spikformer": Arm("spikformer_small", 1e-3, 0.06),
}
SHIPPED = QuantConfig(weights=ReScaWConfig(bits=4, gamma_mode="max"), edge_bits=8)
FIELDS = [
    *("part", "split", "T", "seed", "arm", "epochs", "accuracy", "train_accuracy", "parameters", "bytes"),
    *("hardened", "hardened_bytes", "sops", "attention", "rate", "seconds", "commit", "machine"),
]


def trained(part: str, seed: int, name: str) -> dict[str, object]:
    """Train an arm, ship it, and give its row."""
    start, arm, how = time.perf_counter(), ARMS[name], PARTS[part]
    split = how.splits[seed % len(how.splits)]
    data = load_dataset(DataConfig(name="nmnist", T=4, binning="count", split=split))
    manual_seed(seed)
    model = create_model(
        arm.model, num_classes=len(data.classes), input_size=data.sensor, T=data.T, options=arm.options
    )
    stable = StableSpikeConfig(beta_spike=0.01, gamma_noise=0.01, integer_and="min")
    history = fit(
        model,
        data.train,
        StableSpike(stable) if arm.stable_spike else None,
        optimiser=OptimiserConfig(name="adamw", lr=arm.lr, weight_decay=arm.weight_decay, warmup_epochs=1),
        train=TrainConfig(epochs=how.epochs, batch_size=how.batch_size, seed=seed, threads=1),
        augment=AugmentConfig(shift=2),
        quiet=True,
    )
    found = evaluate(model.eval(), data.test)
    row = {
        "part": part,
        "split": split,
        "T": data.T,
        "seed": seed,
        "arm": name,
        "epochs": how.epochs,
        "accuracy": round(found.accuracy, 5),
        "train_accuracy": round(history[-1]["train_accuracy"], 5),
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": weight_bytes(model),
        "rate": round(statistics.mean(found.rates.values()), 4),
    }
    row |= shipped(model, data, SHIPPED, seed)
    return row | {
        "seconds": round(time.perf_counter() - start, 1),
        "commit": commit(),
        "machine": machine(),
    }


def run(part: str, path: Path, seeds: list[int], arms: list[str], jobs: int) -> None:
    """Train what has no row yet; rows are appended as they come."""
    done = {(int(row["seed"]), row["arm"]) for row in read(path)}
    todo = [(seed, arm) for seed in seeds for arm in arms if (seed, arm) not in done]
    print(f"{len(todo)} models to train, {len(done)} rows done")
    for split in PARTS[part].splits:  # fill the cache before the workers ask for it
        load_dataset(DataConfig(name="nmnist", T=4, binning="count", split=split))
    work = [delayed(trained)(part, seed, arm) for seed, arm in todo]
    for i, row in enumerate(Parallel(n_jobs=jobs, return_as="generator_unordered")(work), 1):
        append(path, FIELDS, [row])
        print(f"{i}/{len(todo)} seed {row['seed']} {row['arm']}: {row['accuracy']}", flush=True)


def table(path: Path) -> None:
    """A results file as Markdown."""
    rows = read(path)
    print(f"\n**{path.stem}**, {len({row['seed'] for row in rows})} seeds\n")
    names = (
        "arm",
        "accuracy",
        "points over",
        "parameters",
        "hardened",
        "bytes",
        "SOPs",
        "of attention",
        "rate",
    )
    print(head(names))
    for name, arm in ARMS.items():
        own = {int(row["seed"]): row for row in rows if row["arm"] == name}
        if not own:
            continue
        base = {int(row["seed"]): row for row in rows if row["arm"] == arm.base}
        gaps = [
            100 * (float(own[s]["accuracy"]) - float(base[s]["accuracy"])) for s in sorted(own) if s in base
        ]

        def mean(key: str, own: dict[int, dict[str, str]] = own) -> float:
            return statistics.mean(float(row[key]) for row in own.values())

        cells = [
            name,
            spread([100 * float(row["accuracy"]) for row in own.values()]),
            f"{arm.base}: {spread(gaps, sign='+')}" if gaps else "-",
            f"{mean('parameters'):,.0f}",
            spread([100 * float(row["hardened"]) for row in own.values()]),
            f"{mean('hardened_bytes'):,.0f}",
            f"{mean('sops'):,.0f}",
            f"{mean('attention'):,.0f}",
            f"{mean('rate'):.3f}",
        ]
        print(line(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("part", choices=sorted(PARTS))
    runs.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    runs.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--out", type=Path)
    tables = commands.add_parser("table")
    tables.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "table":
        for path in arguments.files:
            table(path)
        return
    out = arguments.out or Path(__file__).parent.parent / "results" / f"transformers_{arguments.part}.csv"
    run(arguments.part, out, arguments.seeds, arguments.arms, arguments.jobs)


if __name__ == "__main__":
    main()
