"""Random graphs of ops, reference against C: `python tests/program/fuzz_programs.py 2000` (or `make fuzz N=2000`).

Every graph is compiled by every compiler found here (gcc, clang) at -O0, -O2 and -O3, and by gcc under the address and
undefined-behaviour sanitizers; all spikes and logits must equal the NumPy reference, on frames that are random and on frames
full of 255, which reach the proven bounds. The first difference ends the run with the graph's seed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from program_cases import frames_for, graphs

from rheobase import native
from rheobase.program import CompiledProgram, Program, reference, verify, write_c

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
LEVELS = ("-O0", "-O2", "-O3")
SANITIZE = ("-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def choose(compiler: str) -> None:
    """Let programs be compiled by this one from now on."""
    os.environ["CC"] = compiler
    native.compiler.cache_clear()
    native.compiler_version.cache_clear()
    assert Path(native.compiler() or "").name == compiler


def check(program: Program) -> int:
    """Compare one program's C with its reference; returns the number of builds that were compared."""
    random = frames_for(program, 2, 0)
    frames = np.concatenate([random, np.full_like(random, 255)], axis=1)
    expected = reference.run(program, frames)
    builds = 0
    for compiler in COMPILERS:
        choose(compiler)
        for level in LEVELS:
            found = verify(CompiledProgram(program, flags=("-std=c99", level)), expected, frames)
            assert found.exact, f"{compiler} {level}: {found.first_difference}"
            builds += 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_c(program, folder, frames)
        command = [COMPILERS[0], *SANITIZE, "model.c", "self_test.c", "-o", "self_test"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        done = subprocess.run([folder / "self_test"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr
    return builds + 1


def fuzz(count: int, first: int) -> int:
    """Draw and check `count` graphs; returns the number of builds."""
    builds = 0

    @seed(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs())
    def each(program: Program) -> None:
        nonlocal builds
        builds += check(program)

    each()
    return builds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not COMPILERS:
        sys.exit("neither gcc nor clang was found; install one (`apt install gcc clang`)")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["RHEOBASE_CACHE"] = cache
        builds = fuzz(arguments.count, arguments.seed)
    print(
        f"{arguments.count} graphs, {builds} builds ({', '.join(COMPILERS)}; {', '.join(LEVELS)}; sanitizers): "
        f"0 mismatches, {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
