"""`rheobase live`: decide on a stream of events, or on a recorded signal, as it arrives."""

import json as json_text
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from rheobase.cli.output import JsonOption, say, write_json
from rheobase.errors import DataError, RecipeError

if TYPE_CHECKING:
    from rheobase.datasets.binned import Binning
    from rheobase.events import Flow, Recording
    from rheobase.program import Program

Run = Callable[[NDArray[np.uint8]], NDArray[np.integer]]


@dataclass(frozen=True)
class Decision:
    """What the program says of one window; times in seconds since the first event, latency in milliseconds."""

    start: float
    stop: float
    label: str
    share: float
    """Of the softmax of the mean logits."""
    events: int
    latency: float
    """From the arrival of the events that close the window to the decision."""


def live_command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-|RUN",
            help="A recording of events, or - for standard input; with --audio, the run or program.",
        ),
    ],
    program: Annotated[
        Path | None,
        typer.Option("--program", "-p", help="A compressed run folder, or a program (.safetensors)."),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="A recorded signal (WAV, FLAC, ...) to decide on, in place of events.")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(help="Milliseconds that a decision is made on. Default: 100; of signals, as trained."),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="Milliseconds from one decision to the next. Default: the window; of signals, each frame."
        ),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Run the NumPy reference instead of the compiled C.")
    ] = False,
    format: Annotated[str | None, typer.Option(help="Format of the stream, where it does not say.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the sensor, if the stream does not say.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="Height of the sensor, likewise.")] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Where the stream is damaged, end without an error.")
    ] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Print each decision as a line of JSON.")] = False,
    json: JsonOption = None,
) -> None:
    """Run a program over a stream of events in windows of time, and print each decision with its time and latency.

    Each window becomes T frames of equal time. A pipe takes csv, evt2, evt21, evt3, dat and aedat2. With --audio, a network for
    signals hears a file block by block; encoder and membranes run on, and each decision is on the steps it was trained for.

    Example: rheobase live recording.raw --program runs/motion_stable_spike --window 300
    Example: rheobase live --audio clip.wav runs/speech_qt_snn
    """
    from rheobase.events import flow

    if audio is not None:
        if window is not None or reference or (program is not None and source != program):
            raise RecipeError(
                "with --audio give the run (or program) alone, and no --window and no --reference: "
                "rheobase live --audio clip.wav RUN"
            )
        _listen(audio, source, hop, lines, json)
        return
    if program is None:
        raise RecipeError(
            "give the run or program that decides: rheobase live FILE --program RUN (of events), or "
            "rheobase live --audio FILE RUN (of signals)"
        )
    window = 100.0 if window is None else window
    loaded, classes, binning = open_program(program)
    run = runner(loaded, reference=reference)
    found: list[Decision] = []
    count, worst = 0, 0.0
    try:
        with flow(source, format=format, width=width, height=height, salvage=salvage) as events:
            for decision in decide(events, run, loaded, classes, binning, window, hop):
                count, worst = count + 1, max(worst, decision.latency)
                if json is not None:
                    found.append(decision)
                print(json_text.dumps(asdict(decision)) if lines else _line(decision), flush=True)
    except KeyboardInterrupt:
        pass
    if not lines:
        say(f"{count:,} decisions, the slowest after {worst:.1f} ms", style="bold")
    write_json(json, [asdict(decision) for decision in found])


def _listen(audio: Path, path: Path, hop: float | None, lines: bool, json: Path | None) -> None:
    """Print what a network for signals says of a file."""
    from rheobase.cli import live_audio

    program, classes, coding = live_audio.open_listener(path)
    samples = live_audio.read_audio(audio, coding)
    found: list[live_audio.Heard] = []
    try:
        for heard in live_audio.listen(samples, program, classes, coding, hop):
            found.append(heard)
            print(json_text.dumps(asdict(heard)) if lines else live_audio.line(heard), flush=True)
    except KeyboardInterrupt:
        pass
    if not lines:
        worst = max((heard.latency for heard in found), default=0.0)
        say(f"{len(found):,} decisions, the slowest after {worst:.1f} ms", style="bold")
    write_json(json, [asdict(heard) for heard in found])


def open_program(path: Path) -> tuple["Program", list[str], "Binning"]:
    """A program, the names of its classes, and how its frames are made, from a run folder or a file.

    A file names no classes: they are 0, 1, ...

    Raises:
        CheckpointError: the run has not been compressed. ProgramError: the program cannot be read.
    """
    from rheobase.datasets.binned import Binning
    from rheobase.program import load

    if not path.is_dir():
        program = load(path)
        return program, [str(i) for i in range(program.classes)], Binning(program.T, "time")
    from rheobase.training import open_run
    from rheobase.training.export import load_program

    run = open_run(path)
    program = load_program(run)
    classes = run.result.get("classes") or [str(i) for i in range(program.classes)]
    data = run.recipe.data
    binning = Binning(
        program.T, data.binning, background=data.background_filter, refractory=data.refractory_filter
    )
    return program, classes, binning


def runner(program: "Program", *, reference: bool) -> Run:
    """Frames `[T, N, C, H, W]` to logits `[T, N, K]`, by the compiled C or by the reference; both give the same."""
    from rheobase.program import CompiledProgram
    from rheobase.program.reference import run

    if reference:
        return lambda frames: run(program, frames, spikes=False).logits
    compiled = CompiledProgram(program)
    compiled.run(
        np.zeros((1, 1, *program.input_shape), np.uint8)
    )  # compiles now, and not within the first window
    return compiled.run


def decide(
    events: "Flow",
    run: Run,
    program: "Program",
    classes: list[str],
    binning: "Binning",
    window: float,
    hop: float | None = None,
) -> Iterator[Decision]:
    """A decision for each window (milliseconds) that has events.

    Raises:
        DataError: the program takes no events, or the sensor is smaller than its frames.
    """
    from rheobase.events import windows

    _check(events, program)
    arrived = time.perf_counter()

    def noted() -> Iterator["Recording"]:
        nonlocal arrived
        for part in events.parts:
            arrived = time.perf_counter()
            yield part

    ticks = 1e-3 / events.time_unit
    length = round(window * ticks)
    first: int | None = None
    for start, recording in windows(noted(), length, None if hop is None else round(hop * ticks)):
        first = start if first is None else first
        logits = run(_frames(recording, start, length, program, binning)).sum(0)[0] / program.T
        scores = np.exp((logits - logits.max()) * program.logit_scale)
        best = int(logits.argmax())
        yield Decision(
            start=(start - first) * events.time_unit,
            stop=(start - first + length) * events.time_unit,
            label=classes[best],
            share=float(scores[best] / scores.sum()),
            events=len(recording),
            latency=1e3 * (time.perf_counter() - arrived),
        )


def _check(events: "Flow", program: "Program") -> None:
    channels, high, wide = program.input_shape
    if channels != 2:
        raise DataError(
            f"the program {program.name!r} takes {channels} channels, and events have two polarities"
        )
    if events.height < high or events.width < wide:
        raise DataError(
            f"the stream is of {events.height} x {events.width} pixels, and the program takes {high} x {wide}; "
            "a sensor can be down-sampled, not enlarged (are --width and --height right?)"
        )


def _frames(
    recording: "Recording", start: int, length: int, program: "Program", binning: "Binning"
) -> NDArray[np.uint8]:
    """Saturated counts. Shape: uint8 [T, 1, 2, H, W]."""
    from dataclasses import replace

    from rheobase.datasets.binned import LIMIT
    from rheobase.events import downsample

    small = downsample(recording, size=program.input_shape[1:])
    counts = replace(binning, span=(start, start + length)).counts(small)
    return np.minimum(counts, LIMIT).astype(np.uint8)[:, None]


def _line(found: Decision) -> str:
    return (
        f"{found.stop:10.3f} s  {found.label:<20} {100 * found.share:5.1f} %  {found.events:>9,} events  "
        f"{found.latency:7.2f} ms"
    )
