"""`rheobase export --to nir|onnx`: the program of a compressed run in the formats of other tools, run there and compared."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.cli.output import print_table, say
from rheobase.errors import ProgramError
from rheobase.exchange import agreement, export_nir, export_onnx, run_onnx, told
from rheobase.numbers import percent
from rheobase.program import CompiledProgram
from rheobase.training import Run
from rheobase.training.export import load_program

CHECKED = 32  # test recordings that another tool runs


def nir_file(run: Run, out: Path | None, dialect: str, *, allow_loss: bool) -> dict[str, Any]:
    """Write the program as NIR; where the dialect is a framework's, run it there and tell how many spikes agree.

    Raises:
        ExchangeError: something is lost and `allow_loss` is not given; the message lists it.
    """
    program = load_program(run)
    path = out or run.folder / f"program-{dialect}.nir"
    found = export_nir(program, path, dialect=dialect, allow_loss=allow_loss)
    for line in told(found.losses):
        say(f"{'other readers lose' if dialect == 'rheobase' else 'lost'}: {line}")
    layers = []
    if dialect != "rheobase":
        frames = _frames(run)
        layers = agreement(found, dialect, frames, CompiledProgram(program).run_traced(frames))
        print_table(
            f"spikes in {dialect}, {frames.shape[1]} test samples",
            ["layer", "equal places", "spikes", "expected"],
            [(each.layer, percent(each.equal, 2), each.spikes, each.expected) for each in layers],
        )
    say(f"written: {path}")
    return {
        "file": str(path),
        "dialect": dialect,
        "losses": told(found.losses),
        "agreement": {each.layer: each.equal for each in layers},
    }


def onnx_file(run: Run, out: Path | None) -> dict[str, Any]:
    """Write the program as ONNX with its steps unrolled, and compare its logits in ONNX Runtime with the compiled C.

    Raises:
        ProgramError: a logit differs.
    """
    program = load_program(run)
    path = export_onnx(program, out or run.folder / "program.onnx")
    frames = run.dataset().test.frames.swapaxes(0, 1)
    compiled, samples = CompiledProgram(program), frames.shape[1]
    for start in range(0, samples, CHECKED):
        batch = np.ascontiguousarray(frames[:, start : start + CHECKED])
        if not np.array_equal(run_onnx(path, program, batch), np.cumsum(compiled.run(batch), axis=0)):
            raise ProgramError(
                f"ONNX Runtime differs from the program on a test sample from {start} on. Please report this"
            )
    say(f"ONNX Runtime equals the program in every logit of {samples} of {samples} test samples")
    say(f"written: {path}")
    return {"file": str(path), "equal": samples, "samples": samples}


def _frames(run: Run) -> NDArray[np.uint8]:
    return np.ascontiguousarray(run.dataset().test.frames[:CHECKED].swapaxes(0, 1))
