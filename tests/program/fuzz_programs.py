"""Random graphs of ops, reference against C: `python tests/program/fuzz_programs.py 2000` (or `make fuzz N=2000`).

Every graph is compiled by every compiler found here (gcc, clang) at -O0, -O2 and -O3, and by the first that has them under
the address and undefined-behaviour sanitizers. All spikes and logits must equal the NumPy reference, on frames that are
random and on frames full of the ends of their range, which reach the proven bounds; and so must the step and class of an early
exit at a random margin. Graphs have any op on any value, kernels chosen for random rates, and maps by row or whole. The first
difference ends the run and leaves the graph in a file.

Graphs are compiled in batches, one translation unit with every kernel once; that a program alone compiles and runs the same
is what test_program_c99 shows.
"""

import argparse
import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from program_cases import frames_for, graphs, programs, signal_programs

from rheobase.program import CompiledProgram, Program, Trace, reference, save, verify
from rheobase.program.c99.emitter import fill, number_rows
from rheobase.program.c99.generator import Source, generate
from rheobase.program.early_exit import exit_steps, margins
from rheobase.program.ops import OPS

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)] or [
    name for name in ("cc",) if shutil.which(name)
]
LEVELS = ("-O0", "-O2", "-O3")
SANITIZE = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BATCH = 250
ENOUGH = 200  # graphs among which every op must occur


class Mismatch(Exception):
    """A graph whose C is not its reference."""

    def __init__(self, case: "Case", what: str) -> None:
        super().__init__(f"graph {case.number}: {what}")
        self.case = case


@dataclass(frozen=True)
class Case:
    """A graph, how its C is generated, and where it may stop."""

    program: Program
    rates: Mapping[int, float] | None = None
    rows: bool | None = None
    margin: int = 0  # in percent of the largest that occurs
    number: int = 0

    @property
    def prefix(self) -> str:
        return f"g{self.number}"

    @cached_property
    def source(self) -> Source:
        return generate(replace(self.program, name=self.prefix), self.rates, rows=self.rows)

    @cached_property
    def frames(self) -> np.ndarray:
        random, ends = frames_for(self.program, 2, self.number), np.iinfo(self.program.input_type)
        full = [np.full_like(random[:, :1], end) for end in {int(ends.max), int(ends.min)}]
        return np.concatenate([random, *full], axis=1)

    @cached_property
    def expected(self) -> Trace:
        return reference.run(self.program, self.frames)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any random program, with rates and rows drawn too."""
    program = draw(
        st.one_of(graphs(), graphs(signals=True), graphs(signals=True), programs(), signal_programs())
    )
    chosen = draw(st.sampled_from([None, 0.02, 0.1, 0.3]))
    rates = None if chosen is None else dict.fromkeys(range(len(program.ops)), chosen)
    return Case(program, rates, draw(st.sampled_from([None, False, True])), draw(st.integers(0, 110)))


def own(text: str, prefix: str) -> str:
    """A file's own names under a prefix, and its includes left out, so that many such files make one translation unit."""
    names = {"keep", *re.findall(r"^static const \w+ (\w+)", text, re.M), *re.findall(r"\bhost_\w+", text)}
    text = re.sub(rf"\b({'|'.join(sorted(names))})\b", rf"{prefix}_\1", text)
    return re.sub(r'^#include "(model|kernels)\.h"$', "", text, flags=re.M)


def unit(batch: Iterable[Case]) -> str:
    """The C of all graphs, their kernels once; functions `g1_host_program` and so on."""
    kernels: dict[str, str] = {}
    parts = []
    for case in batch:
        for name, text in case.source.kernels.items():
            if kernels.setdefault(name, text) != text:
                raise Mismatch(case, f"kernel {name} has two texts")
        names = {"prefix": case.prefix, "PREFIX": case.prefix.upper()}
        host = fill("templates/host.c", **names, frame_type=f"{case.program.input_type}_t")
        parts += [case.source.model_h, own(case.source.model_c, case.prefix), own(host, case.prefix)]
    return "\n".join(["#include <stdint.h>", "#include <string.h>", *kernels.values(), *parts])


def main_for(batch: Iterable[Case]) -> str:
    """A main that runs every graph on heap memory of the exact size and compares its logits."""
    lines = []
    arrays = []
    for case in batch:
        name, logits = case.prefix, case.expected.logits
        frames = number_rows(case.frames)
        arrays += [
            f"static const {case.program.input_type}_t {name}_given[] = {{\n{frames}\n}};",
            f"static const int32_t {name}_wanted[] = {{\n{number_rows(logits)}\n}};",
        ]
        steps, samples = logits.shape[:2]
        lines += [
            f"    memory = malloc({name}_host_program_bytes());",
            f"    logits = malloc(sizeof {name}_wanted);",
            f"    {name}_host_program(memory, {name}_given, {steps}, {samples}, 0, {samples}, logits, NULL);",
            f'    if (memcmp(logits, {name}_wanted, sizeof {name}_wanted)) {{ puts("{case.number}"); return 1; }}',
            "    free(memory), free(logits);",
        ]
    body = "\n".join(["    void *memory;", "    int32_t *logits;", *lines, "    return 0;"])
    return "\n".join(
        ["#include <stdio.h>", "#include <stdlib.h>", *arrays, f"int main(void)\n{{\n{body}\n}}\n"]
    )


def build(compiler: str, flags: Iterable[str], text: str, path: Path) -> None:
    source = path.with_suffix(".c")
    source.write_text(text)
    done = subprocess.run(
        [compiler, "-std=c99", *flags, str(source), "-o", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{compiler} {' '.join(flags)} could not compile {source}:\n{done.stderr[:4000]}")


@cache
def sanitizing(compilers: tuple[str, ...]) -> str | None:
    """The first of the compilers that has the sanitizers."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "a.c")
        source.write_text("int main(void) { return 0; }\n")
        for compiler in compilers:
            command = [compiler, *SANITIZE, str(source), "-o", str(source.with_suffix(""))]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return compiler
    return None


def runner_of(case: Case, library: ctypes.CDLL) -> CompiledProgram:
    """A compiled program whose functions are those of this graph in a batch's library."""
    found = {what: getattr(library, f"{case.prefix}_{what}") for what in ("host_program", "host_run_until")}
    pointer, number = ctypes.c_void_p, ctypes.c_int
    found["host_program"].argtypes = [pointer, pointer, *[number] * 4, pointer, pointer]
    found["host_run_until"].argtypes = [pointer, pointer, number, number, ctypes.c_uint32, pointer, pointer]
    found["host_program_bytes"] = getattr(library, f"{case.prefix}_host_program_bytes")
    found["host_program_bytes"].restype = ctypes.c_size_t
    runner = CompiledProgram(case.program)
    runner.__dict__["_plain"] = runner.__dict__["_traced"] = SimpleNamespace(**found)
    return runner


def compare(case: Case, runner: CompiledProgram, how: str) -> None:
    """Spikes, logits and early exits of one build of one graph.

    Raises:
        Mismatch: one differs.
    """
    found = verify(runner, case.expected, case.frames)
    if not found.exact:
        raise Mismatch(case, f"{how}: {found.first_difference}")
    logits = case.expected.logits
    if logits.shape[2] < 2:
        return
    margin = int(margins(logits).max()) * case.margin // 100
    steps, classes = exit_steps(logits, margin), np.cumsum(logits, axis=0).argmax(axis=-1)
    stopped, used = runner.run_until(case.frames, margin)
    if not (
        np.array_equal(used, steps) and np.array_equal(stopped, classes[steps - 1, np.arange(len(steps))])
    ):
        raise Mismatch(
            case, f"{how}: stops after {used.tolist()} steps at margin {margin}, expected {steps.tolist()}"
        )


def check(batch: list[Case], folder: Path, compilers: list[str], levels: Iterable[str]) -> None:
    """Compare a batch by every compiler and level, and under sanitizers.

    Raises:
        Mismatch: names a graph that differs.
    """
    text = unit(batch)
    for compiler, level in product(compilers, levels):
        path = folder / f"{compiler}{level}-{batch[0].number}.so"
        build(compiler, ["-shared", "-fPIC", "-DRHEOBASE_TRACE", level], text, path)
        library = ctypes.CDLL(str(path))
        for case in batch:
            compare(case, runner_of(case, library), f"{compiler} {level}")
        path.unlink()
    path = folder / "sanitized"
    if (able := sanitizing(tuple(compilers))) is None:
        return
    build(able, SANITIZE, text + main_for(batch), path)
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    if done.returncode:
        case = next((case for case in batch if str(case.number) == done.stdout.strip()), batch[0])
        raise Mismatch(case, f"sanitizers (of this batch): {done.stdout}{done.stderr[:4000]}")


def drawn(count: int, first: int) -> Iterator[list[Case]]:
    """`count` random graphs in batches."""
    made: list[Case] = []
    for start in range(0, count, 500):  # a part at a time, each with a seed of its own

        @seed(first + start)
        @settings(
            max_examples=min(500, count - start),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases())
        def each(case: Case) -> None:
            made.append(case)

        each()
        numbered = [replace(case, number=number) for number, case in enumerate(made, start)]
        for at in range(0, len(numbered), BATCH):
            yield numbered[at : at + BATCH]
        made.clear()


def fuzz(
    count: int,
    first: int = 0,
    compilers: list[str] | None = None,
    levels: Iterable[str] = LEVELS,
    done: Callable[[int], Any] = lambda _: None,
) -> tuple[int, Counter[str]]:
    """Draw and check about `count` graphs (equal ones are drawn once); returns their number, and how many of each op they had.

    Raises:
        Mismatch: a graph differs.
    """
    number, seen = 0, Counter(dict.fromkeys(OPS, 0))
    with tempfile.TemporaryDirectory() as folder:
        for batch in drawn(count, first):
            check(batch, Path(folder), compilers or COMPILERS, levels)
            seen.update(type(op).__name__ for case in batch for op in case.program.ops)
            number += len(batch)
            done(number)
    return number, seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not COMPILERS:
        sys.exit("no C compiler was found (looked for gcc, clang, cc); install one (`apt install gcc clang`)")
    start = time.perf_counter()
    try:
        number, seen = fuzz(arguments.count, arguments.seed, done=lambda n: print(f"{n} graphs", flush=True))
    except Mismatch as found:
        path = Path(f"fuzz-{arguments.seed}-{found.case.number}.safetensors")
        save(found.case.program, path)
        sys.exit(f"{found}\nrates {found.case.rates}, rows {found.case.rows}; the program is in {path}")
    print(", ".join(f"{name} {times}" for name, times in seen.items()))
    missing = [name for name, times in seen.items() if not times]
    if missing and number >= ENOUGH:
        sys.exit(f"no graph had {', '.join(missing)}: tests/program/program_cases.py must draw them")
    able = sanitizing(tuple(COMPILERS))
    sanitized = f"{able} with sanitizers" if able else "no sanitizers (no compiler here has them)"
    builds = ", ".join(f"{compiler} {level}" for compiler, level in product(COMPILERS, LEVELS))
    print(
        f"{number} graphs, {len(COMPILERS) * len(LEVELS)} builds each ({builds}) and {sanitized}: 0 mismatches, "
        f"{time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
