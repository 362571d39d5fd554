"""The errors rheobase raises on purpose: what was given, what was expected, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class RheobaseError(Exception):
    """Base of every error raised on purpose; the command line prints its message as one line."""


class DataError(RheobaseError):
    """A recording, data set or tensor is not what it should be."""


class RecipeError(RheobaseError):
    """A recipe, override, name or option cannot be used."""


class CheckpointError(RheobaseError):
    """A run folder or checkpoint cannot be written, read or trusted."""


class LatticeError(RheobaseError):
    """A layer cannot be put on the integer lattice; the message names layer and reason."""


class ProgramError(RheobaseError):
    """A program is malformed, of another version, or cannot be compiled or run."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown name that suggests the nearest known one.

    >>> unknown("model", "vgg8", ["vgg9", "ms_resnet18"])
    "unknown model 'vgg8'; did you mean 'vgg9'? Known: ms_resnet18, vgg9"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}"
