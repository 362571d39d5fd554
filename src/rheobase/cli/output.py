"""What every sub-command shares: text and tables for people, `--json` for machines."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rheobase.errors import RecipeError
from rheobase.files import atomic_write_json

WHOLE_CELL = 16  # letters: shorter columns, but for the first, are never folded
console = Console(highlight=False)
_answer: ContextVar[TextIO | None] = ContextVar("answer", default=None)


def say(text: str, *, style: str | None = None) -> None:
    """A line for people: as it is, whatever brackets it holds, and never broken, so that it can be copied."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table whose first column is left-aligned and the rest right-aligned; where it is too wide, the first one is folded."""
    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD
    )
    for i, column in enumerate(columns):
        widest = max((len(str(row[i])) for row in rows), default=0)
        whole = i > 0 and widest <= WHOLE_CELL
        header = column.replace(" ", "\n") if whole and len(column) > widest else column
        table.add_column(header, justify="left" if i == 0 else "right", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)


def _json_target(context: typer.Context, target: Path | None) -> Path | None:
    """Find out before the work whether `--json` can be done; `-` sends all that is not JSON to standard error."""
    if target is None:
        return None
    if target.is_dir():
        raise RecipeError(f"--json {target} is a folder; name a file in it, or - for standard output")
    if str(target) == "-":
        context.with_resource(_stdout_for_json())
    return target


@contextlib.contextmanager
def _stdout_for_json() -> Iterator[None]:
    token = _answer.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _answer.reset(token)


JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_json_target,
        help="Write the result as JSON to FILE ('-': standard output, all else to standard error).",
    ),
]


def write_json(target: Path | None, result: Any) -> None:
    """Write `result` where `--json` asked for it, if it did."""
    if target is None:
        return
    if str(target) == "-":
        print(json.dumps(result, indent=2, allow_nan=False), file=_answer.get(), flush=True)
    else:
        atomic_write_json(target, result)
