"""Where events are decoded to: arrays of a recording's types that grow."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.events.stream import Block

ARRAYS = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


class Room:
    """Events that are kept, and behind them free entries, which the next block is decoded to.

    A block that lies there already is kept without a copy; one that is not kept is written over by the next.
    """

    def __init__(self, room: int = 1):
        self.count = 0
        self._arrays: dict[str, NDArray[Any]] = {}
        self._starts: tuple[tuple[int, int], ...] = ()
        self._hold(max(room, 1))

    def _hold(self, room: int) -> None:
        self._arrays = {name: np.empty(room, kind) for name, kind in ARRAYS.items()}
        self._starts = tuple((array.ctypes.data, array.itemsize) for array in self._arrays.values())

    def reserve(self, n: int) -> None:
        """Have `n` free entries."""
        wanted, before = self.count + n, self._arrays
        if wanted > len(before["t"]):
            self._hold(
                max(wanted, len(before["t"]) * 3 // 2)
            )  # new arrays: large ones then lie in huge pages
            for name, array in self._arrays.items():
                array[: self.count] = before[name][: self.count]

    def free(self, n: int) -> list[int]:
        """The addresses of `n` free entries of x, y, t and p."""
        self.reserve(n)
        return [start + self.count * size for start, size in self._starts]

    def decoded(self, n: int, place: Callable[[int], str]) -> Block:
        """The first `n` free entries, which have been written to, as a block."""
        x, y, t, p = (array[self.count : self.count + n] for array in self._arrays.values())
        return Block(x, y, t, p, place)

    def append(self, block: Block) -> None:
        """Keep the events of a block."""
        n = len(block)
        if block.t.ctypes.data != self.free(n)[2]:
            for name, array in self._arrays.items():
                array[self.count : self.count + n] = getattr(block, name)
        self.count += n

    def take(self) -> dict[str, NDArray[Any]]:
        """The events kept, which there then are no longer."""
        for array in self._arrays.values():
            array.resize(self.count, refcheck=False)
        arrays, self.count = self._arrays, 0
        self._hold(1)
        return arrays
