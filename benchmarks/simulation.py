"""How fast simulated event data is made: recordings a minute of cifar10-dvs-sim's recipe, 48x48, on all processors.

    python benchmarks/simulation.py --check [--out results/bench_simulation.csv]

Needs no data: the images are noise of CIFAR-10's shape.
"""

import os
import time

import bench
import numpy as np

from rheobase.datasets.image_dvs_sim import TASK, generate

GOAL = 2000  # recordings a minute, of two processors


def main() -> None:
    arguments = bench.parser(__doc__ or "", rounds=3).parse_args()
    count = 2 * TASK * max(1, (os.cpu_count() or 1) // 2)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels, rows = np.zeros(count, np.int64), np.arange(count)
    generate(pixels, labels, rows)  # starts the processes
    measured: list[bench.Row] = []
    for number in range(arguments.rounds):
        start = time.perf_counter()
        made = generate(pixels, labels, rows)
        seconds = time.perf_counter() - start
        measured.append(
            {
                "round": number,
                "recordings a minute": 60 * count / seconds,
                "events a recording": len(made["t"]) / count,
            }
        )
    best = max(float(row["recordings a minute"]) for row in measured)
    goals = [bench.Goal("recordings a minute, best round", best, GOAL)]
    bench.finish("simulation", measured, goals, arguments)


if __name__ == "__main__":
    main()
