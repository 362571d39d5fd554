"""A program's C as a component of the build systems of microcontrollers.

Each package holds the same `model.c`, `model.h` and `kernels.h` that `write_c` writes; what differs is the
metadata around them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import RecipeError, unknown
from rheobase.files import atomic_write
from rheobase.program import Program, write_c
from rheobase.program.c99.generator import c_name
from rheobase.targets.templates import fill

MODEL = ("model.h", "model.c", "kernels.h")


@dataclass(frozen=True)
class Layout:
    """Where a build system expects what: sources of the model, and files made from templates."""

    sources: str  # folder of the sources, relative to the package's
    files: dict[str, str]  # path in the package, by template; `{prefix}` stands for the C prefix
    self_test: bool = False


PACKAGES = {
    "cmake": Layout("src", {"CMakeLists.txt": "CMakeLists.txt"}, self_test=True),
    "arduino": Layout(
        "src",
        {
            "library.properties": "library.properties",
            "header.h": "src/{prefix}.h",
            "example.ino": "examples/Classify/Classify.ino",
        },
    ),
    "zephyr": Layout(
        "src",
        {"module.yml": "zephyr/module.yml", "CMakeLists.txt": "CMakeLists.txt", "Kconfig": "Kconfig"},
    ),
    "esp-idf": Layout("src", {"idf_component.yml": "idf_component.yml", "CMakeLists.txt": "CMakeLists.txt"}),
}


def write_package(
    program: Program,
    kind: str,
    folder: Path,
    golden_frames: NDArray[np.uint8] | None = None,
    *,
    rates: Mapping[int, float] | None = None,
) -> list[Path]:
    """Write a program as a package of `kind` (`cmake`, `arduino`, `zephyr`, `esp-idf`); return the paths.

    `golden_frames` and `rates` as in `write_c`. The self-test goes with the CMake package alone.

    Raises:
        RecipeError: an unknown kind.
        ProgramError, DataError, OSError: as `write_c`.
    """
    if kind not in PACKAGES:
        raise RecipeError(unknown("package", kind, PACKAGES))
    layout, prefix = PACKAGES[kind], c_name(program.name)
    texts = {}
    with tempfile.TemporaryDirectory() as name:
        write_c(program, Path(name), golden_frames, rates=rates)
        for source in (*MODEL, *(("self_test.c",) * layout.self_test)):
            texts[f"{layout.sources}/{source}"] = Path(name, source).read_text()
        texts["README.md"] = Path(name, "README.md").read_text()
    channels, height, width = program.input_shape
    for template, path in layout.files.items():
        texts[path.format(prefix=prefix)] = fill(
            f"{kind}/{template}",
            name=program.name,
            prefix=prefix,
            PREFIX=prefix.upper(),
            channels=channels,
            height=height,
            width=width,
            classes=program.classes,
            steps=program.T,
            version=f"{program.version}.0.0",
            digest=program.digest(),
            frame_type=f"{program.input_type}_t",
        )
    for path, text in texts.items():
        atomic_write(folder / path, text)
    return [folder / path for path in texts]
