"""What the benchmarks share: interleaved medians, peers that may be absent, goals, tables, CSV.

A benchmark is a script with `--rounds`, `--out FILE.csv` and `--check`. It measures rows, states goals, and
hands both to `finish`. Contenders take turns within a round, so that whatever else the machine does meets all
of them; times are medians over rounds, ratios medians of the ratios within each round.
"""

import argparse
import csv
import ctypes
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")
Row = dict[str, Any]
Clock = Callable[[], float]
"""Of one thread its processor time, so that other programs harm neither side; of two the wall's."""


@dataclass(frozen=True)
class Goal:
    """`what` should be at least (or, with `most`, at most) `bound`; None: it could not be measured here."""

    what: str
    measured: float | None
    bound: float
    most: bool = False

    @property
    def missed(self) -> bool:
        """Whether it was measured and is on the wrong side."""
        if self.measured is None:
            return False
        return self.measured > self.bound if self.most else self.measured < self.bound

    def __str__(self) -> str:
        sign = "<=" if self.most else ">="
        state = "not measured" if self.measured is None else f"{self.measured:.3g}"
        verdict = "" if self.measured is None else ", MISSED" if self.missed else ", reached"
        return f"{self.what} {sign} {self.bound:g}: {state}{verdict}"


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--rounds", type=int, default=rounds, help=f"rounds to take medians of ({rounds})")
    made.add_argument("--out", type=Path, help="write the rows to this CSV file")
    made.add_argument("--check", action="store_true", help="exit with 1, naming the goals missed")
    return made


def peers(makers: Mapping[str, Callable[[], Made]]) -> dict[str, Made]:
    """What each maker makes; a peer that cannot be imported is left out, with a line that says why."""
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except (ImportError, RuntimeError) as error:
            print(f"{name} left out: {str(error).splitlines()[0]}")
    return made


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, so that large tensors reuse memory as small ones do.

    glibc maps blocks above 32 MiB anew at each allocation and the kernel clears their pages, which can take several times as
    long as the operation that fills them, from one size on. Where there is no glibc, nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        m_mmap_max, m_trim_threshold = -4, -1
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best(run: Callable[[], object], clock: Clock = time.thread_time, calls: int = 3) -> float:
    """Least time of a few calls."""
    found = []
    for _ in range(calls):
        start = clock()
        run()
        found.append(clock() - start)
    return min(found)


@dataclass(frozen=True)
class Times:
    """Seconds of every run in every round."""

    rounds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds of a run."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, to: str) -> float | None:
        """Median over rounds of one run's time over another's in the same round; None where one is absent."""
        if name not in self.rounds or to not in self.rounds:
            return None
        pairs = zip(self.rounds[name], self.rounds[to], strict=True)
        return statistics.median(a / b for a, b in pairs)


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Run them in turns, round by round, in another order each time; the first round warms up and is dropped.

    Before each run the process rests for a moment: on a busy machine, a short run would otherwise pay for the
    time slice that a long one before it used up.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, shuffler = list(runs), random.Random(0)
    for turn in range(rounds + 1):
        for name in order:
            time.sleep(0.01)
            took = seconds(runs[name])
            if turn:
                times[name].append(took)
        shuffler.shuffle(order)
    return Times(times)


def gemm(size: int = 1536) -> tuple[Callable[[], object], float]:
    """A float32 matrix product into a reused buffer, and how many FLOP it is: what arithmetic costs at best."""
    a, b = torch.randn(2, size, size)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2.0 * size**3


def machine() -> str:
    """Processor and number of processors that may be used, as results name them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        named = platform.processor() or platform.machine()
    return f"{named}, {len(os.sched_getaffinity(0))} processors, {torch.backends.cpu.get_cpu_capability()}"


def commit() -> str:
    """The commit measured, with `-dirty` where tracked files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def table(rows: list[Row]) -> str:
    """Rows as aligned text; the columns are those of all rows, in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    pairs = [list(zip(line, widths, strict=True)) for line in lines]
    return "\n".join(
        "  ".join([pair[0][0].ljust(pair[0][1]), *(text.rjust(w) for text, w in pair[1:])]) for pair in pairs
    )


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def finish(name: str, rows: list[Row], goals: list[Goal], options: argparse.Namespace) -> None:
    """Print rows and goals, write the CSV, and with `--check` exit with 1 where a goal is missed."""
    where = {
        "benchmark": name,
        "commit": commit(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": options.rounds,
    }
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in where.items() if key != "benchmark"))
    print(f"load {load} (1, 5, 15 minutes); above the number of threads, another program took part\n")
    print(table(rows), "\n")
    for goal in goals:
        print(goal)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        full = [{**where, **row} for row in rows]
        full += [
            {**where, "what": f"goal: {goal.what}", "value": goal.measured, "goal": goal.bound}
            for goal in goals
        ]
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in full for key in row)))
            writer.writeheader()
            writer.writerows(full)
    missed = [goal for goal in goals if goal.missed]
    if options.check and missed:
        raise SystemExit("goals missed: " + "; ".join(map(str, missed)))
