"""What a program weighs: constants, state and code, measured on the compiled object."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rheobase import native
from rheobase.errors import ProgramError
from rheobase.native import CompilerError
from rheobase.program import elf
from rheobase.program.c99.generator import generate
from rheobase.program.ir import Program

FLAGS = ("-std=c99", "-Os", "-fno-asynchronous-unwind-tables", "-fno-pic")


@dataclass(frozen=True)
class Sizes:
    """Bytes of a compiled program. Flash is `weights + code`, RAM is `state`."""

    bytes_weights: int  # packed weights and the neurons' vectors and tables
    bytes_state: int  # sizeof the state: membranes, logits and scratch
    bytes_code: int  # machine code and every other constant (sizes of convolutions, the hash)
    bytes_membranes: int  # the part of the state that lives between steps
    bytes_scratch: int  # the part of the state that is dead between steps


def measure(program: Program, *, compiler: str | None = None, flags: Sequence[str] = FLAGS) -> Sizes:
    """Compile `model.c` for size and read the object file.

    The packed weights are checked: each array in the object has exactly the bytes that `Weight.bytes` says.
    `compiler` may be a cross compiler: the state's size as well is read from an object, nothing is run.

    Raises:
        ProgramError: the program is not valid, or an array's size is not what was accounted.
        CompilerError: there is no compiler, or it failed.
    """
    source = generate(program)
    cc = compiler or native.compiler()
    if cc is None:
        raise CompilerError(
            "no C compiler found (looked for $CC, cc, gcc, clang); install one to measure code size"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.h").write_text(source.model_h)
        (folder / "kernels.h").write_text(source.kernels_h)
        (folder / "model.c").write_text(source.model_c)
        (folder / "state.c").write_text(
            f'#include "model.h"\nconst char rheobase_state[sizeof({source.prefix}_state)] = {{1}};\n'
        )
        model, state = (_object(cc, flags, folder / each) for each in ("model.c", "state.c"))
    wrong = {
        name: model.objects[name]
        for name, size in source.constants.items()
        if model.objects.get(name, size) != size
    }
    if wrong:
        raise ProgramError(f"arrays of another size than accounted: {wrong}")
    weights = sum(source.constants.values())
    flash = sum(section.size for section in model.sections if section.code or section.constant)
    return Sizes(
        bytes_weights=weights,
        bytes_state=state.objects["rheobase_state"],
        bytes_code=flash - weights,
        bytes_membranes=source.membrane_bytes,
        bytes_scratch=source.scratch_bytes,
    )


def _object(cc: str, flags: Sequence[str], source: Path) -> elf.Elf:
    out = source.with_suffix(".o")
    done = subprocess.run(
        [cc, *flags, "-c", str(source), "-o", str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = "\n".join(done.stderr.strip().split("\n")[:12])
        raise CompilerError(f"{Path(cc).name} could not compile {source.name}:\n{lines}")
    return elf.read(out.read_bytes())
