"""What every sub-command shares: tables on the terminal, `--json` for machines."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rheobase.files import atomic_write_json

console = Console(highlight=False)

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON to FILE ('-': standard output)."),
]


def write_json(target: Path | None, result: Any) -> None:
    """Write `result` where `--json` asked for it, if it did."""
    if target is None:
        return
    if str(target) == "-":
        json.dump(result, sys.stdout, indent=2)
        print()
    else:
        atomic_write_json(target, result)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table whose first column is left-aligned and the rest right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


def percent(value: float) -> str:
    """`0.9731 -> '97.3 %'`."""
    return f"{100 * value:.1f} %"


def kilobytes(value: float) -> str:
    """Bytes with a unit: `3200 -> '3.2 kB'` (1 kB = 1000 bytes)."""
    return f"{value:.0f} B" if value < 1000 else f"{value / 1000:.1f} kB"
