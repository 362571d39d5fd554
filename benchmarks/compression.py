"""Fewer bits, channels and membrane bits: every arm trains on the same split and seed as its baseline, differences are paired.

    python benchmarks/compression.py run weights nmnist --jobs 2      # float, vanilla and ReScaW at 8, 4, 2 bit
    python benchmarks/compression.py run pruning nmnist --jobs 2      # six rankings, 50 % and 75 % of the channels, 4-bit weights
    python benchmarks/compression.py run membranes nmnist --jobs 2    # 1-bit weights, membranes of 8, 4, 2 bit, WS-DR on and off
    python benchmarks/compression.py run membranes motion --jobs 2    # the same where memory matters
    python benchmarks/compression.py run composed nmnist --jobs 2     # Stable Spike, 2 bit, half the channels
    python benchmarks/compression.py run weights fashion              # full Fashion-MNIST: hours on a processor
    python benchmarks/compression.py table results/compression_weights_nmnist.csv
    python benchmarks/compression.py table results/compression_*.csv --check      # also fail where a goal is missed

nmnist (300 training and 800 test recordings) and fashion need RHEOBASE_DATA. One row a model in
results/compression_<study>_<data>.csv; rows that exist are not trained again, so a killed run goes on. Last epoch, no choice by
test accuracy. `bytes` packs weights as far as they are quantised, `codes` is the share of levels that the inner layers use,
`sops` are synaptic operations a recording in the integer program, whose accuracy is `hardened`.
"""

import argparse
import copy
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed
from study import append, commit, head, line, machine, read, spread
from torch import manual_seed  # the module `torch` itself cannot be sent to the workers

from rheobase.compression import (
    LibraConfig,
    QuantConfig,
    ReScaWConfig,
    UniformConfig,
    code_usages,
    harden,
    quantise_,
    quantisers,
    weight_bytes,
)
from rheobase.compression.pruning import PruneConfig, prune_
from rheobase.compression.quantise import weighted_layers
from rheobase.cost import count
from rheobase.datasets import DataConfig, DataSet, load_dataset
from rheobase.models import SpikingModel, create_model
from rheobase.neurons import NeuronConfig
from rheobase.objectives import WSDR, StableSpike, StableSpikeConfig, WSDRConfig
from rheobase.program.lower import lower
from rheobase.training import OptimiserConfig, TrainConfig, evaluate, fit
from rheobase.training.compressed import Schedule
from rheobase.training.loader import as_input


@dataclass(frozen=True)
class Data:
    """A data set with its schedule; `splits` one a seed, in turn."""

    config: DataConfig
    splits: tuple[str, ...]
    epochs: int
    batch_size: int
    tune_epochs: int
    lr: float = 0.1
    weight_decay: float = 1e-4
    width: float = 1.0


DATA = {
    "nmnist": Data(
        DataConfig(name="nmnist", T=2, binning="count"),
        ("low-data-0", "low-data-1", "low-data-2"),
        25,
        32,
        10,
    ),
    "motion": Data(
        DataConfig(name="motion-dvs-sim", T=4, train_size=600), ("official",), 20, 16, 10, 0.05, 5e-4
    ),
    # two epochs of 54,000 images at half the width: what a processor does of all arms in hours, and the same for each of them
    "fashion": Data(DataConfig(name="fashion-mnist", T=4), ("official",), 2, 128, 1, width=0.5),
}
WEIGHTS: dict[str, QuantConfig | None] = {"float": None} | {
    f"{name} {bits}{more}": QuantConfig(weights=kind(bits=bits), **edges(kind(bits=bits)))  # type: ignore[arg-type]
    for more, edges in {
        "": lambda quantiser: {"edge_bits": None},  # first and last layer float, as published
        ", edges 8": lambda quantiser: {"edge_bits": 8},  # what a program needs
        ", all layers": lambda quantiser: {"edges": quantiser},
    }.items()
    for name, kind in {"vanilla": UniformConfig, "ReScaW": ReScaWConfig}.items()
    for bits in (8, 4, 2)
}
PRUNING = {
    f"{name} {ratio:.0%}": PruneConfig(score=score, inverse=name == "inverse SVS", ratio=ratio)
    for ratio in (0.5, 0.75)
    for name, score in {
        "SVS": "svs",
        "SCA": "sca",
        "HRank": "hrank",
        "L1": "l1",
        "random": "random",
        "inverse SVS": "svs",
    }.items()
}
MEMBRANES: dict[str, tuple[dict[str, object] | None, float]] = {
    f"{name}{more}": (membrane, strength)
    for name, membrane in {
        "16u": None,
        **{f"tanh {bits}u": {"name": "tanh", "bits": bits} for bits in (8, 4, 2)},
    }.items()
    for more, strength in {"": 0.0, " + WS-DR": 5e-3}.items()
} | {
    f"{name} {bits}u": ({"name": name, "bits": bits}, 0.0) for name in ("uniform", "squat") for bits in (4, 2)
}
COMPOSED = ["plain float", "Stable Spike float", "+ 2-bit ReScaW", "+ SVS 50%", "+ 8-bit membranes"]
FIELDS = [
    *("study", "data", "split", "T", "seed", "arm", "accuracy", "hardened", "bytes", "codes", "sops", "rate"),
    *("seconds", "commit", "machine"),
]


class Cell:
    """One seed of one study on one data set."""

    def __init__(self, study: str, data: str, seed: int) -> None:
        self.study, self.name, self.seed = study, data, seed
        self.how = DATA[data]
        self.split = self.how.splits[seed % len(self.how.splits)]
        T = 4 if study in ("membranes", "composed") else self.how.config.T
        self.data: DataSet = load_dataset(self.how.config.model_copy(update={"split": self.split, "T": T}))

    def model(self, membrane: dict[str, object] | None = None) -> SpikingModel:
        """The untrained network: the small VGG with the neuron of QP-SNN and Q-SNN."""
        neuron = NeuronConfig.model_validate(
            {
                "tau": 2.0,
                "v_reset": 0.0,
                "strict": True,
                "surrogate": {"name": "triangular"},
                "membrane": membrane,
            }
        )
        manual_seed(self.seed)
        return create_model(
            "vgg_small",
            num_classes=len(self.data.classes),
            in_channels=self.data.train.frames.shape[2],
            input_size=self.data.sensor,
            neuron=neuron,
            width=self.how.width,
            input_unit=self.data.input_unit,
        )

    def fit(self, model: SpikingModel, objective: object = None, *, tune: bool = False) -> SpikingModel:
        """Train (or fine-tune) with the data set's schedule."""
        fit(
            model,
            self.data.train,
            objective,  # type: ignore[arg-type]
            optimiser=OptimiserConfig(lr=self.how.lr, weight_decay=self.how.weight_decay),
            train=TrainConfig(
                epochs=self.how.tune_epochs if tune else self.how.epochs,
                batch_size=self.how.batch_size,
                seed=self.seed,
                threads=1,
            ),
            callbacks=[Schedule()],
            quiet=True,
        )
        return model.eval()

    def row(self, arm: str, model: SpikingModel, start: float) -> dict[str, object]:
        """What a trained model is worth; its integer program too, where all of it is quantised."""
        found = evaluate(model, self.data.test)
        inner = list(weighted_layers(model))[1:-1]
        usages = [share for name, share in code_usages(model).items() if name in inner]
        row = {
            "study": self.study,
            "data": self.name,
            "split": self.split,
            "T": self.data.T,
            "seed": self.seed,
            "arm": arm,
            "accuracy": round(found.accuracy, 5),
            "bytes": weight_bytes(model),
            "codes": round(statistics.mean(usages), 4) if usages else "",
            "rate": round(statistics.mean(found.rates.values()), 4),
            "seconds": round(time.perf_counter() - start, 1),
            "commit": commit(),
            "machine": machine(),
        }
        if len(quantisers(model)) == len(weighted_layers(model)):
            hardened = harden(model)
            frames = self.data.test.frames[:64].swapaxes(0, 1)
            program = lower(hardened, name="model", T=self.data.T)
            row["hardened"] = round(evaluate(hardened, self.data.test).accuracy, 5)
            row["sops"] = round(count(program, frames.copy()).total().synaptic_operations)
        return row


def weights_row(data: str, seed: int, arm: str) -> list[dict[str, object]]:
    """Train from scratch with quantised weights."""
    start, cell = time.perf_counter(), Cell("weights", data, seed)
    model = cell.model()
    if (config := WEIGHTS[arm]) is not None:
        quantise_(model, config)
    return [cell.row(arm, cell.fit(model), start)]


def pruning_rows(data: str, seed: int) -> list[dict[str, object]]:
    """Train a 4-bit network once; prune copies of it by every ranking, and fine-tune them alike."""
    start, cell = time.perf_counter(), Cell("pruning", data, seed)
    base = cell.fit(quantise_(cell.model(), QuantConfig(weights=ReScaWConfig(bits=4))))  # type: ignore[arg-type]
    rows = [cell.row("dense", base, start)]
    frames = as_input(cell.data.train.frames[:640])
    for arm, config in PRUNING.items():
        start, model = time.perf_counter(), copy.deepcopy(base)
        prune_(model, config.model_copy(update={"seed": seed}), frames)
        rows.append(cell.row(arm, cell.fit(model, tune=True), start))
    return rows


def composed_rows(data: str, seed: int) -> list[dict[str, object]]:
    """Methods added one after another; a row after each, all beside the plain float network of the same seed."""
    start, cell = time.perf_counter(), Cell("composed", data, seed)
    rows = [cell.row(COMPOSED[0], cell.fit(cell.model()), start)]
    frames = as_input(cell.data.train.frames[:640])
    for membrane, arms in ((None, COMPOSED[1:4]), ({"name": "tanh", "bits": 8}, COMPOSED[4:])):
        start = time.perf_counter()
        objective = StableSpike(StableSpikeConfig())
        model = cell.fit(cell.model(membrane), objective)
        if membrane is None:
            rows.append(cell.row(arms[0], model, start))
        quantise_(model, QuantConfig(weights=ReScaWConfig(bits=2)))
        cell.fit(model, objective, tune=True)
        if membrane is None:
            rows.append(cell.row(arms[1], model, start))
        prune_(model, PruneConfig(score="svs", ratio=0.5), frames)
        rows.append(cell.row(arms[-1], cell.fit(model, objective, tune=True), start))
    return rows


def membrane_row(data: str, seed: int, arm: str) -> list[dict[str, object]]:
    """Train one-bit weights with quantised membranes, with or without spike regulation."""
    start, cell = time.perf_counter(), Cell("membranes", data, seed)
    membrane, strength = MEMBRANES[arm]
    model = cell.model(membrane)
    quantise_(model, QuantConfig(weights=LibraConfig()))
    objective = WSDR(WSDRConfig(rate_lambda=strength))
    return [cell.row(arm, cell.fit(model, objective), start)]


def jobs(
    study: str, data: str, seeds: list[int], done: set[tuple[int, str]], chosen: list[str] | None
) -> list[object]:
    """What is left to do, as joblib takes it; `chosen` are the arms of `weights` and `membranes` that are wanted."""
    if study in ("pruning", "composed"):
        whole, last = (
            (pruning_rows, list(PRUNING)[-1]) if study == "pruning" else (composed_rows, COMPOSED[-1])
        )
        return [delayed(whole)(data, seed) for seed in seeds if (seed, last) not in done]
    arms, work = (list(WEIGHTS), weights_row) if study == "weights" else (list(MEMBRANES), membrane_row)
    wanted = [arm for arm in arms if chosen is None or arm in chosen]
    return [delayed(work)(data, seed, arm) for seed in seeds for arm in wanted if (seed, arm) not in done]


def run(study: str, data: str, path: Path, seeds: list[int], n_jobs: int, chosen: list[str] | None) -> None:
    """Train what has no row yet; rows are appended as they come."""
    done = {(int(row["seed"]), row["arm"]) for row in read(path)}
    todo = jobs(study, data, seeds, done, chosen)
    print(f"{len(todo)} jobs to do, {len(done)} rows done")
    for seed in seeds:
        Cell(study, data, seed)  # fill the cache before the workers ask for it
    for i, rows in enumerate(Parallel(n_jobs=n_jobs, return_as="generator_unordered")(todo), 1):
        append(path, FIELDS, [row for row in rows if (row["seed"], row["arm"]) not in done])
        for row in rows:
            print(f"{i}/{len(todo)} seed {row['seed']} {row['arm']}: {row['accuracy']}", flush=True)


def column(rows: list[dict[str, str]], arm: str, key: str, factor: float = 1.0) -> list[float]:
    """Values of an arm in the order of the seeds."""
    own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: int(row["seed"]))
    return [factor * float(row[key]) for row in own if row[key] != ""]


def table(path: Path) -> None:
    """A results file as Markdown; differences are paired with the first arm."""
    rows = read(path)
    arms = list(dict.fromkeys(row["arm"] for row in sorted(rows, key=lambda row: _rank(row["arm"]))))
    base = column(rows, arms[0], "accuracy", 100)
    print(f"\n**{path.stem}**, {len(base)} seeds\n")
    measured = ("hardened", "bytes", "codes used", "SOPs", "rate")
    print(head(("arm", "accuracy", f"points over {arms[0]}", *measured)))
    for arm in arms:
        accuracy = column(rows, arm, "accuracy", 100)
        gaps = [a - b for a, b in zip(accuracy, base, strict=False)] if arm != arms[0] else []
        cells = [
            arm,
            spread(accuracy),
            spread(gaps, sign="+"),
            spread(column(rows, arm, "hardened", 100)),
            f"{statistics.mean(column(rows, arm, 'bytes')):,.0f}",
            spread(column(rows, arm, "codes", 100)) + " %" if column(rows, arm, "codes") else "-",
            f"{statistics.mean(sops):,.0f}" if (sops := column(rows, arm, "sops")) else "-",
            f"{statistics.mean(column(rows, arm, 'rate')):.3f}",
        ]
        print(line(cells))


def _rank(arm: str) -> int:
    order = [
        *WEIGHTS,
        *COMPOSED,
        "dense",
        *PRUNING,
        *MEMBRANES,
    ]
    return order.index(arm)


def check(paths: list[Path]) -> list[str]:
    """The goals on N-MNIST with little data that a results file misses."""
    missed = []
    for path in paths:
        rows = read(path)
        if not rows or rows[0]["data"] != "nmnist":
            continue

        def mean(arm: str, key: str = "accuracy", rows: list[dict[str, str]] = rows) -> float:
            return statistics.mean(column(rows, arm, key, 100))

        if rows[0]["study"] == "weights":
            over, under = mean("ReScaW 2") - mean("vanilla 2"), mean("float") - mean("ReScaW 2")
            goals = {
                f"2-bit ReScaW {over:+.1f} points over vanilla, 1 wanted": over >= 1,
                f"2-bit ReScaW {under:.1f} points below float, 2 allowed": under <= 2,
                "ReScaW uses 4 of 4 codes, vanilla 2": (mean("ReScaW 2", "codes"), mean("vanilla 2", "codes"))
                == (100.0, 50.0),
            }
        elif rows[0]["study"] == "pruning":
            over = mean("SVS 75%") - mean("inverse SVS 75%")
            goals = {f"SVS {over:+.1f} points over its inverse at 75 %, 10 wanted": over >= 10}
        elif rows[0]["study"] == "composed":
            under = mean("plain float") - mean("+ SVS 50%", "hardened")
            share = statistics.mean(column(rows, "plain float", "bytes")) / statistics.mean(
                column(rows, "+ SVS 50%", "bytes")
            )
            goals = {
                f"the composed program is {under:.1f} points below plain float, 2 allowed": under <= 2,
                f"its weights take 1/{share:.1f} of the bytes, 1/20 wanted": share >= 20,
            }
        else:
            continue
        for goal, reached in goals.items():
            print(f"{'reached' if reached else 'MISSED '}  {goal}")
            missed += [] if reached else [goal]
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("study", choices=["weights", "pruning", "membranes", "composed"])
    runs.add_argument("data", choices=sorted(DATA))
    runs.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    runs.add_argument("--arms", nargs="+", help="of weights and membranes: these alone")
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--out", type=Path)
    tables = commands.add_parser("table")
    tables.add_argument("files", nargs="+", type=Path)
    tables.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "table":
        for path in arguments.files:
            table(path)
        if arguments.check and check(arguments.files):
            raise SystemExit(1)
        return
    name = f"compression_{arguments.study}_{arguments.data}.csv"
    out = arguments.out or Path(__file__).parent.parent / "results" / name
    run(arguments.study, arguments.data, out, arguments.seeds, arguments.jobs, arguments.arms)


if __name__ == "__main__":
    main()
