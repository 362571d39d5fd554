"""`rheobase export`: the program of a compressed run as C, proven equal to the model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.numbers import percent, size


def export_command(
    run: Annotated[Path, typer.Argument(help="Run folder, compressed.")],
    to: Annotated[Literal["c"], typer.Option("--to", help="Target format.")] = "c",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the sources. Default: RUN/c.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Write integer C99, compile it here, and compare it with the model on every test recording.

    Example: rheobase export runs/motion_stable_spike --to c
    """
    from rheobase.training import export_c, open_run

    exported = export_c(open_run(run), out)
    facts = exported.facts
    print_table(
        "Layers",
        ["layer", "kind", "weight bits", "weight bytes", "state bytes", "synaptic ops", "dense MACs"],
        [
            (
                layer["name"],
                layer["kind"],
                layer["weight_bits"] or "",
                layer["weight_bytes"] or "",
                layer["state_bytes"] or "",
                f"{layer['synops_per_sample']:,.0f}",
                f"{layer['dense_macs_per_sample']:,.0f}",
            )
            for layer in facts["layers"]
        ],
    )
    say(
        f"{size(facts['bytes_weights'])} weights, {size(facts['bytes_code'])} code, "
        f"{size(facts['bytes_state'])} state; "
        f"test accuracy {percent(facts['accuracy'])}; C equals the model on {facts['equal']} of {facts['samples']} recordings"
    )
    say(f"sources in {exported.folder}; try there:")
    say("  cc -std=c99 -O2 model.c self_test.c -o self_test && ./self_test")
    write_json(json, {"run": str(run), "folder": str(exported.folder), **facts})
