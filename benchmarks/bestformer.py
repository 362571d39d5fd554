"""BESTformer: what each part of coupled information enhancement is worth, and what inversion saves of memory.

    python benchmarks/bestformer.py run --jobs 2              # five arms, three seeds on N-MNIST (RHEOBASE_DATA)
    python benchmarks/bestformer.py table results/bestformer_low-data.csv
    python benchmarks/bestformer.py memory --check            # peak memory of training steps of 4 to 16 blocks, and the inverse

`run`: one row a model in results/bestformer_low-data.csv (300 training and 700 test recordings, a split a seed) or, by
`--part official`, bestformer_official.csv (900 and 100); rows that exist are not trained again, so a killed run goes on. Last
epoch, no choice by test accuracy. The teacher of a seed is its full-precision twin, which is trained first.

`memory`: bytes are counted from the allocations of torch's profiler during one forward and backward pass; gradients of
parameters, which grow with depth whatever is done, are among them, parameters are not. `flips` is the share of spikes that fire
otherwise when states are recovered by the inverse in float32; that in integers, which training uses, recovers all of them.

`hardened` is the accuracy of the integer program, for which what was float (first convolution, heads) gets 8 bit and
five epochs of fine-tuning, `hardened_bytes` what its weights take; `sops` are synaptic operations a recording in it,
`attention` those of the ops that attention has beside its layers.
"""

import argparse
import copy
import statistics
import time
from pathlib import Path

import bench
import torch
from joblib import Parallel, delayed
from shipping import shipped
from study import append, commit, head, line, machine, read, spread
from torch import Tensor, manual_seed, nn
from torch.profiler import ProfilerActivity, profile

from rheobase.compression import QuantConfig, StandardisedSignConfig, quantise_, weight_bytes
from rheobase.datasets import DataConfig, load_dataset
from rheobase.layers import TwoStreams
from rheobase.layers.statistics import norms_of, statistics_kept
from rheobase.models import SpikingModel, create_model
from rheobase.neurons import Neuron
from rheobase.objectives import InformationEnhancement, InformationEnhancementConfig
from rheobase.training import AugmentConfig, OptimiserConfig, TrainConfig, evaluate, fit

BINARY = QuantConfig(weights=StandardisedSignConfig(), edge_bits=None)
SHIPPED = QuantConfig(weights=StandardisedSignConfig(), edge_bits=8)
PARTS = {"low-data": ("low-data-0", "low-data-1", "low-data-2"), "official": ("official",)}
EPOCHS = {"low-data": 36, "official": 20}
OPTIMISERS = {
    False: OptimiserConfig(name="adamw", lr=2e-3, weight_decay=0.06, warmup_epochs=2),
    True: OptimiserConfig(name="sgd", lr=0.1, weight_decay=5e-4, warmup_epochs=2),
}
"""Of float and of binary weights. AdamW's steps are as large as what the signs hang on, and seeds then end far apart."""
BATCH = {"low-data": 16, "official": 32}
# binary weights, reversible residuals, distillation (which needs the second head)
ARMS = {
    "full-precision twin": (False, True, False),
    "plain binary": (True, False, False),
    "+ reversible": (True, True, False),
    "+ distillation": (True, False, True),
    "both": (True, True, True),
}
FIELDS = [
    *("part", "split", "T", "seed", "arm", "epochs", "accuracy", "train_accuracy", "parameters", "bytes"),
    *("hardened", "hardened_bytes", "sops", "attention", "rate", "seconds", "commit", "machine"),
]


def recordings(part: str, seed: int) -> DataConfig:
    """What a seed trains on."""
    return DataConfig(name="nmnist", T=4, binning="count", split=PARTS[part][seed % len(PARTS[part])])


def trained(
    part: str, seed: int, arm: str, teacher: nn.Module | None, epochs: int
) -> tuple[SpikingModel, dict[str, object]]:
    """A model and its row."""
    start, config = time.perf_counter(), recordings(part, seed)
    data = load_dataset(config)
    binary, reversible, distilled = ARMS[arm]
    manual_seed(seed)
    two_heads = reversible or distilled
    model = create_model(
        "bestformer_small",
        num_classes=len(data.classes),
        input_size=data.sensor,
        T=data.T,
        options={"reversible": reversible, "two_heads": two_heads},
    )
    if binary:
        quantise_(model, BINARY)
    enhancement = InformationEnhancementConfig(
        distill="hard" if distilled else "none", weight=0.5 if two_heads else 0.0
    )
    history = fit(
        model,
        data.train,
        InformationEnhancement(enhancement, teacher=teacher if distilled else None),
        optimiser=OPTIMISERS[binary],
        train=TrainConfig(epochs=epochs, batch_size=BATCH[part], seed=seed, threads=1, precision="32"),
        augment=AugmentConfig(shift=2),
        quiet=True,
    )
    found = evaluate(model.eval(), data.test)
    row = {
        "part": part,
        "split": config.split,
        "T": data.T,
        "seed": seed,
        "arm": arm,
        "epochs": epochs,
        "accuracy": round(found.accuracy, 5),
        "train_accuracy": round(history[-1]["train_accuracy"], 5),
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": weight_bytes(model),
        "rate": round(statistics.mean(found.rates.values()), 4),
    }
    if binary:  # the twin stays float: it is the teacher
        row |= shipped(copy.deepcopy(model), data, SHIPPED, seed)
    return model, row | {
        "seconds": round(time.perf_counter() - start, 1),
        "commit": commit(),
        "machine": machine(),
    }


def seed_rows(part: str, seed: int, wanted: set[str], epochs: int, path: Path) -> None:
    """These arms of a seed, in order; the twin is trained again where only a teacher is wanted of it."""
    needs_teacher = any(ARMS[arm][2] for arm in wanted)
    teacher: nn.Module | None = None
    for arm in ARMS:
        if arm not in wanted and not (arm == "full-precision twin" and needs_teacher):
            continue
        model, row = trained(part, seed, arm, teacher, epochs)
        if arm == "full-precision twin":
            teacher = copy.deepcopy(model)
        if arm in wanted:
            append(path, FIELDS, [row])
            print(f"seed {seed} {arm}: {row['accuracy']}", flush=True)


def run(part: str, path: Path, seeds: list[int], arms: list[str], jobs: int, epochs: int) -> None:
    """Train what has no row yet; rows are appended as they come."""
    rows = read(path)
    for seed in seeds:  # fill the cache before the workers ask for it
        load_dataset(recordings(part, seed))
    todo = {seed: set(arms) - {row["arm"] for row in rows if int(row["seed"]) == seed} for seed in seeds}
    Parallel(n_jobs=jobs)(delayed(seed_rows)(part, seed, todo[seed], epochs, path) for seed in seeds)


def table(path: Path) -> None:
    """A results file as Markdown; differences are paired with plain binary."""
    rows = read(path)
    print(
        head(
            (
                "arm",
                "accuracy",
                "points over plain binary",
                "hardened",
                "bytes",
                "SOPs",
                "of attention",
                "rate",
            )
        )
    )
    values = {
        arm: {row["seed"]: 100 * float(row["accuracy"]) for row in rows if row["arm"] == arm} for arm in ARMS
    }
    for arm, found in values.items():
        if not found:
            continue
        base = values["plain binary"]
        gaps = [found[seed] - base[seed] for seed in found if seed in base]
        own = [row for row in rows if row["arm"] == arm]
        rate = statistics.mean(float(row["rate"]) for row in own)
        programs = [row for row in own if row["hardened"]]
        sops, attention = (
            f"{statistics.mean(float(row[key]) for row in programs):,.0f}" if programs else "-"
            for key in ("sops", "attention")
        )
        cells = [
            arm,
            spread(list(found.values())),
            spread(gaps),
            spread([100 * float(row["hardened"]) for row in programs]),
            f"{int(own[0]['hardened_bytes' if programs else 'bytes']):,}",
            sops,
            attention,
            f"{rate:.3f}",
        ]
        print(line(cells))


def made(depth: int, recompute: bool) -> SpikingModel:
    """`bestformer_small` of any depth with binary weights, for frames of 34 x 34."""
    torch.manual_seed(0)
    options = {"depth": depth, "recompute": recompute}
    model = create_model("bestformer_small", num_classes=10, input_size=(34, 34), T=4, options=options)
    return quantise_(model, BINARY)  # type: ignore[return-value]


def peak_bytes(model: nn.Module, x: Tensor) -> int:
    """Most bytes allocated at once in a forward and backward pass."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        model(x).mean(0).logsumexp(-1).sum().backward()
    assert found.profiler is not None and found.profiler.kineto_results is not None
    changes = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@torch.no_grad()
def flips(model: SpikingModel, x: Tensor) -> tuple[float, float]:
    """Error of X_0 recovered by the float32 inverse, and the share of spikes that fire otherwise on the way."""
    trunk = model.features.get_submodule("trunk")
    assert isinstance(trunk, TwoStreams)
    branches = [step.get_submodule("branch") for step in trunk.children()]
    spikes: list[Tensor] = []
    handles = [
        neuron.register_forward_hook(lambda module, args, out: spikes.append(out))
        for neuron in trunk.modules()
        if isinstance(neuron, Neuron)
    ]
    tokens = model.features.get_submodule("tokenizer")(x)
    with statistics_kept(norms_of(trunk)):
        before, now = trunk(tokens)
        there, back = spikes.copy(), []
        for branch in reversed(branches):
            spikes.clear()
            before, now = 2 * (now - branch(before)) - before, before
            back = [*spikes, *back]
    for handle in handles:
        handle.remove()
    differ = sum(int((one != two).sum()) for one, two in zip(there, back, strict=True))
    return float((now - tokens).abs().max()), differ / sum(each.numel() for each in there)


def memory(options: argparse.Namespace) -> None:
    """Peak memory by depth, and what the inverse in floating point loses."""
    x = torch.poisson(
        torch.full((4, options.batch, 2, 34, 34), 0.3), generator=torch.Generator().manual_seed(0)
    )
    rows: list[bench.Row] = []
    for depth in (4, 8, 16):
        stored, inverted = (
            peak_bytes(made(depth, recompute).train(), x) / 1e6 for recompute in (False, True)
        )
        error, share = flips(made(depth, False).train(), x[:, :8])
        rows.append(
            {
                "blocks": depth,
                "stored MB": stored,
                "inverted MB": inverted,
                "saved MB": stored - inverted,
                "float32 inverse: error": error,
                "float32 inverse: flips": share,
            }
        )
    growth = float(rows[-1]["inverted MB"]) / float(rows[0]["inverted MB"])  # type: ignore[arg-type]
    goal = bench.Goal("peak memory of inversion, 16 blocks over 4", growth, 1.1, most=True)
    bench.finish("bestformer_memory", rows, [goal], options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--part", choices=sorted(PARTS), default="low-data")
    runs.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    runs.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--epochs", type=int, help="default: 36, and 20 with the official split")
    runs.add_argument("--out", type=Path)
    tables = commands.add_parser("table")
    tables.add_argument("file", type=Path)
    memories = commands.add_parser("memory", parents=[bench.parser("", rounds=1)], add_help=False)
    memories.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    if arguments.command == "run":
        out = arguments.out or Path(__file__).parent.parent / "results" / f"bestformer_{arguments.part}.csv"
        epochs = arguments.epochs or EPOCHS[arguments.part]
        run(arguments.part, out, arguments.seeds, arguments.arms, arguments.jobs, epochs)
    elif arguments.command == "table":
        table(arguments.file)
    else:
        memory(arguments)


if __name__ == "__main__":
    main()
