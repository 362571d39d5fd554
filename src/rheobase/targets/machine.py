"""Images run on emulated machines that count instructions.

The emulator advances virtual time by 2^SHIFT ns an instruction (`-icount`), so a timer of the machine counts
instructions: one is more than a tick of every target's clock, hence the count is exact, and the same in every
run on every host. It needs neither a plug-in of the emulator nor its headers.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, ProgramError
from rheobase.program.reference import check_frames
from rheobase.targets.image import Image, profiled
from rheobase.targets.registry import Target, ToolError, tool

SHIFT = 7  # 128 ns an instruction: 3.2 ticks at 25 MHz
TIMEOUT = 300  # seconds that an emulator may take


@dataclass(frozen=True)
class Execution:
    """What an image did on frames: hashes as of the self-test, and instructions.

    Shape: `instructions` int64 `[N, T]`, those of each step.
    """

    logits_hash: int
    spikes_hash: int
    instructions: NDArray[np.int64]
    reset_instructions: int
    stack_bytes: int  # deepest use of the stack by the model and the printing of the harness

    @property
    def per_inference(self) -> float:
        """Mean instructions of a sample: its reset and all its steps."""
        return float(self.instructions.sum(axis=1).mean()) + self.reset_instructions


def run(image: Image, frames: NDArray[np.uint8]) -> Execution:
    """Run frames on the target's emulated machine, twice: counting, then tracing.

    Shape: uint8 `[T, N, C, H, W]`.
    Raises:
        DataError: frames of another type or shape, or more than the machine's memory holds.
        ProgramError: more steps than a logit can hold.
        ToolError: the emulator is missing, or the image did not end as it should.
    """
    with _memory(image, frames) as memory:
        counted = emulate(image.target, image.plain, memory)
        traced = emulate(image.target, image.traced, memory)
    if counted["logits"] != traced["logits"]:
        raise ToolError(
            f"{image.target.name}: a traced build gives other logits than a plain one; please report this"
        )
    empty = int(counted["empty"][0])
    ticks = np.array([[int(each) for each in line.split()] for line in counted["steps"]], np.int64)
    return Execution(
        logits_hash=int(traced["logits"][0], 16),
        spikes_hash=int(traced["spikes"][0], 16),
        instructions=instructions(image.target, ticks - empty),
        reset_instructions=int(instructions(image.target, np.array(int(counted["reset"][0]) - empty))),
        stack_bytes=int(counted["stack"][0]),
    )


def profile(image: Image, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean instructions of each op in a step; calls of the ops' kernels are within.

    Shape: uint8 `[T, N, C, H, W]` to float64 `[ops]`.
    Raises:
        DataError, ProgramError, ToolError: as `run`.
    """
    with _memory(image, frames) as memory:
        said = emulate(image.target, profiled(image), memory)
    steps = frames.shape[0] * frames.shape[1]
    ticks = np.array([int(each) for each in said["op"]], np.int64) - steps * int(said["mark"][0])
    return instructions(image.target, ticks) / steps


@contextmanager
def _memory(image: Image, frames: NDArray[np.uint8]) -> Iterator[Path]:
    """A file of what the harness reads: samples and steps, then the frames of each sample."""
    frames = check_frames(image.program, frames)
    steps, samples = frames.shape[:2]
    if steps > image.source.max_steps:
        raise ProgramError(f"{steps} steps could overflow a logit; it runs up to {image.source.max_steps}")
    ordered = np.ascontiguousarray(frames.swapaxes(0, 1))
    if samples < 1 or 8 + ordered.nbytes > image.target.frames.bytes:
        raise DataError(
            f"{samples} samples of {ordered.nbytes} bytes in all; {image.target.machine} takes 1 or more, "
            f"up to {image.target.frames.bytes - 8} bytes"
        )
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / "frames.bin"
        memory.write_bytes(np.array([samples, steps], "<u4").tobytes() + ordered.tobytes())
        yield memory


def instructions(target: Target, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole instructions that took `ticks` of the target's clock."""
    return np.rint(ticks * 1000 / (target.ticks_per_microsecond << SHIFT)).astype(np.int64)


def emulate(target: Target, image: Path, memory: Path | None = None) -> dict[str, list[str]]:
    """Run an ELF file to its end; its lines of output by their first word.

    Raises:
        ToolError: the emulator is missing or failed, or the image ended with another code than 0.
    """
    command = [str(tool(target.emulator)), "-machine", target.machine, "-kernel", str(image)]
    command += ["-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"]
    command += ["-icount", f"shift={SHIFT},sleep=off"]
    if target.family == "riscv":
        command += ["-bios", "none", "-m", "256M"]
    if memory is not None:
        command += ["-device", f"loader,file={memory},addr={target.frames.start:#x},force-raw=on"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{target.emulator} did not end within {TIMEOUT} s; give fewer samples") from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-400:]
        raise ToolError(f"{target.emulator} on {image.name} ended with code {done.returncode}: {said}")
    lines: dict[str, list[str]] = {}
    for line in filter(None, done.stdout.split("\n")):
        word, _, rest = line.partition(" ")
        lines.setdefault(word, []).append(rest)
    return lines
