"""What the studies share: rows that are appended as they are measured, so that a killed run goes on, and their tables.

A study trains models and appends one row each to a CSV file. This file imports no torch: its functions travel to workers.
"""

import csv
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path


def commit() -> str:
    """Short hash of the checkout the figures come from."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Processor kind, without its name on the network."""
    lines = Path("/proc/cpuinfo").read_text().split("\n") if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, torch {version('torch')}"


def read(path: Path) -> list[dict[str, str]]:
    """Rows measured so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, fields: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """More rows of a file that is made with its header where it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields)
        if new:
            writer.writeheader()
        writer.writerows(rows)


def spread(values: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign},.{digits}f} ± {deviation:.{digits}f}"


def head(names: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return f"{line(names)}\n|{' --- |' * len(names)}"


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
