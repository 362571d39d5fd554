"""What a format gives: blocks of decoded events, and damage where the file is not what it should be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

BLOCK_BYTES = 1 << 17
"""Bytes decoded at once: little enough for the processor's cache, also after decoding."""
SIDE_LIMIT = 65536


class Damage(Exception):
    """The file is not what it should be at `place` (`byte 28`, `line 3`; empty: the file as a whole)."""

    def __init__(self, place: str, what: str):
        super().__init__(what)
        self.place, self.what = place, what


@dataclass(frozen=True)
class Block:
    """Events as they were decoded, not yet checked; `place(i)` says where in the file event `i` lies.

    The arrays are good until the next block is decoded, which may reuse their memory.

    Shape: x, y, t, p: [events].
    """

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.t)

    def part(self, start: int, stop: int) -> "Block":
        """The events `start` to `stop`."""
        x, y, t, p = (array[start:stop] for array in (self.x, self.y, self.t, self.p))
        return Block(x, y, t, p, lambda i: self.place(start + i))


def places(unit: str, start: int, step: int = 1) -> Callable[[int], str]:
    """For events that follow each other every `step` units, where event `i` lies."""
    return lambda i: f"{unit} {start + step * i}"


@dataclass(frozen=True)
class Stream:
    """What the header of an opened file states (None: nothing), and its events."""

    blocks: Iterator[Block]
    width: int | None = None
    height: int | None = None
    label: int | None = None
    time_unit: float = 1e-6
    most: int = 0
    """About as many events as the file can hold, by its size: room to make at once; more is made as needed."""
