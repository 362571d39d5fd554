"""The fields a foreign file names x, y, t, p, as blocks of events."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.events.stream import Block, Damage

BLOCK_EVENTS = 1 << 15


def require_fields(names: Iterable[str]) -> None:
    """Check that x, y, t and p are among the names.

    Raises:
        Damage: one is missing.
    """
    have = sorted(names)
    if missing := [field for field in "xytp" if field not in have]:
        raise Damage("", f"no field {', '.join(missing)}; it needs x, y, t and p, and has {have}")


class FieldBlocks:
    """Blocks of fields, with polarities of -1 and 1 made 0 and 1; a file has either -1 or 0."""

    def __init__(self) -> None:
        self._zero = self._minus = False

    def block(self, fields: Mapping[str, NDArray[Any]], place: Callable[[int], str]) -> Block:
        """The events of arrays `x, y, t, p`.

        Raises:
            Damage: polarities other than 0 and 1, or -1 and 1.
        """
        x, y, t, p = (fields[field] for field in "xytp")
        if p.dtype.kind == "i" and len(p):
            zero, minus = bool((p == 0).any()), p < 0
            self._zero, self._minus = self._zero or zero, self._minus or bool(minus.any())
            if self._minus and (self._zero or not (np.abs(p) == 1).all()):
                found = np.unique(p)[:5].tolist()
                raise Damage(
                    place(int((p != 1).argmax())), f"polarities are 0 and 1, or -1 and 1; found {found}"
                )
            if self._minus:
                p = (p > 0).astype(np.uint8)
        return Block(x, y, t, p, place)
