"""Ternary networks on speech, EEG and ECG: full precision against 2 bit, and TAE against other codes and analog values.

    python benchmarks/signals.py run bonn --seeds 0 1 2          # or speech, qtdb
    python benchmarks/signals.py table results/signals_bonn.csv

Needs RHEOBASE_DATA (and `soundfile` for speech in FLAC). Networks and schedules are those of recipes/*_qt_snn*.yaml; `--epochs`
shortens them. One row a model in results/signals_<data>.csv; rows that exist are not trained again, so a killed run goes on.
Last epoch, no choice by test accuracy. `validation` is what may be looked at while choosing; `bytes` are packed weights, four
bytes each for bias and threshold of a channel, membranes and delay lines (2 bits a spike). References are trained on the same
parts: on Bonn logistic regression and an MLP of 32 on band power and 500 trees on what the spectra are over time, on QTDB a GRU
of 32.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study import append, commit, head, line, machine, read, spread
from torch import Tensor, nn

from rheobase.compression import weight_bytes
from rheobase.datasets import DataSet, load_dataset
from rheobase.datasets.bonn_eeg import find, listing, official, recordings
from rheobase.layers import Delays
from rheobase.models import SpikingModel
from rheobase.objectives import build_objective, capture
from rheobase.training import Recipe, build_model, fit, load_recipe, measure

ROOT = Path(__file__).parents[1]
ANALOG = "data.signal.encoder={name: direct, steps: 1}"
STEP_FORWARD = "data.signal.encoder={name: step_forward}"
RATE = "data.signal.encoder={name: rate, steps: 4}"
LATENCY = "data.signal.encoder={name: latency, steps: 4}"
NARROW = "model.options.hidden=[48, 48]"
TAE = "data.signal.encoder={name: tae}"
FOUR_STEPS = [  # a spectrum: four times the steps, and delays and time constants four times as long
    *("data.T=160", NARROW, "model.neuron.tau=32.0", "model.options.delays=[[0, 4, 8], [0, 16, 32]]"),
]
ARMS: dict[str, dict[str, tuple[str, list[str]]]] = {
    "speech": {
        "float, TAE": ("_float", []),
        "2 bit, TAE": ("", []),
        "float, step-forward": ("_float", [STEP_FORWARD]),
        "float, analog": ("_float", [ANALOG]),
    },
    "bonn": {
        "float": ("_float", []),
        "2 bit": ("", []),
        "float, analog": ("_float", [NARROW]),
        "2 bit, analog": ("", [NARROW, "optimiser.lr=0.003"]),
        "float, TAE": ("_float", [NARROW, TAE]),
        "float, step-forward": ("_float", [NARROW, STEP_FORWARD]),
        "float, rate": ("_float", [*FOUR_STEPS, RATE]),
        "float, latency": ("_float", [*FOUR_STEPS, LATENCY]),
    },
    "qtdb": {"float": ("_float", []), "2 bit": ("", [])},
}
REFERENCES = {"bonn": ("logistic regression", "MLP", "forest on spectra"), "qtdb": ("GRU",), "speech": ()}
FIELDS = [
    *("data", "split", "seed", "arm", "epochs", "validation", "accuracy", "rate", "highest_rate", "bytes"),
    *("seconds", "commit", "machine"),
]


def arms(data: str) -> list[str]:
    """What is trained on a data set."""
    return [*ARMS[data], *REFERENCES[data]]


def recipe(data: str, arm: str, seed: int, epochs: int | None) -> Recipe:
    """The recipe of an arm, which for a reference is that of its data."""
    kind, changes = ARMS[data].get(arm, ("_float", []))
    more = [f"train.seed={seed}"] + ([] if epochs is None else [f"train.epochs={epochs}"])
    return load_recipe(ROOT / "recipes" / f"{data}_qt_snn{kind}.yaml", [*changes, *more])


def total_bytes(model: SpikingModel, frames: Tensor) -> int:
    """Weights, biases and thresholds, membranes, and delay lines of a network at work on `frames`."""
    with capture(model, list(model.neurons())) as captured, torch.no_grad():
        model(frames)
    bits = 0
    for name, spikes in captured.spikes().items():
        membrane = model.neurons()[name].config.membrane
        bits += (32 if membrane is None else membrane.bits) * spikes[0, 0].numel() + 64 * spikes.shape[2]
    shapes: dict[str, int] = {}
    delays = {name: layer for name, layer in model.named_modules() if isinstance(layer, Delays)}
    hooks = [
        layer.register_forward_hook(
            lambda _, given, out, name=name: shapes.update({name: given[0][0, 0].numel()})
        )
        for name, layer in delays.items()
    ]
    with torch.no_grad():
        model(frames)
    for hook in hooks:
        hook.remove()
    lines = sum(2 * max(layer.steps) * shapes[name] for name, layer in delays.items())
    return weight_bytes(model) + (bits + lines) // 8 + 4 * model.config.num_classes


def spiking(data: str, arm: str, seed: int, epochs: int | None) -> dict[str, object]:
    """Train one network as its recipe says; the test part is read once, after the last epoch."""
    chosen = recipe(data, arm, seed, epochs)
    parts = load_dataset(chosen.data)
    torch.manual_seed(seed)
    model = build_model(chosen, parts)
    fit(
        model,
        parts,
        build_objective(chosen.objective),
        optimiser=chosen.optimiser,
        train=chosen.train,
        augment=chosen.augment,
        quiet=True,
    )
    test = measure(model, parts.test)
    frames = torch.from_numpy(parts.test.frames[:1]).transpose(0, 1).float()
    return {
        "epochs": chosen.train.epochs,
        "validation": measure(model, parts.validation).accuracy(),
        "accuracy": test.accuracy(),
        "rate": round(test.mean_rate, 4),
        "highest_rate": round(max(test.rates.values()), 4),
        "bytes": total_bytes(model.eval(), frames),
        "split": parts.split_hash[:12],
    }


def band_power(signals: np.ndarray) -> np.ndarray:
    """Log power in the five bands of EEG and of the whole signal. Shape: [N, L] -> [N, 6]."""
    from rheobase.signals.frontends import Bands

    filtered = Bands(sampling=173.61).apply(signals.T[..., None])
    return np.log((filtered[200:] ** 2).mean(0) + 1e-6)


def spectra(signals: np.ndarray) -> np.ndarray:
    """Mean, deviation and outer tenths over time of the spectra that the recipes read. Shape: [N, L] -> [N, 4 bands]."""
    front = recipe("bonn", "", 0, None).data.signal.front
    assert front is not None
    x = front.apply(signals.T[..., None])
    return np.concatenate([x.mean(0), x.std(0), np.quantile(x, 0.1, 0), np.quantile(x, 0.9, 0)], 1)


def on_band_power(arm: str, seed: int) -> dict[str, object]:
    """Logistic regression or an MLP on the band power of whole recordings, or trees on their spectra."""
    archive = find(None)
    names, labels, places = listing(archive)
    split, x = official(names, labels, places), band_power(recordings(archive, names))
    if arm == "MLP":
        model = MLPClassifier((32,), alpha=1e-3, max_iter=3000, random_state=seed)
    elif arm == "forest on spectra":
        x, model = spectra(recordings(archive, names)), ExtraTreesClassifier(500, random_state=seed)
    else:
        model = LogisticRegression(max_iter=5000)
    fitted = make_pipeline(StandardScaler(), model).fit(x[split.train], labels[split.train])
    score = {
        part: fitted.score(x[getattr(split, part)], labels[getattr(split, part)])
        for part in ("validation", "test")
    }
    return {"validation": score["validation"], "accuracy": score["test"]}


class GRU(nn.Module):
    """A GRU of 32 with a linear readout. Shape: `[T, N, C, 1, 1]` -> `[T, N, K]`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.gru, self.readout = nn.GRU(channels, 32), nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every step."""
        return self.readout(self.gru(x.flatten(2))[0])


def gru(data: str, seed: int, epochs: int | None) -> dict[str, object]:
    """The GRU, with the schedule of the spiking network."""
    chosen = recipe(data, "GRU", seed, epochs)
    parts: DataSet = load_dataset(chosen.data)
    torch.manual_seed(seed)
    model = GRU(parts.train.frames.shape[2], len(parts.classes))
    fit(model, parts, optimiser=chosen.optimiser, train=chosen.train, quiet=True)
    return {
        "epochs": chosen.train.epochs,
        "validation": measure(model, parts.validation).accuracy(),
        "accuracy": measure(model, parts.test).accuracy(),
        "bytes": 4 * sum(p.numel() for p in model.parameters()),
        "split": parts.split_hash[:12],
    }


def row(data: str, arm: str, seed: int, epochs: int | None) -> dict[str, object]:
    """One trained model."""
    start = time.perf_counter()
    if arm == "GRU":
        found = gru(data, seed, epochs)
    elif arm in REFERENCES[data]:
        found = on_band_power(arm, seed)
    else:
        found = spiking(data, arm, seed, epochs)
    rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in found.items()}
    seconds = round(time.perf_counter() - start, 1)
    return {
        **rounded,
        "data": data,
        "seed": seed,
        "arm": arm,
        "seconds": seconds,
        "commit": commit(),
        "machine": machine(),
    }


def run(data: str, path: Path, seeds: list[int], epochs: int | None, chosen: list[str] | None) -> None:
    """Train what has no row yet; rows are appended as they come."""
    torch.set_num_threads(1)
    done = {(int(each["seed"]), each["arm"]) for each in read(path)}
    wanted = [arm for arm in arms(data) if chosen is None or arm in chosen]
    for seed in seeds:
        for arm in wanted:
            if (seed, arm) in done:
                continue
            found = row(data, arm, seed, epochs)
            append(path, FIELDS, [found])
            print(
                f"seed {seed} {arm}: validation {found['validation']}, test {found['accuracy']}", flush=True
            )


def table(path: Path) -> None:
    """A results file as Markdown."""
    rows = read(path)
    names = ("arm", "seeds", "epochs", "validation", "test", "rate", "highest rate of a layer", "bytes")
    print(f"\n**{path.stem}**\n\n{head(names)}")
    for arm in dict.fromkeys(each["arm"] for each in rows):
        own = [each for each in rows if each["arm"] == arm]

        def mean(key: str, factor: float = 1.0, digits: int = 1, own: list[dict[str, str]] = own) -> str:
            return spread([factor * float(each[key]) for each in own if each[key]], digits)

        cells = [arm, str(len(own)), own[0]["epochs"] or "-", mean("validation", 100), mean("accuracy", 100)]
        print(line([*cells, mean("rate", 1, 3), mean("highest_rate", 1, 3), mean("bytes", 1, 0)]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("data", choices=list(REFERENCES))
    runner.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    runner.add_argument("--epochs", type=int)
    runner.add_argument("--arms", nargs="+")
    runner.add_argument("--to", type=Path)
    shower = commands.add_parser("table")
    shower.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    if args.command == "run":
        path = args.to or ROOT / "results" / f"signals_{args.data}.csv"
        run(args.data, path, args.seeds, args.epochs, args.arms)
    else:
        for path in args.files:
            table(path)


if __name__ == "__main__":
    main()
