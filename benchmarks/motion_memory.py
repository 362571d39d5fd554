"""Does motion-dvs-sim need memory? One network four ways, on all 2,000 training recordings.

    python benchmarks/motion_memory.py --jobs 2        # rows in results/motion_memory.csv

    snn          T = 4, LIF with tau = 2
    erased       that same trained network, its membranes erased between the steps (each step on its own, logits averaged)
    memoryless   trained without memory: tau = 1, so that nothing is left of a membrane
    sum          the network on the sum of all frames (T = 1)

Last epoch, three seeds; rows that exist are not trained again.
"""

import argparse
import time
from pathlib import Path

from joblib import Parallel, delayed
from study import append, commit, head, line, machine, read, spread
from torch import Tensor, cat, manual_seed, nn  # the module `torch` itself cannot be sent to the workers

from rheobase.datasets import DataConfig, load_dataset
from rheobase.models import create_model
from rheobase.neurons import preset
from rheobase.training import OptimiserConfig, TrainConfig, evaluate, fit

FIELDS = ["way", "seed", "accuracy", "accuracy_at", "seconds", "commit", "machine"]
WAYS = {"snn": (4, 2.0), "sum": (1, 2.0), "memoryless": (4, 1.0)}
EPOCHS, BATCH, LR, DECAY = 25, 32, 0.05, 5e-4


class Erased(nn.Module):
    """A network that forgets: every step is run on its own, from membranes at rest."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each step on its own, `[T, N, ...] -> [T, N, K]`."""
        return cat([self.model(step[None]) for step in x])


def train_cell(way: str, seed: int) -> list[dict[str, object]]:
    """Train one network one way; the SNN is also judged with its membranes erased."""
    start = time.perf_counter()
    T, tau = WAYS[way]
    data = load_dataset(DataConfig(name="motion-dvs-sim", T=T, binning="time"))
    manual_seed(seed)
    neuron = preset("lif_soft").model_copy(update={"tau": tau})
    model = create_model(
        "vgg_small", num_classes=len(data.classes), in_channels=2, input_size=data.sensor, neuron=neuron
    )
    settings = TrainConfig(epochs=EPOCHS, batch_size=BATCH, seed=seed, threads=1)
    fit(model, data.train, optimiser=OptimiserConfig(lr=LR, weight_decay=DECAY), train=settings, quiet=True)
    judged = {way: evaluate(model, data.test)}
    if way == "snn":
        judged["erased"] = evaluate(Erased(model).eval(), data.test)
    return [
        {
            "way": name,
            "seed": seed,
            "accuracy": round(found.accuracy, 5),
            "accuracy_at": " ".join(f"{a:.5f}" for a in found.accuracy_at),
            "seconds": round(time.perf_counter() - start, 1),
            "commit": commit(),
            "machine": machine(),
        }
        for name, found in judged.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent.parent / "results" / "motion_memory.csv"
    )
    arguments = parser.parse_args()
    done = {(row["way"], int(row["seed"])) for row in read(arguments.out)}
    cells = [(way, seed) for way in WAYS for seed in arguments.seeds if (way, seed) not in done]
    load_dataset(DataConfig(name="motion-dvs-sim"))
    for rows in Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(
        delayed(train_cell)(*cell) for cell in cells
    ):
        append(arguments.out, FIELDS, rows)
    print(head(("way", "accuracy", "runs")))
    for way in ("snn", "erased", "memoryless", "sum"):
        found = [100 * float(row["accuracy"]) for row in read(arguments.out) if row["way"] == way]
        if found:
            print(line([way, spread(found), str(len(found))]))


if __name__ == "__main__":
    main()
