"""C and linker scripts around a program's own C: start-up, harness, packages."""

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path
from string import Template


def template(name: str) -> AbstractContextManager[Path]:
    """A file of this package, as a path while the context lasts."""
    return as_file(files(__name__).joinpath(name))


def fill(name: str, /, **parameters: object) -> str:
    """A file of this package with its `${parameters}` filled in."""
    return Template(files(__name__).joinpath(name).read_text()).substitute(parameters)
