"""One piece of memory for all values of a step, planned by when they live."""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 4


@dataclass(eq=False)
class Block:
    """Memory of a value from the op that writes it to the last one that reads it."""

    size: int  # bytes
    first: int
    last: int = 0
    offset: int = 0

    def meets(self, other: "Block") -> bool:
        """Whether both live at the same time; an op's inputs and its result do."""
        return self.first <= other.last and other.first <= self.last


def plan(blocks: Sequence[Block]) -> int:
    """Give every block an offset such that blocks that live at the same time lie apart; return the bytes in all.

    Blocks are placed from the largest on, each at the lowest offset that is free while it lives.
    """
    placed: list[Block] = []
    for block in sorted(dict.fromkeys(blocks), key=lambda block: (-block.size, block.first)):
        block.offset = 0
        for other in sorted((o for o in placed if o.meets(block)), key=lambda other: other.offset):
            if block.offset + block.size <= other.offset:
                break
            block.offset = max(block.offset, _aligned(other.offset + other.size))
        placed.append(block)
    return max((_aligned(block.offset + block.size) for block in placed), default=0)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
