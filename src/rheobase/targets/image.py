"""A program built for a microcontroller, and what it takes there."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from rheobase.errors import ProgramError
from rheobase.program import Program, elf
from rheobase.program.c99.generator import Source, generate
from rheobase.targets.registry import Target, ToolError, tool
from rheobase.targets.templates import fill, template

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
FREESTANDING = ("-std=c99", "-pedantic", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
LINK = ("-nostdlib", "-Wl,--gc-sections", "-Wl,--build-id=none")

LIBRARY = {"memcpy", "memset"}  # all that generated C may call
DIVISION = {
    "__aeabi_idiv",
    "__aeabi_idivmod",
    "__aeabi_uidiv",
    "__aeabi_uidivmod",
}  # of cores that cannot divide


@dataclass(frozen=True)
class Image:
    """Files of a build and the bytes of the model in them; the harness and the frames are not counted.

    Flash is `bytes_weights + bytes_code`, RAM is `bytes_state` and the stack that a run measures.
    """

    program: Program
    target: Target
    optimise: str
    source: Source
    plain: Path  # ELF that counts instructions
    traced: Path  # ELF that hashes every spike
    bytes_weights: int  # packed weights and the neurons' vectors and tables
    bytes_code: int  # machine code and every other constant of model.c
    bytes_state: int  # sizeof the state
    symbols: frozenset[str]  # what model.c needs from outside

    @property
    def bytes_flash(self) -> int:
        """Bytes that have to be programmed for the model."""
        return self.bytes_weights + self.bytes_code


def build(
    program: Program,
    target: Target,
    folder: Path,
    *,
    optimise: str = "-O2",
    rates: Mapping[int, float] | None = None,
    rows: bool | None = None,
) -> Image:
    """Compile a program with a harness for `target` into `folder`, with and without a trace of the spikes.

    `rates` and `rows` as in `generate`: an op whose sums neurons read row by row has no instructions of its own.
    Nothing but the compiler's own integer division is linked: no library, no floating point.

    Raises:
        ProgramError: the program is not valid, or its C calls something else than memcpy and memset.
        ToolError: the cross compiler is missing, or it refused the source.
    """
    source = generate(program, rates, rows=rows)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "model.h": source.model_h,
        "model.c": source.model_c,
        "kernels.h": source.kernels_h,
        "harness.c": fill(
            "harness.c",
            prefix=source.prefix,
            PREFIX=source.prefix.upper(),
            frame_type=f"{program.input_type}_t",
        ),
        "state.c": f'#include "model.h"\nconst char rheobase_state[sizeof({source.prefix}_state)] = {{1}};\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    lay_out(target, folder)
    model, plain = _compile(target, folder, "plain", optimise, ())
    _, traced = _compile(target, folder, "traced", optimise, ("-DRHEOBASE_TRACE",))
    state = compile_object(target, folder, "state.c", [*_flags(target, optimise)], "state.o")

    needed = undefined(target, model)
    if needed - LIBRARY - DIVISION:
        raise ProgramError(
            f"the C of {program.name!r} calls {', '.join(sorted(needed - LIBRARY - DIVISION))} on {target.name}; "
            "only memcpy and memset are allowed. Please report this"
        )
    sections = elf.read(model.read_bytes()).sections
    weights = sum(source.constants.values())
    return Image(
        program,
        target,
        optimise,
        source,
        plain,
        traced,
        weights,
        sum(section.size for section in sections if section.code or section.constant) - weights,
        elf.read(state.read_bytes()).objects["rheobase_state"],
        frozenset(needed),
    )


def lay_out(target: Target, folder: Path) -> None:
    """Write what every image of `target` is linked with: start-up code, memory functions, linker script."""
    for name in ("board.h", "stack.h", f"{target.family}.c", "memory.c", "include/string.h"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with template(name) as path:
            copyfile(path, folder / name)
    script = fill(
        "link.ld",
        title=f"A program on {target.machine}",
        entry=target.entry,
        flash_start=hex(target.flash.start),
        flash_bytes=target.flash.bytes,
        ram_start=hex(target.ram.start),
        ram_bytes=target.ram.bytes,
    )
    (folder / "link.ld").write_text(script)


def profiled(image: Image) -> Path:
    """A build of an image whose step marks where each op begins, so that a run tells their instructions apart.

    Raises:
        ToolError: the cross compiler refused the source.
        ProgramError: the generated C does not name every op.
    """
    folder, ops = image.plain.parent, len(image.program.ops)
    marked, found = re.subn(r"(?m)^(?=    /\* op (\d+) )", r"    rheobase_mark(\1);\n", image.source.model_c)
    if found != ops:
        raise ProgramError(f"the generated C names {found} of {ops} ops; please report this")
    (folder / "model.c").write_text("void rheobase_mark(int op);\n" + marked)
    try:
        return _compile(image.target, folder, "profiled", image.optimise, (f"-DRHEOBASE_PROFILE={ops}",))[1]
    finally:
        (folder / "model.c").write_text(image.source.model_c)


def _flags(target: Target, optimise: str) -> tuple[str, ...]:
    return (*target.flags, optimise, *FREESTANDING, *WARNINGS, "-Iinclude")


def _compile(
    target: Target, folder: Path, name: str, optimise: str, macros: tuple[str, ...]
) -> tuple[Path, Path]:
    """The model's object and the whole image called `name`."""
    flags = [*_flags(target, optimise), *macros]
    model = compile_object(target, folder, "model.c", flags, f"{name}_model.o")
    return model, link(target, folder, name, ["harness.c"], [model], flags)


def link(
    target: Target,
    folder: Path,
    name: str,
    sources: Sequence[str],
    objects: Sequence[Path] = (),
    flags: Sequence[str] = (),
) -> Path:
    """Compile `sources`, which hold `main` and know `board.h`, in a folder that was laid out; link them with `objects`.

    Raises:
        ToolError: the cross compiler is missing or refused a source.
    """
    flags = list(flags) or list(_flags(target, "-O2"))
    board = [f"-D{key}={value}" for key, value in target.board.items()]
    board.append(f"-DFRAMES={target.frames.start:#x}u")
    # a loop that fills memory must not become a call of itself
    own = {"memory.c": ["-fno-tree-loop-distribute-patterns"], f"{target.family}.c": board}
    compiled = [
        compile_object(target, folder, source, [*flags, *extra], f"{name}_{Path(source).stem}.o")
        for source, extra in [*own.items(), *((source, board) for source in sources)]
    ]
    image = folder / f"{name}.elf"
    command = [str(tool(f"{target.prefix}gcc")), *target.flags, *LINK, "-T", "link.ld", "-o", image.name]
    call([*command, *(path.name for path in [*objects, *compiled]), "-lgcc"], folder)
    return image


def compile_object(target: Target, folder: Path, source: str, flags: Sequence[str], out: str) -> Path:
    """Compile one file of `folder` to the object `out` beside it.

    Raises:
        ToolError: the cross compiler is missing or refused the source.
    """
    call([str(tool(f"{target.prefix}gcc")), *flags, "-c", source, "-o", out], folder)
    return folder / out


def undefined(target: Target, path: Path) -> set[str]:
    """Symbols that an object needs from others."""
    return {
        line.split()[-1]
        for line in call([str(tool(f"{target.prefix}nm")), "-u", path.name], path.parent).splitlines()
    }


def call(command: list[str], folder: Path) -> str:
    """Standard output of a tool.

    Raises:
        ToolError: it failed; the message carries its first lines.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = "\n".join(done.stderr.strip().split("\n")[:12])
        raise ToolError(f"{Path(command[0]).name} failed on {' '.join(command[-3:])}:\n{lines}")
    return done.stdout
