"""`export` of a run on recorded signals: the encoder in integers beside the network, compared with the float one."""

from dataclasses import dataclass

import numpy as np

from rheobase.datasets import load_recorded
from rheobase.datasets.load import RECORDED
from rheobase.datasets.sequences import Recorded
from rheobase.errors import DataError, ProgramError
from rheobase.files import atomic_write
from rheobase.program import CompiledProgram, Program
from rheobase.signals import coding as codings
from rheobase.signals.coding import Coding
from rheobase.signals.program import CompiledCoding, IntegerCoding, integer_coding
from rheobase.training.run import Run

REFERENCED = 2  # recordings that NumPy runs as well
COMPARED = 256  # recordings that the chain of integers is compared on


@dataclass(frozen=True)
class Agreement:
    """The chain of integers against the floats that the network was trained with, on test recordings."""

    samples: int
    spikes: float
    """Share of equal values in the frames."""
    decisions: int
    accuracy: float


@dataclass(frozen=True)
class Chain:
    """The encoder in integers, where its samples come from, and how it compares."""

    coding: IntegerCoding
    recorded: Recorded
    agreement: Agreement


def is_recorded(run: Run) -> bool:
    """Whether the run's data set holds recorded signals, which are encoded sample by sample."""
    return run.recipe.data.name in RECORDED


def run_coding(run: Run) -> Coding:
    """How the run's network wants its recordings encoded: `coding.json` of the run folder, made from the data where absent.

    Raises:
        DataError: there is no data to make it from, or the file is damaged.
        RecipeError: the run's data set holds no recorded signals.
    """
    path = run.folder / codings.FILE
    if path.is_file():
        try:
            return Coding.model_validate_json(path.read_text())
        except ValueError as error:
            raise DataError(
                f"{path}: damaged ({error}); remove it, and it is made again from the data"
            ) from error
    found = load_recorded(run.recipe.data).coding
    atomic_write(path, found.model_dump_json(indent=1))
    return found


def chain(run: Run, program: Program) -> Chain:
    """The encoder of a run in integers, compared with the float one; leaves `coding.json` in the run folder.

    Raises:
        RecipeError: the front end or the encoder has no integer form.
        ProgramError: the C differs from NumPy.
        CompilerError: there is no C compiler.
    """
    recorded = load_recorded(run.recipe.data)
    atomic_write(run.folder / codings.FILE, recorded.coding.model_dump_json(indent=1))
    coding = integer_coding(recorded.coding)
    return Chain(coding, recorded, _compare(run, program, coding, recorded))


def _compare(run: Run, program: Program, coding: IntegerCoding, recorded: Recorded) -> Agreement:
    """Frames of the C against those of the data set, and what the network decides on either."""
    test, compiled = run.dataset().test, CompiledCoding(coding)
    steps, shape = test.frames.shape[1], program.input_shape
    some = range(min(len(test.labels), COMPARED))
    found = np.zeros((len(some), steps, coding.channels), np.int8)
    for i in some:
        samples = recorded.samples(i)
        frames = compiled.encode(samples)
        if i < REFERENCED and not np.array_equal(frames, coding.encode(samples)):
            raise ProgramError(
                f"the encoder's C differs from its reference on {recorded.names[i]}. Please report this"
            )
        found[i, : len(frames)] = frames[:steps]
    trained = np.ascontiguousarray(test.frames[: len(some)])
    network = CompiledProgram(program)
    ours, theirs = (
        network.predict(np.ascontiguousarray(each.reshape(len(some), steps, *shape).swapaxes(0, 1)))
        for each in (found, trained)
    )
    return Agreement(
        len(some),
        float((found == trained.reshape(found.shape)).mean()),
        int((ours == theirs).sum()),
        float((ours == test.labels[: len(some)]).mean()),
    )
