"""What `rheobase live --audio` does: decide on a recorded signal block by block, as a device would."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, RecipeError

if TYPE_CHECKING:
    from rheobase.program import Program
    from rheobase.signals.coding import Coding

BLOCK = 0.01  # seconds of signal that arrive at a time


@dataclass(frozen=True)
class Heard:
    """What the network says after a frame; time in seconds since the first sample, latency in milliseconds."""

    time: float
    label: str
    margin: float
    """Largest sum of logits minus the next, in the unit of the trained network."""
    latency: float
    """From the arrival of the block that completes the frame to the decision."""


def open_listener(path: Path) -> tuple["Program", list[str], "Coding"]:
    """A program, the names of its classes and how its frames are made, from a run folder or a file with `coding.json` beside it.

    Raises:
        DataError: a file has no `coding.json` beside it. RecipeError: the run is not about recorded signals.
        CheckpointError: the run has not been compressed. ProgramError: the program cannot be read.
    """
    from rheobase.program import load
    from rheobase.signals.coding import FILE, Coding

    if path.is_dir():
        from rheobase.training import open_run
        from rheobase.training.export import load_program
        from rheobase.training.export_signal import run_coding

        run = open_run(path)
        program = load_program(run)
        classes = run.result.get("classes") or [str(i) for i in range(program.classes)]
        return program, classes, run_coding(run)
    program, beside = load(path), path.with_name(FILE)
    if not beside.is_file():
        raise DataError(
            f"{path} does not say how samples become frames: give its run folder, or put that folder's {FILE} beside it "
            "(`rheobase export` writes one)"
        )
    try:
        coding = Coding.model_validate_json(beside.read_text())
    except ValueError as error:
        raise DataError(f"{beside}: no coding of rheobase ({error})") from error
    return program, [str(i) for i in range(program.classes)], coding


def read_audio(path: Path, coding: "Coding") -> NDArray[np.float64]:
    """Samples of a file at the rate that the network knows; several channels are mixed. Shape: [L].

    Raises:
        DataError: the file cannot be read, or has another sampling rate.
    """
    from rheobase.signals import read_signal

    signal = read_signal(path)
    if signal.rate is not None and not np.isclose(signal.rate, coding.sampling, rtol=1e-3):
        raise DataError(
            f"{path}: sampled at {signal.rate:g} Hz, and the network was trained at {coding.sampling:g} Hz; resample it first, "
            f"for instance: ffmpeg -i {path.name} -ar {coding.sampling:.0f} -ac 1 resampled.wav"
        )
    return signal.samples.mean(1)


def listen(
    samples: NDArray[np.float64],
    program: "Program",
    classes: list[str],
    coding: "Coding",
    hop: float | None = None,
) -> Iterator[Heard]:
    """A decision after each block of 10 ms that completes a frame, or every `hop` milliseconds.

    Encoder and membranes run on from the first sample to the last; a decision is on the logits of the last T steps, T being
    what the network was trained for.

    Raises:
        DataError: the program takes other frames than the coding makes, or the encoder makes none of spikes.
        ProgramError: the program cannot run on a stream. CompilerError: there is no C compiler.
    """
    from rheobase.program.stream import ProgramStream

    shape = program.input_shape
    if coding.channels != int(np.prod(shape)):
        raise DataError(
            f"the coding makes frames of {coding.channels} values, and the program {program.name!r} takes {list(shape)}"
        )
    encode, network = encoder(coding), ProgramStream(program)
    last = np.zeros((0, program.classes), np.int64)
    block, said = max(round(BLOCK * coding.sampling), 1), -np.inf
    for start in [*range(0, len(samples), block), len(samples)]:
        arrived = time.perf_counter()
        now = min(start + block, len(samples)) / coding.sampling
        frames = encode(samples[start : start + block], start == len(samples))
        last = np.concatenate([last, network.push(frames.reshape(len(frames), *shape))])[-program.T :]
        if not len(frames) or (hop is not None and now < said + hop / 1e3):
            continue
        said, total = now, last.sum(0)
        best = int(total.argmax())
        behind = np.delete(total, best).max(initial=total.min())
        yield Heard(
            time=now,
            label=classes[best],
            margin=float((total[best] - behind) * program.logit_scale),
            latency=1e3 * (time.perf_counter() - arrived),
        )


def encoder(coding: "Coding") -> Callable[[NDArray[np.float64], bool], NDArray[np.int8]]:
    """The next samples (and whether the signal ends) to frames: by the integer C where the coding has one, else in floats."""
    from rheobase.signals.program import CompiledCoding, integer_coding

    try:
        stream: Any = CompiledCoding(integer_coding(coding)).stream()
    except RecipeError:  # no integer form
        stream = coding.stream()
        return lambda x, ends: stream.finish() if ends else stream.push(x)

    def counts(x: NDArray[np.float64]) -> NDArray[np.int16]:
        return np.clip(np.rint(x / coding.unit), -32768, 32767).astype(np.int16)

    return lambda x, ends: stream.finish() if ends else stream.push(counts(x))


def line(found: Heard) -> str:
    """A decision as text."""
    return f"{found.time:10.3f} s  {found.label:<20} margin {found.margin:8.3f}  {found.latency:7.2f} ms"
