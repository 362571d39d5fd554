"""`rheobase export`: the program of a compressed run as C, proven equal to the model."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from rheobase import targets
from rheobase.cli.export_signal import find_chain, tell_chain
from rheobase.cli.export_spike_times import spike_times_to_c
from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import ProgramError, RecipeError
from rheobase.numbers import percent, size
from rheobase.program import CompiledProgram, Program, verify, write_c
from rheobase.program.early_exit import NEVER

GOLDEN = 2  # recordings that the C self-test carries
CALIBRATION = 16  # recordings that spike rates are measured on
BATCH = 64
TRY = {
    "c": "cc -std=c99 -O2 model.c self_test.c -o self_test && ./self_test",
    "cmake": "cmake -B build && cmake --build build && ctest --test-dir build",
    "arduino": "arduino-cli lib install --zip-path PACKAGE.zip, or copy the folder to the sketchbook's libraries",
    "zephyr": "west build -b BOARD examples/classify, or APPLICATION -- -DZEPHYR_EXTRA_MODULES=$PWD",
    "esp-idf": "idf.py -C examples/classify build, or copy the folder to the components of a project",
}


def export_command(
    run: Annotated[Path, typer.Argument(help="Run folder, compressed (of spike times: as trained).")],
    to: Annotated[
        Literal["c", "cmake", "arduino", "zephyr", "esp-idf", "nir", "onnx"],
        typer.Option("--to", help="Plain C, C packaged for a build system, or another tool's format."),
    ] = "c",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the sources. Default: RUN/c, RUN/arduino, ..."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Microcontroller, such as cortex-m4: choose its kernels by the spike rates measured."
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Run on the target's emulated machine: bytes, instructions, equality."),
    ] = False,
    samples: Annotated[int, typer.Option(min=1, help="Test recordings that --report runs.")] = 1,
    early_exit: Annotated[
        float | None,
        typer.Option(
            help="Calibrate run_until: stop at the first clear step, at the cost of at most these points of validation accuracy."
        ),
    ] = None,
    optimise: Annotated[str, typer.Option(help="Optimisation that --report compiles with.")] = "-O2",
    dialect: Annotated[
        Literal["rheobase", "norse", "snntorch"], typer.Option(help="Whose NIR --to nir writes.")
    ] = "rheobase",
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Write NIR that says less than the program; losses are listed."),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Write integer C99, compile it here, and compare it with the model on every test recording.

    Example: rheobase export runs/motion_stable_spike --to c --target cortex-m4 --report
    """
    from rheobase.signals.program import write_encoder
    from rheobase.signals.program.feed import samples_feed
    from rheobase.training import export_c, open_run
    from rheobase.training.export import load_program
    from rheobase.training.export_spike_times import is_spike_time

    if to in ("nir", "onnx"):
        from rheobase.cli import exchange

        opened = open_run(run)
        told = (
            exchange.nir_file(opened, out, dialect, allow_loss=allow_loss)
            if to == "nir"
            else exchange.onnx_file(opened, out)
        )
        write_json(json, {"run": str(run), **told})
        return
    chosen = None if target is None else targets.target(target)
    if report and chosen is None:
        raise RecipeError(f"--report needs a --target; known: {', '.join(sorted(targets.TARGETS))}")
    if report and chosen is not None and (reason := targets.missing(chosen)):
        raise targets.ToolError(reason)
    opened = open_run(run)
    if is_spike_time(opened):
        if to != "c" or early_exit is not None:
            raise RecipeError(
                "a run of spike times leaves as --to c, and stops at the first output spike by itself"
            )
        write_json(json, spike_times_to_c(opened, out, chosen if report else None, samples))
        return
    lost = None if early_exit is None else early_exit / 100
    exported = export_c(opened, out if to == "c" else None, early_exit=lost)
    facts = exported.facts
    folder = exported.folder if to == "c" else out or opened.folder / to
    margin = NEVER if (stopped := facts["early_exit"]) is None else stopped["margin"]
    program, frames = load_program(opened), opened.dataset().test.frames.swapaxes(0, 1)
    golden = np.ascontiguousarray(frames[:, :GOLDEN])
    rates = measured = None
    if chosen is not None:
        rates = targets.measured_rates(program, np.ascontiguousarray(frames[:, :CALIBRATION]))
        require_same(program, rates, frames)
    chain = find_chain(opened, program)
    files: Sequence[Path] = ()
    if to == "c":
        if rates is not None:
            write_c(program, folder, golden, rates=rates, margin=margin)
        if chain is not None:
            files = write_encoder(chain.coding, program.name, folder)
    else:
        feed = None if chain is None else samples_feed(chain.coding, program, chain.recorded.samples(0))
        written = targets.write_package(program, to, folder, golden, feed=feed, rates=rates, margin=margin)
        files = [path for path in written if feed is not None and path.name in feed.sources | feed.tests]
    if report and chosen is not None:
        some = np.ascontiguousarray(frames[:, :samples])
        measured = targets.report(program, chosen, some, optimise=optimise, rates=rates)
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
    if stopped is not None:
        say(
            f"early exit at margin {stopped['margin']:,}: test accuracy {percent(stopped['accuracy'])} after "
            f"{stopped['mean_steps']:.2f} of {len(facts['accuracy_at'])} steps in the mean"
        )
    if measured is not None:
        show(measured)
    say(f"sources in {folder}; try there:")
    say(f"  {TRY[to]}")
    result = {"run": str(run), "folder": str(folder), **facts, "encoder": None}
    if chain is not None:
        where = chosen if report else None
        result["encoder"] = tell_chain(chain, program, files, where, rates, optimise)
        if to == "c":
            say(
                "  cc -std=c99 -O2 pipeline.c encoder.c model.c -o pipeline   # 16-bit samples in, decisions out"
            )
    if measured is not None:
        result["target"] = {**asdict(measured), "bytes_ram": measured.bytes_ram}
    write_json(json, result)


def require_same(program: Program, rates: dict[int, float], frames: NDArray[np.uint8]) -> None:
    """Compare the kernels chosen by rate with those that the export has proven, on every test recording.

    Raises:
        ProgramError: they differ.
    """
    plain, chosen = CompiledProgram(program), CompiledProgram(program, rates=rates)
    for start in range(0, frames.shape[1], BATCH):
        batch = np.ascontiguousarray(frames[:, start : start + BATCH])
        found = verify(chosen, plain.run_traced(batch), batch)
        if not found.exact:
            raise ProgramError(
                f"kernels chosen by rate differ from the others, at recording {start} or later: "
                f"{found.first_difference}. Please report this"
            )


def show(measured: targets.Report) -> None:
    """Print a target's figures."""
    print_table(
        f"{measured.target}, {measured.optimise}",
        ["op", "instructions a step"],
        [(op, f"{n:,.0f}") for op, n in measured.instructions_by_op.items()],
    )
    say(
        f"{measured.target}: {size(measured.bytes_flash)} flash ({size(measured.bytes_weights)} weights, "
        f"{size(measured.bytes_code)} code), {size(measured.bytes_ram)} RAM ({size(measured.bytes_state)} state, "
        f"{size(measured.bytes_stack)} stack)"
    )
    say(
        f"{measured.instructions_per_inference:,.0f} instructions per inference, "
        f"{measured.instructions_per_dense_mac:.3f} per dense MAC and step; spikes and logits equal to the model's on "
        f"{measured.samples} of {measured.samples} recordings run there"
    )
