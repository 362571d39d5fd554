"""`rheobase report`: a run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, say, write_json


def report_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    baseline: Annotated[Path | None, typer.Option(help="Run folder of the baseline to compare with.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. Default: RUN/report.html.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Write a self-contained HTML report of a run, beside its baseline if there is one.

    Example: rheobase report runs/stable_spike --baseline runs/baseline
    """
    from rheobase.report import collect, write_report

    path = out or run / "report.html"
    write_report(collect(run, baseline), path)
    say(f"report: {path}")
    write_json(json, {"report": str(path)})
