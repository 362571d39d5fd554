"""`export`: the program of a compressed run as C, compared with the hardened model on the whole test set, and weighed.

The comparison is spike for spike and logit for logit: the C compiled here against the hardened torch model, and on the first
samples the NumPy reference against both. Written to the run folder: `c/` (the sources) and `program.json` (the figures).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rheobase.compression import Hardened, harden
from rheobase.compression.lattice import LatticeFiring
from rheobase.cost import Table, count
from rheobase.datasets import DataSet
from rheobase.errors import CheckpointError, DataError, ProgramError
from rheobase.files import atomic_write_json
from rheobase.objectives import capture
from rheobase.program import (
    CompiledProgram,
    Program,
    Readout,
    Trace,
    Verification,
    compare,
    load,
    measure,
    reference,
    write_c,
)
from rheobase.program.early_exit import NEVER, calibrate, evaluate
from rheobase.program.early_exit import curve as exit_curve
from rheobase.program.lower import lower
from rheobase.training.compressed import input_type, load_compressed
from rheobase.training.evaluation import share_right
from rheobase.training.run import Run, build_model

GOLDEN = 2  # recordings that the C self-test carries
REFERENCED = 32  # samples that the NumPy reference runs as well
BATCH = 64


@dataclass(frozen=True)
class Exported:
    """Where the C went and what is known about it; `facts` is what `program.json` holds."""

    folder: Path
    files: list[Path]
    facts: dict[str, Any]


def export_c(run: Run, folder: Path | None = None, *, early_exit: float | None = None) -> Exported:
    """Write the C of a compressed run, prove it equal to the hardened model on the test set, and measure it.

    `early_exit` is the share of accuracy that stopping early may cost on the validation set: the margin that keeps to it is
    written into the header and tried on the test set.

    Raises:
        CheckpointError: the run has not been compressed.
        ProgramError: the C differs from the model; the message names the first difference.
        CompilerError: there is no C compiler to verify with.
        DataError: an early exit is asked for and there is no validation set to calibrate it on.
    """
    data = run.dataset()
    if early_exit is not None and data.test.labels.ndim == 2:
        raise DataError(
            f"{data.name} has a label for each step, and nothing to decide early: leave the early exit out"
        )
    program = load_program(run)
    hardened = load_hardened(run, data)
    if (
        lower(hardened, name=program.name, T=program.T, metadata=dict(program.metadata)).digest()
        != program.digest()
    ):
        raise ProgramError(
            f"the program in {run.folder} is not that of its checkpoint: compress the run again"
        )
    frames, labels = data.test.frames, data.test.labels
    compiled = CompiledProgram(program, threads=torch.get_num_threads())
    margin = NEVER if early_exit is None else _calibrated(compiled, data, early_exit)
    equal, spikes, steps, tables = 0, 0, [], []
    for start in range(0, len(labels), BATCH):
        batch = np.ascontiguousarray(frames[start : start + BATCH].swapaxes(0, 1))
        expected = hardened_trace(hardened, batch)
        found = compiled.run_traced(batch)
        _require_equal(compare(found, expected), "the compiled C", start)
        if start < REFERENCED:
            _require_equal(compare(reference.run(program, batch), expected), "the NumPy reference", start)
        equal += batch.shape[1]
        steps.append(found.logits)
        spikes += sum(int(np.count_nonzero(layer)) for layer in found.spikes)
        tables.append(count(program, batch, found))
    folder = folder or run.folder / "c"
    golden = np.ascontiguousarray(frames[:GOLDEN].swapaxes(0, 1))
    files = write_c(program, folder, golden, margin=margin)
    sizes = measure(program)
    layers = _layers(program, tables)
    logits = np.concatenate(steps, 1)
    right = accuracy_by_step(logits, labels)
    facts = {
        "accuracy": float(right[-1])
        if labels.ndim == 1
        else share_right(torch.from_numpy(logits).float(), torch.from_numpy(labels)),
        "accuracy_at": [float(share) for share in right],
        "samples": len(labels),
        "equal": equal,
        "digest": program.digest(),
        "bytes_weights": sizes.bytes_weights,
        "bytes_state": sizes.bytes_state,
        "bytes_code": sizes.bytes_code,
        "float_bytes": 4 * sum(p.numel() for p in build_model(run.recipe, data).parameters()),
        "spikes_per_sample": spikes / len(labels),
        "synops_per_sample": sum(layer["synops_per_sample"] for layer in layers),
        "dense_macs_per_sample": sum(layer["dense_macs_per_sample"] for layer in layers),
        "layers": layers,
        "exit_curve": [asdict(point) for point in exit_curve(logits, labels)] if labels.ndim == 1 else [],
        "early_exit": None
        if early_exit is None
        else {"lost": early_exit, **asdict(evaluate(logits, labels, margin))},
    }
    atomic_write_json(run.folder / "program.json", facts)
    return Exported(folder, files, facts)


def accuracy_by_step(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Share of right decisions after each step; where every step has its label (-1: none), of the decisions of that step.

    Shape: integers `[T, N, K]` and `[N]` or `[N, T]` to `[T]`
    """
    if labels.ndim == 1:
        by_clip: NDArray[np.float64] = (logits.cumsum(0).argmax(-1) == labels).mean(1)
        return by_clip
    right, asked = (logits.argmax(-1) == labels.T).sum(1), (labels.T >= 0).sum(1)
    return right / np.maximum(asked, 1)


def _calibrated(compiled: CompiledProgram, data: DataSet, lost: float) -> int:
    """The margin that loses at most `lost` of the accuracy on the validation set."""
    if data.validation is None or not len(data.validation):
        raise DataError(
            f"an early exit is calibrated on validation data, and {data.name} was loaded without: choose a split that has some"
        )
    frames, labels = data.validation.frames, data.validation.labels
    starts = range(0, len(labels), BATCH)
    parts = [compiled.run(np.ascontiguousarray(frames[i : i + BATCH].swapaxes(0, 1))) for i in starts]
    return calibrate(np.concatenate(parts, 1), labels, lost).margin


def _layers(program: Program, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """One entry for each op that multiplies: bytes, and work per sample over all steps.

    What neurons and others keep counts with the op whose values they read, through sums and pools; with none, they have an entry.
    """
    samples = sum(table.samples for table in tables)
    layers: list[dict[str, Any]] = []
    read: dict[int, dict[str, Any]] = {}  # the entry that an op's values come from
    for index, op in enumerate(program.ops):
        row = tables[0].rows[index]
        state = 0 if isinstance(op, Readout) else row.bytes_membranes
        if row.macs or (state and op.inputs[0] not in read):
            weight = getattr(op, "weight", None)
            work = sum(table.rows[index].synaptic_operations * table.samples for table in tables)
            read[index] = {
                "name": op.name,
                "kind": type(op).__name__,
                "weight_bits": 0 if weight is None else weight.bits,
                "weight_bytes": 0 if weight is None else weight.bytes,
                "state_bytes": 0,
                "synops_per_sample": work / samples,
                "dense_macs_per_sample": row.macs * program.T,
            }
            layers.append(read[index])
        elif op.inputs[0] in read:
            read[index] = read[op.inputs[0]]
        if state:
            read[index]["state_bytes"] += state
    return layers


def load_program(run: Run) -> Program:
    """The program that `compress` wrote.

    Raises:
        CheckpointError: the run has not been compressed.
        ProgramError: the file is damaged or of another version.
    """
    path = run.folder / "compressed" / "program.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{run.folder} has not been compressed: run `rheobase compress {run.folder}` first"
        )
    try:
        return load(path)
    except ProgramError as error:
        raise ProgramError(f"{error}. Compress the run again: `rheobase compress {run.folder}`") from error


def load_hardened(run: Run, data: DataSet) -> Hardened:
    """The hardened model, made again from the compressed checkpoint.

    Raises:
        CheckpointError: what `compress` wrote is missing or damaged.
    """
    return harden(load_compressed(run, data), input_type(data))


def hardened_trace(model: Hardened, frames: NDArray[Any]) -> Trace:
    """Spikes of every neuron layer and the integer logits of a hardened model.

    Shape:
        frames `[T, N, C, H, W]` of the model's `input_type`
    """
    neurons = {f"ops.{i}": module for i, module in enumerate(model.ops) if isinstance(module, LatticeFiring)}
    with capture(model, list(neurons)) as captured:
        logits = model(torch.from_numpy(frames).float())
    found = captured.spikes(steps=len(frames)).items()
    spikes = [s.numpy().astype(np.int8 if neurons[name].ternary else np.uint8) for name, s in found]
    return Trace(spikes, logits.numpy().astype(np.int64))


def _require_equal(found: Verification, what: str, start: int) -> None:
    if not found.exact:
        raise ProgramError(
            f"{what} differs from the hardened model on {found.samples - found.equal_samples} of {found.samples} test recordings "
            f"from {start} on; first: {found.first_difference}. Please report this: equality is what the program promises"
        )
