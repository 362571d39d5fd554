"""A program's C, and the C in front of it, as a component of the build systems of microcontrollers.

Each package holds the same `model.c`, `model.h` and `kernels.h` that `write_c` writes, the sources of its `Feed`, a readme, and
an example that feeds the network and prints decisions; what differs is the metadata around them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rheobase.errors import RecipeError, unknown
from rheobase.files import atomic_write
from rheobase.program import Program, write_c
from rheobase.program.c99.generator import c_name
from rheobase.program.early_exit import NEVER
from rheobase.targets.templates import fill

MODEL = ("model.h", "model.c", "kernels.h")
SOURCES = "src"
"""Folder of the C in a package."""


@dataclass(frozen=True)
class Feed:
    """What the network of a package is fed with, and the C between that and its frames."""

    input: str
    """What it is, in words."""

    example: str
    """C that defines `static void classify(void)`, which feeds the network, resets included, and calls `show(class)`."""

    sources: dict[str, str] = field(default_factory=dict)
    """C beside the network's, headers too, by file name."""

    tests: dict[str, str] = field(default_factory=dict)
    """Programs that return 0 where a build computes what it should, by file name."""

    readme: str = ""


@dataclass(frozen=True)
class Layout:
    """Where a build system expects files made from templates, and whether it runs tests."""

    files: dict[str, str]  # path in the package, by template; `{prefix}` stands for the C prefix
    tests: bool = False


PACKAGES = {
    "cmake": Layout(
        {"CMakeLists.txt": "CMakeLists.txt", "main.c": "examples/classify/main.c"},
        tests=True,
    ),
    "arduino": Layout(
        {
            "library.properties": "library.properties",
            "header.h": "src/{prefix}.h",
            "example.ino": "examples/Classify/Classify.ino",
        },
    ),
    "zephyr": Layout(
        {
            "module.yml": "zephyr/module.yml",
            "CMakeLists.txt": "CMakeLists.txt",
            "Kconfig": "Kconfig",
            "example.cmake": "examples/classify/CMakeLists.txt",
            "prj.conf": "examples/classify/prj.conf",
            "main.c": "examples/classify/src/main.c",
        },
    ),
    "esp-idf": Layout(
        {
            "idf_component.yml": "idf_component.yml",
            "CMakeLists.txt": "CMakeLists.txt",
            "example.cmake": "examples/classify/CMakeLists.txt",
            "main.cmake": "examples/classify/main/CMakeLists.txt",
            "main.c": "examples/classify/main/main.c",
        },
    ),
}


def write_package(
    program: Program,
    kind: str,
    folder: Path,
    golden_frames: NDArray[Any] | None = None,
    *,
    feed: Feed | None = None,
    rates: Mapping[int, float] | None = None,
    margin: int = NEVER,
) -> list[Path]:
    """Write a program as a package of `kind` (`cmake`, `arduino`, `zephyr`, `esp-idf`); return the paths.

    `feed` is what stands in front of the network; None: frames go in as they are. `golden_frames`, `rates` and `margin` as in
    `write_c`. Tests go with the CMake package alone.

    Raises:
        RecipeError: an unknown kind.
        ProgramError, DataError, OSError: as `write_c`.
    """
    if kind not in PACKAGES:
        raise RecipeError(unknown("package", kind, PACKAGES))
    layout, prefix, feed = PACKAGES[kind], c_name(program.name), feed or frames(program)
    with tempfile.TemporaryDirectory() as name:
        write_c(program, Path(name), golden_frames, rates=rates, margin=margin)
        network, test, readme = (
            {file: Path(name, file).read_text() for file in files}
            for files in (MODEL, ("self_test.c",), ("README.md",))
        )
    sources, tests = feed.sources | network, (test | feed.tests) if layout.tests else {}
    texts = {f"{SOURCES}/{file}": text for file, text in (sources | tests).items()}
    texts["README.md"] = "\n".join([readme["README.md"], *([feed.readme] * bool(feed.readme))])
    for template, path in layout.files.items():
        texts[path.format(prefix=prefix)] = fill(
            f"{kind}/{template}",
            name=program.name,
            prefix=prefix,
            PREFIX=prefix.upper(),
            input=feed.input,
            example=feed.example,
            includes="\n".join(
                f'#include "{file}"' for file in (*feed.sources, "model.h") if file[-2:] == ".h"
            ),
            sources=" ".join(f"{SOURCES}/{file}" for file in sources if file[-2:] == ".c"),
            tests=" ".join(Path(file).stem for file in tests),
            classes=program.classes,
            version=f"{program.version}.0.0",
            digest=program.digest(),
        )
    for path, text in texts.items():
        atomic_write(folder / path, text)
    return [folder / path for path in texts]


def frames(program: Program) -> Feed:
    """The network alone: frames come from the application."""
    channels, height, width = program.input_shape
    prefix = c_name(program.name)
    return Feed(
        f"frames of event counts, {channels} x {height} x {width} bytes a step",
        fill(
            "frames.c",
            prefix=prefix,
            PREFIX=prefix.upper(),
            frame_type=f"{program.input_type}_t",
            channels=channels,
            height=height,
            width=width,
        ),
    )
