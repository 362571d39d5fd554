"""The `rheobase` command: errors are one line and exit code 1, results can be had as JSON."""

import sys
from importlib.metadata import version

import typer

from rheobase.cli import (
    compress,
    cost,
    data,
    demo,
    doctor,
    encode,
    evaluate,
    export,
    live,
    models,
    report,
    sweep,
    train,
)
from rheobase.errors import RheobaseError

app = typer.Typer(
    name="rheobase",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("train")(train.train_command)
app.command("sweep")(sweep.sweep_command)
app.command("eval")(evaluate.evaluate_command)
app.command("compress")(compress.compress_command)
app.command("export")(export.export_command)
app.command("live")(live.live_command)
app.command("cost")(cost.cost_command)
app.command("report")(report.report_command)
app.command("encode")(encode.encode_command)
app.add_typer(data.app, name="data")
app.command("models")(models.models_command)
app.command("doctor")(doctor.doctor_command)


def _version(value: bool) -> None:
    if value:
        print(version("rheobase"))
        raise typer.Exit


@app.callback()
def _main(
    _: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Train spiking networks that need few timesteps, few bits and few spikes; ship them as integer C programs.

    Example: rheobase demo
    """


def run() -> None:
    """Entry point of the command: bad input ends with one line on stderr and exit code 1."""
    try:
        app(prog_name="rheobase")
    except (RheobaseError, OSError) as error:
        print(f"rheobase: {' '.join(_explain(error).split())}", file=sys.stderr)
        sys.exit(1)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check path, permissions and free space, or choose another place"
    return str(error)


if __name__ == "__main__":
    run()
