"""Encoder and network built for a microcontroller and run there on a recording, on its emulated machine."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, ProgramError
from rheobase.program import Program, elf
from rheobase.program.c99.generator import c_name
from rheobase.program.c99.generator import generate as generate_network
from rheobase.signals.program.c99 import fill, generate
from rheobase.signals.program.chain import IntegerCoding
from rheobase.signals.program.golden import golden
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

WIDE = {"__aeabi_lmul"}  # products of 64 bits, on cores that have none


@dataclass(frozen=True)
class OnTarget:
    """What a recording took from samples to decisions; every frame, logit and decision was equal to the reference's.

    Flash and state are those of encoder and network, the stack that of both and of the harness. `decisions` are the classes
    after each frame. Instructions of the encoder include the loop that hands it its samples.
    """

    target: str
    seconds: float
    frames: int
    decisions: tuple[int, ...]
    bytes_flash_encoder: int
    bytes_flash_network: int
    bytes_state_encoder: int
    bytes_state_network: int
    bytes_stack: int
    encoder_instructions_per_second: float
    network_instructions_per_second: float

    @property
    def bytes_flash(self) -> int:
        """Encoder and network."""
        return self.bytes_flash_encoder + self.bytes_flash_network

    @property
    def bytes_ram(self) -> int:
        """State of encoder and network, and the stack."""
        return self.bytes_state_encoder + self.bytes_state_network + self.bytes_stack

    @property
    def instructions_per_second(self) -> float:
        """Of the signal: encoder and network."""
        return self.encoder_instructions_per_second + self.network_instructions_per_second


def run(
    coding: IntegerCoding,
    program: Program,
    target: Target,
    samples: NDArray[Any],
    *,
    optimise: str = "-O2",
    rates: Mapping[int, float] | None = None,
) -> OnTarget:
    """Run a recording there and compare frames, running logits and decisions with the reference's.

    Shape: int16 [L].
    Raises:
        DataError: the samples are no int16 [L], make no frame, or are more than the machine holds.
        ProgramError: what came out differs, frames and network do not fit, or the C calls something else than memcpy and memset.
        ToolError: the cross compiler or the emulator is missing, or failed.
    """
    network = generate_network(program, rates)
    expected = golden(coding, program, samples, network.max_steps)
    if 4 + samples.nbytes > target.frames.bytes:
        raise DataError(f"{target.machine} takes up to {target.frames.bytes - 4} bytes, got {samples.nbytes}")
    prefix = c_name(program.name)
    state = f"{prefix}_state)] = {{1}};\nconst char rheobase_encoder[sizeof({prefix}_encoder)] = {{1}};\n"
    texts = {
        "model.h": network.model_h,
        "model.c": network.model_c,
        "kernels.h": network.kernels_h,
        **generate(coding, program.name).files,
        "harness.c": fill("harness.c", prefix=prefix, PREFIX=prefix.upper()),
        "state.c": f'#include "model.h"\n#include "encoder.h"\nconst char rheobase_state[sizeof({state}',
    }
    flags = [*target.flags, optimise, *FREESTANDING, *WARNINGS, "-Iinclude"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(target, folder)
        for file, text in texts.items():
            (folder / file).write_text(text)
        objects = [
            compile_object(target, folder, f"{part}.c", flags, f"{part}.o") for part in ("encoder", "model")
        ]
        needed = set().union(*(undefined(target, path) for path in objects)) - LIBRARY - DIVISION - WIDE
        if needed:
            raise ProgramError(
                f"the C of {program.name!r} calls {', '.join(sorted(needed))} on {target.name}; please report this"
            )
        image = link(target, folder, "chain", ["harness.c"], objects, flags)
        (folder / "samples.bin").write_bytes(
            np.array([len(samples)], "<u4").tobytes() + samples.astype("<i2").tobytes()
        )
        said = emulate(target, image, folder / "samples.bin")
        kept = elf.read(compile_object(target, folder, "state.c", flags, "state.o").read_bytes()).objects
        flash = [
            sum(
                section.size
                for section in elf.read(path.read_bytes()).sections
                if section.code or section.constant
            )
            for path in objects
        ]
    rows = np.array([[int(each) for each in line.split()] for line in said["frame"]], np.int64)
    hashes = (int(said["frames"][0], 16), int(said["logits"][0], 16))
    if hashes != (expected.frames_hash, expected.logits_hash) or not np.array_equal(
        rows[:, 2], expected.decisions
    ):
        raise ProgramError(
            f"{target.name} computes other frames, logits or decisions than the reference. Please report this: equality is what "
            "the program promises"
        )
    seconds = len(samples) / coding.sampling
    spent = instructions(target, rows[:, :2] - int(said["empty"][0])).sum(0) / seconds
    return OnTarget(
        target.name,
        seconds,
        len(expected.frames),
        tuple(expected.decisions.tolist()),
        flash[0],
        flash[1],
        kept["rheobase_encoder"],
        kept["rheobase_state"],
        int(said["stack"][0]),
        float(spent[0]),
        float(spent[1]),
    )
