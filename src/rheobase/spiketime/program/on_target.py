"""A program built for a microcontroller and run on its emulated machine (see `rheobase.targets`)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, ProgramError
from rheobase.program import elf
from rheobase.spiketime.program import reference
from rheobase.spiketime.program.c99 import generate, trace_hash
from rheobase.spiketime.program.ir import Program
from rheobase.targets.image import (
    DIVISION,
    FREESTANDING,
    LIBRARY,
    WARNINGS,
    compile_object,
    lay_out,
    link,
    undefined,
)
from rheobase.targets.machine import emulate, instructions
from rheobase.targets.registry import Target


@dataclass(frozen=True)
class OnTarget:
    """What samples took; flash is that of the model alone, RAM its state without the stack."""

    target: str
    samples: int
    bytes_flash: int
    bytes_state: int
    instructions_per_inference: float


def run(program: Program, target: Target, frames: NDArray[np.uint8], optimise: str = "-O2") -> OnTarget:
    """Run samples there and compare all spike times, results and classes with the reference's.

    Shape: uint8 `[T, N, C, H, W]`
    Raises:
        DataError: frames of another type or shape, or more than the machine holds.
        ProgramError: what came out differs, or the C calls something else than memset.
        ToolError: the cross compiler or the emulator is missing, or failed.
    """
    expected = trace_hash(reference.run(program, frames))
    source = generate(program)
    state = f'#include "model.h"\nconst char rheobase_state[sizeof({source.prefix}_state)] = {{1}};\n'
    harness = source.fill("harness.c", hash=source.fill("hash.c"))
    flags = [*target.flags, optimise, *FREESTANDING, *WARNINGS, "-Iinclude"]
    samples = np.ascontiguousarray(frames.swapaxes(0, 1))
    if 4 + samples.nbytes > target.frames.bytes:
        raise DataError(f"{target.machine} takes up to {target.frames.bytes - 4} bytes, got {samples.nbytes}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(target, folder)
        for file, text in {**source.files, "harness.c": harness, "state.c": state}.items():
            (folder / file).write_text(text)
        model = compile_object(target, folder, "model.c", flags, "model.o")
        if needed := undefined(target, model) - LIBRARY - DIVISION:
            raise ProgramError(
                f"the C of {program.name!r} calls {', '.join(sorted(needed))} on {target.name}; please report this"
            )
        image = link(target, folder, "program", ["harness.c"], [model], flags)
        (folder / "frames.bin").write_bytes(np.array([len(samples)], "<u4").tobytes() + samples.tobytes())
        said = emulate(target, image, folder / "frames.bin")
        size = elf.read(compile_object(target, folder, "state.c", flags, "state.o").read_bytes())
        sections = elf.read(model.read_bytes()).sections
    found = int(said["high"][0]) << 32 | int(said["low"][0])
    if found != expected:
        raise ProgramError(f"{target.name} computes something else than the reference. Please report this")
    ticks = np.array([int(each) for each in said["sample"]], np.int64) - int(said["empty"][0])
    return OnTarget(
        target.name,
        len(samples),
        sum(section.size for section in sections if section.code or section.constant),
        size.objects["rheobase_state"],
        float(instructions(target, ticks).mean()),
    )
