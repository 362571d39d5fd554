"""All event-driven rules on one network and budget, paired by seed.

    python benchmarks/event_driven.py compare --data fashion-mnist --epochs 10       # needs RHEOBASE_DATA
    python benchmarks/event_driven.py compare --data digits-dvs --layers 128

Rules of spike times learn from one spike a neuron; `mpd_ed` (event_local and isi) and `surrogate` train the same layers as
leaky neurons over `STEPS` steps. Each training appends one row; rows that exist are not trained again, so a killed run goes
on. Last epoch, no choice by test accuracy. Executed operations are those of one training step of 128 images, an image, of a
time network by the backward pass that skips its own zeros; `dense` is the same network with nothing skipped.
"""

import argparse
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

import bench
import torch
from study import append, read
from torch import Tensor, nn

from rheobase import layers as L
from rheobase.datasets import DataConfig, DataSet, load_dataset
from rheobase.kernels import EventGradient, Executed, counted, sparse_backward
from rheobase.models import create_model
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.neurons import Neuron, NeuronConfig, Triangular, build_neuron
from rheobase.objectives import CrossEntropy, Objective, Outputs, RelativeTarget, WeightSum, WeightSumConfig
from rheobase.training import OptimiserConfig, TrainConfig, evaluate, fit

STEPS, BATCH = 4, 128
ONSET = {"name": "std_ed", "onset": 1.0}
TIMES = ("rel_psp", "std_ed", "std_ed onset", "mostafa", "goltz1", "goltz2", "comsa", "eventprop", "s4nn")
GRADIENTS = {
    "surrogate": None,
    "mpd_ed": EventGradient(),
    "mpd_ed isi": EventGradient(temporal="isi"),
}
KEY = ("data", "layers", "epochs", "train", "seed", "arm")


def spike_time_network(rule: str, layers: str, data: DataSet) -> tuple[nn.Module, Objective]:
    """The network of a spike-time rule, and the loss of its paper."""
    options = {"layers": layers, "rule": ONSET if rule == "std_ed onset" else {"name": rule}}
    if data.train.frames.shape[1] > 1:
        options["encoder"] = "first_event"
    if rule == "mostafa":
        options |= {"transform": "exp", "scale": 0.3}
    if rule == "s4nn":
        options["scale"] = 1.0
    model = create_model(
        "spike_time",
        num_classes=len(data.classes),
        in_channels=data.train.frames.shape[2],
        input_size=data.sensor,
        input_unit=data.input_unit,
        options=options,
    )
    if rule == "s4nn":
        return model, RelativeTarget()
    return model, CrossEntropy() if rule.startswith("std_ed") else WeightSum(WeightSumConfig(K=0.01))


def time_network(gradient: EventGradient | None, layers: str, data: DataSet) -> tuple[nn.Module, Objective]:
    """The same linear layers as leaky neurons over time."""
    neuron = NeuronConfig(v_reset=0.0, detach_reset=True, surrogate=Triangular(), gradient=gradient)
    parts: list[nn.Module] = [L.InputUnit(data.input_unit), L.Flatten()]
    fan_in = data.train.frames[0, 0].size
    for width in map(int, layers.split("-")):
        linear = L.Linear(fan_in, width)
        nn.init.kaiming_normal_(linear.weight)
        parts += [linear, build_neuron(neuron)]
        fan_in = width
    return nn.Sequential(*parts, L.Linear(fan_in, len(data.classes))), CrossEntropy()


def spikes_and_decision(model: nn.Module, x: Tensor) -> tuple[float, float | None]:
    """Spikes of neurons a sample, and the median time at which the first output fires (None: it reads membranes)."""
    with torch.no_grad():
        if isinstance(model, SpikeTimeClassifier):
            times = model.spike_times(x)
            del times["encoder"]
            first = times["output"].amin(1).median().item() if "output" in times else None
            return sum(int(t.isfinite().sum()) for t in times.values()) / x.shape[1], first
        total = 0.0
        for layer in model.children():
            x = layer(x)
            total += float(x.sum()) if isinstance(layer, Neuron) else 0.0
    return total / x.shape[1], None


def executed(model: nn.Module, objective: Objective, x: Tensor, y: Tensor) -> tuple[Executed, int]:
    """Operations of a training step, and those of the same network with nothing skipped."""
    times = isinstance(model, SpikeTimeClassifier)
    model.train()
    objective.layers(model)
    with nullcontext() if times else sparse_backward(), counted() as work:
        objective(Outputs(model(x), {}, getattr(model, "forward_head", None)), y).total.backward()
    dense = model.time_step_work(x, 16).total if isinstance(model, SpikeTimeClassifier) else sum(work.dense)
    return work, dense


def cell(options: argparse.Namespace, arm: str, seed: int) -> bench.Row:
    """Train one network and measure it."""
    times, still = arm in TIMES, options.data != "digits-dvs"
    T = (1 if times else STEPS) if still else (16 if times else STEPS)
    data = load_dataset(DataConfig(name=options.data, T=T, train_size=options.train))
    torch.manual_seed(seed)
    made = spike_time_network(arm, options.layers, data) if times else None
    model, objective = made or time_network(GRADIENTS[arm], options.layers, data)
    start = time.perf_counter()
    fit(
        model,
        data.train,
        objective,
        optimiser=OptimiserConfig(name="adam", lr=options.lr, weight_decay=0.0, schedule="cosine"),
        train=TrainConfig(epochs=options.epochs, batch_size=BATCH, seed=seed),
        quiet=True,
    )
    took = time.perf_counter() - start
    x = torch.from_numpy(data.test.frames[:BATCH].copy()).transpose(0, 1).float()
    spikes, decision = spikes_and_decision(model.eval(), x)
    accuracy = evaluate(model, data.test).accuracy
    work, dense = executed(model, objective, x, torch.from_numpy(data.test.labels[:BATCH].copy()))
    counts = isinstance(model, SpikeTimeClassifier) and arm != "rel_psp"  # rules in torch count nothing
    return {
        **dict(
            zip(KEY, (options.data, options.layers, options.epochs, options.train, seed, arm), strict=True)
        ),
        "accuracy": round(accuracy, 5),
        "spikes": round(spikes, 1),
        "decision": decision,
        **{
            kind: None if counts else getattr(work, kind) / len(x[0])
            for kind in ("forward", "errors", "updates")
        },
        "dense": dense / len(x[0]),
        "seconds": round(took, 1),
        "commit": bench.commit(),
        "machine": bench.machine(),
    }


def main(arguments: list[str]) -> None:
    """Train what is missing, then print means and paired differences to the first arm."""
    parser = argparse.ArgumentParser(prog="event_driven.py compare", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--layers", default="400", help="widths of linear layers, 400 or 256-256")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train", type=int, help="training samples (all)")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--arms",
        nargs="+",
        default=["rel_psp", "std_ed", "std_ed onset", *GRADIENTS],
        choices=[*TIMES, *GRADIENTS],
    )
    parser.add_argument("--out", type=Path, default=Path("results/event_rules.csv"))
    options = parser.parse_args(arguments)
    for seed in range(options.seeds):
        for arm in options.arms:
            key = (options.data, options.layers, options.epochs, options.train or "", seed, arm)
            rows = read(options.out)
            if tuple(map(str, key)) in {tuple(row[name] for name in KEY) for row in rows}:
                continue
            row = cell(options, arm, seed)
            print(bench.table([row]), flush=True)
            append(options.out, list(row), [row])
    print(bench.table(summary(read(options.out), options)))


def summary(rows: list[dict[str, str]], options: argparse.Namespace) -> list[bench.Row]:
    """Mean accuracy of each arm, and the mean over seeds of its difference to the first, in points."""
    budget = (options.data, options.layers, str(options.epochs), str(options.train or ""))
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        if tuple(row[name] for name in KEY[:4]) == budget and row["arm"] in options.arms:
            found.setdefault(row["arm"], {})[row["seed"]] = row
    lines: list[bench.Row] = []
    for arm, seeds in found.items():
        base = found[options.arms[0]]
        gaps = [
            100 * (float(row["accuracy"]) - float(base[seed]["accuracy"]))
            for seed, row in seeds.items()
            if seed in base
        ]
        mean = {
            name: statistics.fmean(float(row[name]) for row in seeds.values() if row[name])
            for name in ("accuracy", "spikes", "forward", "errors", "updates", "dense", "seconds")
            if any(row[name] for row in seeds.values())
        }
        lines.append(
            {"arm": arm, "seeds": len(seeds), f"points to {options.arms[0]}": statistics.fmean(gaps), **mean}
        )
    return lines
