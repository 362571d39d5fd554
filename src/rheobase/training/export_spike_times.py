"""`export` of a spike-time run: its integer program as C, equal to the NumPy reference on the whole test set.

Spike times, results, classes and executed work are compared on every test sample. Written to the run folder: `c/` and
`program.json` (the figures). The accuracy of the float model stands beside that of the program, which lives on a grid.
"""

from pathlib import Path

import numpy as np

from rheobase.errors import CheckpointError, ProgramError
from rheobase.files import atomic_write_json
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.spiketime.program import CompiledProgram, Program, Trace, lower, reference, write_c
from rheobase.spiketime.program.lower import TICKS
from rheobase.training.evaluation import evaluate
from rheobase.training.export import Exported
from rheobase.training.run import Run

GOLDEN = 2  # samples that the self-test carries
BATCH = 256


def is_spike_time(run: Run) -> bool:
    """Whether the run's model has spike times instead of a time axis."""
    return run.recipe.model.name == "spike_time"


def spike_time_program(run: Run, ticks: int = TICKS) -> Program:
    """The integer program of a trained spike-time run.

    Raises:
        CheckpointError: the run is of another model, or has no checkpoint.
        LatticeError: its model has no integer program.
    """
    data = run.dataset()
    model = run.model(data)
    if not isinstance(model, SpikeTimeClassifier):
        raise CheckpointError(f"{run.folder} holds a {run.recipe.model.name}, not a spike-time network")
    return lower(model, T=data.T, ticks=ticks, name=run.recipe.model.name)


def export_spike_times(run: Run, folder: Path | None = None, *, ticks: int = TICKS) -> Exported:
    """Write the C of a trained spike-time run, prove it equal to the reference on the test set, and measure it.

    Raises:
        CheckpointError: the run has no checkpoint.
        LatticeError: the model has no integer program.
        ProgramError: the C differs from the reference.
        CompilerError: there is no C compiler to verify with.
    """
    data = run.dataset()
    program = spike_time_program(run, ticks)
    frames, labels = data.test.frames, data.test.labels
    compiled = CompiledProgram(program)
    right, spikes, work = 0, 0, np.zeros(3, np.int64)
    for start in range(0, len(labels), BATCH):
        batch = np.ascontiguousarray(frames[start : start + BATCH].swapaxes(0, 1))
        found = compiled.run(batch)
        _require_equal(found, reference.run(program, batch), start)
        right += int((found.classes == labels[start : start + BATCH]).sum())
        spikes += int(reference.spikes(program, found).sum())
        work += found.work.sum(0)
    folder = folder or run.folder / "c"
    files = write_c(program, folder, np.ascontiguousarray(frames[:GOLDEN].swapaxes(0, 1)))
    samples = len(labels)
    accuracy = evaluate(run.model(data), data.test, batch_size=run.recipe.train.batch_size).accuracy
    names = ("additions", "updates", "divisions")
    facts = {
        "kind": program.kind,
        "ticks": program.ticks,
        "horizon": program.horizon,
        "accuracy": right / samples,
        "accuracy_float": accuracy,
        "samples": samples,
        "equal": samples,
        "spikes_per_sample": spikes / samples,
        "work_per_sample": {name: float(n) / samples for name, n in zip(names, work, strict=True)},
        "synapses": sum(x.geometry.views * len(x.weight) for x in program.weighted()),
        "bytes_weights": program.weight_bytes,
        "bytes_state": compiled.state_bytes,
    }
    atomic_write_json(run.folder / "program.json", facts)
    return Exported(folder, files, facts)


def _require_equal(found: Trace, expected: Trace, start: int) -> None:
    pairs = [
        *zip(found.times, expected.times, strict=True),
        *((getattr(found, name), getattr(expected, name)) for name in ("result", "classes", "work")),
    ]
    if not all(np.array_equal(mine, theirs) for mine, theirs in pairs):
        raise ProgramError(
            f"the compiled C differs from the reference among the test samples from {start} on. "
            "Please report this: equality is what the program promises"
        )
