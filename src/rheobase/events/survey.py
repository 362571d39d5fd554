"""What is in a recording file, and what is wrong with it, in one pass and bounded memory.

Nothing is refused that can be decoded: events out of order or outside the sensor are counted.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.events.format import Format
from rheobase.events.read import find_format
from rheobase.events.source import opened
from rheobase.events.stream import Block, Damage

PIXEL_LIMIT = 1 << 22
"""Sensors of more pixels are not searched for hot ones."""
GAP_SECONDS, GAP_INTERVALS = 0.1, 1000
GAPS_KEPT = 100_000
"""As many silences are looked at, the longest: they make three hours."""
HOT_EVENTS, HOT_RATIO = 100, 20


@dataclass
class Survey:
    """The facts of a file; times in ticks of `time_unit`."""

    format: str
    width: int
    height: int
    size_stated: bool
    label: int | None
    time_unit: float
    events: int = 0
    on: int = 0
    first: int = 0
    last: int = 0
    """The smallest and the largest time."""
    disorder: int = 0
    """Events earlier than the one before them."""
    outside: int = 0
    """Events with a coordinate outside the sensor, or a polarity other than 0 and 1."""
    gaps: int = 0
    """Silences of 0.1 s and more, and a thousand times the mean interval."""
    longest_gap: int = 0
    hot: list[tuple[int, int, int]] = field(default_factory=list)
    """Pixels (x, y, events) with 100 events and 20 times the mean of pixels that have any; the hottest first."""
    damage: str = ""
    """Where and how a salvaged file is damaged: what follows was not read."""

    @property
    def seconds(self) -> float:
        """From the smallest time to the largest."""
        return (self.last - self.first) * self.time_unit

    @property
    def rate(self) -> float:
        """Events a second; 0 where there is no duration."""
        return self.events / self.seconds if self.seconds > 0 else 0.0

    def warnings(self) -> list[str]:
        """What a user should know, a line each."""
        found = []
        if self.damage:
            found.append(f"damaged: {self.damage}; {self.events:,} events come before it")
        if not self.events:
            found.append("no events")
        if self.disorder:
            found.append(f"{self.disorder:,} events are earlier than the one before; --sort sorts them")
        if self.outside:
            found.append(
                f"{self.outside:,} events lie outside {self.height}x{self.width} pixels or are neither ON nor OFF"
            )
        if self.gaps:
            found.append(f"{self.gaps:,} gaps, the longest of {self.longest_gap * self.time_unit:.3f} s")
        if self.hot:
            x, y, count = self.hot[0]
            share = count / self.events
            found.append(
                f"{len(self.hot):,} hot pixels; x {x}, y {y} has {count:,} events, {100 * share:.1f} % of all"
            )
        return found


def survey(
    path: Path | str,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    salvage: bool = False,
) -> Survey:
    """What is in a file; with `salvage`, of a damaged file what comes before the damage.

    Raises:
        DataError: the format is not known, or the file is absent or damaged.
    """
    made = find_format(path, format)
    found, longest = _count(path, made, width, height, salvage)
    if found.events:
        interval = (found.last - found.first) / found.events
        least = max(GAP_SECONDS / found.time_unit, GAP_INTERVALS * interval)
        gaps = longest[longest >= least]
        found.gaps, found.longest_gap = len(gaps), int(gaps.max(initial=0))
    return found


def _count(
    path: Path | str, made: Format, width: int | None, height: int | None, salvage: bool
) -> tuple[Survey, NDArray[np.int64]]:
    """All but the gaps, and the longest intervals between events."""
    with opened(path) as source, made.reporting(source, False):
        stream = made.start(source, width, height)
        stated = stream.width is not None and stream.height is not None
        found = Survey(made.name, 1, 1, stated, stream.label, stream.time_unit)
        pixels = Pixels(stream.width, stream.height)
        longest, before = np.zeros(0, np.int64), None
        try:
            for block in stream.blocks:
                if len(block):
                    longest = np.sort(np.concatenate([longest, _tally(found, block, before)]))[-GAPS_KEPT:]
                    before = int(block.t[-1])
                    found.outside += pixels.add(block)
        except Damage as damage:
            if not salvage:
                raise
            found.damage = f"{damage.place}: {damage.what}" if damage.place else damage.what
    found.width, found.height, found.hot = pixels.width, pixels.height, pixels.hot()
    return found, longest


def _tally(found: Survey, block: Block, before: int | None) -> NDArray[np.int64]:
    """Add a block to the survey; its intervals that may be gaps."""
    t = block.t.astype(np.int64)
    low, high = int(t.min()), int(t.max())
    found.first = min(found.first, low) if found.events else low
    found.last = max(found.last, high) if found.events else high
    found.events += len(t)
    found.on += int(np.count_nonzero(block.p == 1))
    steps = np.diff(t, prepend=t[0] if before is None else before)
    found.disorder += int(np.count_nonzero(steps < 0))
    return steps[steps * found.time_unit >= GAP_SECONDS]


class Pixels:
    """Counts of events by pixel, on a sensor that may still grow where its size is not stated."""

    def __init__(self, width: int | None, height: int | None):
        self.width, self.height = width or 1, height or 1
        self._grows = width is None, height is None
        self._counts = np.zeros((0, 0), np.int32)

    def add(self, block: Block) -> int:
        """Count the events of a block; how many lie outside the sensor."""
        x, y = block.x.astype(np.int64), block.y.astype(np.int64)
        if self._grows[0]:
            self.width = max(self.width, min(int(x.max()) + 1, 1 << 16))
        if self._grows[1]:
            self.height = max(self.height, min(int(y.max()) + 1, 1 << 16))
        good = (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height) & ((block.p == 0) | (block.p == 1))
        if self.width * self.height <= PIXEL_LIMIT:
            if self._counts.shape != (self.height, self.width):
                larger = np.zeros((self.height, self.width), np.int32)
                larger[: self._counts.shape[0], : self._counts.shape[1]] = self._counts
                self._counts = larger
            np.add.at(self._counts, (y[good], x[good]), 1)
        return int(np.count_nonzero(~good))

    def hot(self) -> list[tuple[int, int, int]]:
        """The hot pixels as (x, y, events), the hottest first."""
        active = self._counts[self._counts > 0]
        if not len(active):
            return []
        y, x = np.nonzero(self._counts >= max(HOT_EVENTS, HOT_RATIO * active.mean()))
        found = zip(x.tolist(), y.tolist(), self._counts[y, x].tolist(), strict=True)
        return sorted(found, key=lambda pixel: -pixel[2])
