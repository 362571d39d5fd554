"""Events in the order of their pixels, for rules that look back at what a pixel did before."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.events.recording import Recording

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ByPixel:
    """`order` sorts events by pixel, then by place in the recording; pixel `k` has `order[starts[k]:starts[k + 1]]`.

    Only pixels with events count. Shape: order [events], starts [pixels + 1], pixel [events].
    """

    order: Ints
    starts: Ints
    pixel: Ints

    def turns(self) -> Iterator[tuple[Ints, Ints]]:
        """For r = 0, 1, ...: the pixels that have an event of rank r, and that event (its place in the recording)."""
        lengths = np.diff(self.starts)
        pixels = np.arange(len(lengths))
        for rank in range(int(lengths.max(initial=0))):
            pixels = pixels[lengths[pixels] > rank]
            yield pixels, self.order[self.starts[pixels] + rank]


def by_pixel(recording: Recording) -> ByPixel:
    """The events of a recording by pixel."""
    pixel = recording.y.astype(np.int64) * recording.width + recording.x
    order = np.argsort(pixel, kind="stable")
    ordered = pixel[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ByPixel(order, np.append(first, len(ordered)), pixel)
