"""`rheobase report`: a run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, say, write_json
from rheobase.errors import RecipeError


def report_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folder; more of them: the same recipe on other seeds.", metavar="RUN..."),
    ],
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run folder of the baseline to compare with; once for each RUN, in the same order."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. Default: RUN/report.html.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Write a self-contained HTML report of a run, beside its baseline if there is one.

    Example: rheobase report runs/stable_spike --baseline runs/baseline
    """
    from rheobase.report import collect, write_report

    baselines: list[Path | None] = list(baseline) if baseline else [None] * len(runs)
    if len(baselines) != len(runs):
        raise RecipeError(f"{len(runs)} runs need as many --baseline or none, got {len(baselines)}")
    path = out or runs[0] / "report.html"
    pairs = list(zip(runs, baselines, strict=True))
    write_report(collect(*pairs[0], repeats=pairs[1:]), path)
    say(f"report: {path}")
    write_json(json, {"report": str(path)})
