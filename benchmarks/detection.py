"""Detection of moving digits on the maps of three backbones: average precision over three seeds.

    python benchmarks/detection.py run --jobs 2                      # 64x64, 30 epochs: hours on a processor
    python benchmarks/detection.py run --size 32 --epochs 14 --arms vgg_small --seeds 0      # minutes
    python benchmarks/detection.py table results/detection.csv

Needs pycocotools (`pip install rheobase[detection]`). One row a model in results/detection.csv; rows that exist are not trained
again, and a run that was killed goes on from its last epoch (`--checkpoints`). Last epoch, test part; `fresh` is the AP at IoU .5
of the same model before training.
"""

import argparse
import statistics
import time
from pathlib import Path

from joblib import Parallel, delayed
from study import append, commit, head, line, machine, read, spread
from torch import manual_seed, set_num_threads  # the module `torch` itself cannot be sent to the workers

from rheobase.datasets import BoxedFrames, DataConfig, load_dataset
from rheobase.detection import Checkpoints, DetectionModel, HeadConfig, evaluate_detector, train_detector
from rheobase.models import create_model, features_only
from rheobase.training import OptimiserConfig, TrainConfig

ARMS = {"vgg_small": 1.0, "resnet20": 0.125, "snn_vit_small": 0.5}
"""Backbones and their widths."""
T = 4
FIELDS = [
    *("size", "T", "epochs", "seed", "arm", "ap", "ap50", "ap75", "fresh", "loss", "rate", "parameters"),
    *("seconds", "commit", "machine"),
]
KEYS = ("size", "epochs", "seed", "arm")


def train_cell(size: int, epochs: int, seed: int, arm: str, checkpoints: Path | None) -> dict[str, object]:
    """Train one detector and measure it on the test part."""
    set_num_threads(1)
    start = time.perf_counter()
    data = load_dataset(DataConfig(name="moving-digits-dvs", T=T, size=size))
    assert isinstance(data.train, BoxedFrames)
    manual_seed(seed)
    classes = len(data.train.objects)
    trunk = create_model(arm, num_classes=classes, input_size=data.sensor, width=ARMS[arm], T=T)
    backbone = features_only(trunk)
    fine = 4 if size >= 64 else 2
    strides = tuple(stride for stride in backbone.strides if stride >= fine)[:2]
    model = DetectionModel(backbone, classes, HeadConfig(strides=strides))
    fresh = evaluate_detector(model, data.test).ap50
    folder = None if checkpoints is None else checkpoints / f"{arm}-{size}-{epochs}-{seed}"
    history = train_detector(
        model,
        data.train,
        optimiser=OptimiserConfig(name="adamw", lr=0.005, weight_decay=1e-4, warmup_epochs=1),
        train=TrainConfig(epochs=epochs, batch_size=16, seed=seed),
        callbacks=[] if folder is None else [Checkpoints(folder)],
    )
    found = evaluate_detector(model, data.test)
    return {
        "size": size,
        "T": T,
        "epochs": epochs,
        "seed": seed,
        "arm": arm,
        "ap": round(found.ap, 5),
        "ap50": round(found.ap50, 5),
        "ap75": round(found.ap75, 5),
        "fresh": round(fresh, 5),
        "loss": round(history[-1]["train_loss"], 4),
        "rate": round(found.rate or 0.0, 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.perf_counter() - start, 1),
        "commit": commit(),
        "machine": machine(),
    }


def run(arguments: argparse.Namespace) -> None:
    """Train what has no row yet; rows are appended as they come."""
    path: Path = arguments.out
    done = {tuple(row[key] for key in KEYS) for row in read(path)}
    cells = [
        (arguments.size, arguments.epochs, seed, arm) for seed in arguments.seeds for arm in arguments.arms
    ]
    todo = [cell for cell in cells if tuple(map(str, cell)) not in done]
    print(f"{len(todo)} detectors to train, {len(done)} rows done")
    load_dataset(
        DataConfig(name="moving-digits-dvs", T=T, size=arguments.size)
    )  # before the workers ask for it
    work = (delayed(train_cell)(*cell, arguments.checkpoints) for cell in todo)
    for row in Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(work):
        append(path, FIELDS, [row])
        print(f"seed {row['seed']} {row['arm']}: AP {row['ap']}, AP50 {row['ap50']}", flush=True)


def table(path: Path) -> None:
    """A results file as Markdown: means over seeds and their standard deviation, in percent."""
    rows = read(path)
    scores = ("AP", "AP50", "AP75", "AP50 untrained")
    print(head(("size", "epochs", "backbone", "seeds", *scores, "rate", "parameters")))
    for size, epochs, arm in dict.fromkeys((row["size"], row["epochs"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["size"], row["epochs"], row["arm"]) == (size, epochs, arm)]
        cells = [spread([100 * float(row[key]) for row in own]) for key in ("ap", "ap50", "ap75", "fresh")]
        rate = statistics.mean(float(row["rate"]) for row in own)
        print(line([size, epochs, arm, str(len(own)), *cells, f"{rate:.3f}", own[0]["parameters"]]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--size", type=int, default=64, help="pixels of the sensor's side")
    runs.add_argument("--epochs", type=int, default=30)
    runs.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    runs.add_argument("--arms", nargs="+", choices=sorted(ARMS), default=list(ARMS))
    runs.add_argument("--jobs", type=int, default=1)
    runs.add_argument("--checkpoints", type=Path, help="folder to go on from after a kill")
    runs.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "detection.csv")
    commands.add_parser("table").add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "table":
        table(arguments.file)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
