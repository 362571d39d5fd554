"""Microcontrollers a program can be built for, and the emulated machine that runs each."""

import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from rheobase.errors import RecipeError, RheobaseError, unknown


class ToolError(RheobaseError):
    """A cross compiler or an emulator is missing, or it failed."""


@dataclass(frozen=True)
class Region:
    """A part of a machine's memory."""

    start: int
    bytes: int


@dataclass(frozen=True)
class Target:
    """A processor: how to compile for it, and a QEMU machine that executes its instructions.

    `flash` and `ram` are the machine's, larger than a real part's, so that any program can be measured.
    Frames lie at `frames`, put there by the emulator. `ticks_per_microsecond` is the rate of the clock that
    `board_clock` reads.
    """

    name: str
    core: str  # as people call it
    family: Literal["arm", "riscv"]
    flags: tuple[str, ...]
    machine: str
    flash: Region
    ram: Region
    frames: Region
    ticks_per_microsecond: int
    board: dict[str, str] = field(default_factory=dict)  # macros of the start-up code

    @property
    def prefix(self) -> str:
        """Start of the names of the family's GNU tools."""
        return {"arm": "arm-none-eabi-", "riscv": "riscv64-unknown-elf-"}[self.family]

    @property
    def emulator(self) -> str:
        """QEMU's system emulator of the family."""
        return {"arm": "qemu-system-arm", "riscv": "qemu-system-riscv32"}[self.family]

    @property
    def entry(self) -> str:
        """Symbol where the image starts."""
        return {"arm": "reset", "riscv": "entry"}[self.family]


PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-nm": "binutils-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "riscv64-unknown-elf-nm": "binutils-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
}

_MB = 1 << 20


def _mps2(name: str, core: str, cpu: str, machine: str, frames: int, *flags: str) -> Target:
    return Target(
        name=name,
        core=core,
        family="arm",
        flags=(f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=soft", *flags),
        machine=machine,
        flash=Region(0x0000_0000, 4 * _MB),
        ram=Region(0x2000_0000, 4 * _MB),
        frames=Region(frames, 16 * _MB),
        ticks_per_microsecond=25,
        board={"APB_TIMER": "0x40000000u"},
    )


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        # M0+ has no machine with a timer of its own; its instructions are a part of those of the M3.
        _mps2("cortex-m0plus", "Cortex-M0+", "cortex-m0plus", "mps2-an385", 0x2100_0000),
        _mps2("cortex-m3", "Cortex-M3", "cortex-m3", "mps2-an385", 0x2100_0000),
        _mps2("cortex-m4", "Cortex-M4", "cortex-m4", "mps2-an386", 0x2100_0000),
        _mps2("cortex-m7", "Cortex-M7", "cortex-m7", "mps2-an500", 0x6000_0000),
        Target(
            name="cortex-m55",
            core="Cortex-M55",
            family="arm",
            # integer vectors (MVE) without floating point; `hard` is what the compiler has such a library for
            flags=("-mcpu=cortex-m55+nofp", "-mthumb", "-mfloat-abi=hard"),
            machine="mps3-an547",
            flash=Region(0x1000_0000, _MB // 2),
            ram=Region(0x3000_0000, _MB // 2),
            frames=Region(0x7000_0000, 64 * _MB),
            ticks_per_microsecond=32,
            board={"SYSTEM_COUNTER": "0x58100000u", "VECTOR_UNIT": "1"},
        ),
        Target(
            name="rv32imac",
            core="RV32IMAC",
            family="riscv",
            # in version 2.2 of the specification the counters belong to I; with a newer one gcc 12 finds no 32-bit libgcc
            flags=(
                "-march=rv32imac",
                "-misa-spec=2.2",
                "-mabi=ilp32",
                "-mcmodel=medany",
                "-mno-relax",
                "-msmall-data-limit=0",
            ),
            machine="virt",
            flash=Region(0x8000_0000, 32 * _MB),
            ram=Region(0x8200_0000, 32 * _MB),
            frames=Region(0x8400_0000, 64 * _MB),
            ticks_per_microsecond=1000,
        ),
    )
}


def target(name: str) -> Target:
    """The target of this name.

    Raises:
        RecipeError: no target has this name; the message lists them.
    """
    if name not in TARGETS:
        raise RecipeError(unknown("target", name, TARGETS))
    return TARGETS[name]


@cache
def tool(name: str) -> Path:
    """Path of a tool.

    Raises:
        ToolError: it is not installed; the message names the Debian package that holds it.
    """
    path = shutil.which(name)
    if path is None:
        raise ToolError(
            f"{name} is not installed; `apt install {PACKAGES[name]}` brings it on Debian and Ubuntu"
        )
    return Path(path)


def missing(target: Target) -> str | None:
    """Why `target` cannot be built and run here, or None where it can."""
    try:
        for name in (f"{target.prefix}gcc", f"{target.prefix}nm", target.emulator):
            tool(name)
    except ToolError as error:
        return str(error)
    return None
