"""Recordings as frames of event counts: binned once, kept in the cache, dealt out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.cache import Arrays, cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import FrameSet
from rheobase.datasets.packed import Recordings
from rheobase.datasets.pool import Pool
from rheobase.datasets.split import Indices
from rheobase.errors import DataError
from rheobase.events import (
    Recording,
    background_filter,
    bin_by_count,
    bin_by_time,
    downsample,
    refractory_filter,
)

LIMIT = 255
"""Counts above this saturate: frames are bytes."""


@dataclass(frozen=True)
class Binning:
    """How a data set makes frames of a recording.

    `span` are the ticks that frames of equal time divide, `background` and `refractory` the filters of noise, in ticks.
    """

    T: int
    kind: Literal["time", "count"]
    size: int | None = None
    span: tuple[int, int] | None = None
    background: int | None = None
    refractory: int | None = None

    def counts(self, recording: Recording) -> NDArray[np.int32]:
        """Event counts of a recording that is already on the sensor of the frames; zeros where the filters take all.

        Shape: int32 [T, 2, H, W].

        Raises:
            DataError: the recording has no events.
        """
        kept = self._filtered(recording)
        if len(recording) and not len(kept):
            return np.zeros((self.T, 2, recording.height, recording.width), np.int32)
        if self.kind == "count":
            return bin_by_count(kept, self.T)
        start, stop = self.span or (None, None)
        return bin_by_time(kept, self.T, start=start, stop=stop)

    def _filtered(self, recording: Recording) -> Recording:
        if self.refractory is not None:
            recording = refractory_filter(recording, self.refractory)
        if self.background is not None:
            recording = background_filter(recording, self.background)
        return recording


@dataclass(frozen=True, eq=False)
class Binned:
    """Where the rows of a part come from: recordings of `source`, by their indices there, and the binning."""

    source: Recordings = field(repr=False)
    indices: Indices = field(repr=False)
    binning: Binning

    def recording(self, row: int) -> Recording:
        """The recording behind a row, on the sensor of the frames."""
        return resize(self.source.recording(int(self.indices[row])), self.binning.size)

    def frames(self, recording: Recording) -> NDArray[np.uint8]:
        """Saturated counts. Shape: uint8 [T, 2, H, W]."""
        return np.minimum(self.binning.counts(recording), LIMIT).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class EventPool(Pool):
    """Recordings that can be fetched one by one.

    `raw` is a digest of the raw data (the key of cached frames). `span` is the window in ticks that frames of equal
    time divide, None for that of each recording.
    """

    recordings: Recordings
    raw: str
    span: tuple[int, int] | None = None

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Bin the pool (or find it binned in the cache) and deal it out.

        Raises:
            DataError: a recording cannot be binned.
        """
        filters = (config.background_filter, config.refractory_filter)
        binning = Binning(config.T, config.binning, config.size, self.span, *filters)
        key = {"raw": self.raw, "recordings": len(self.names), **asdict(binning)}
        arrays = cached(f"{config.name}/frames", key, lambda: _bin(binning, self), keep=config.cache)
        return [
            FrameSet(
                frames=arrays["frames"][some],
                labels=self.labels[some],
                names=tuple(self.names[i] for i in some),
                origin=Binned(self.recordings, some, binning),
                saturated=int(arrays["saturated"][some].sum()),
            )
            for some in rows
        ]


def resize(recording: Recording, size: int | None) -> Recording:
    """The recording on a sensor of `size` x `size` pixels; None leaves it as it is."""
    return recording if size is None else downsample(recording, size=(size, size))


def _bin(binning: Binning, pool: EventPool) -> Arrays:
    height, width = pool.sensor if binning.size is None else (binning.size, binning.size)
    frames = np.zeros((len(pool.names), binning.T, 2, height, width), np.uint8)
    saturated = np.zeros(len(pool.names), np.int64)
    for i, name in enumerate(pool.names):
        try:
            counts = binning.counts(resize(pool.recordings.recording(i), binning.size))
        except DataError as error:
            message = str(error)
            raise DataError(message if name in message else f"recording {name}: {message}") from error
        saturated[i] = np.count_nonzero(counts > LIMIT)
        frames[i] = np.minimum(counts, LIMIT)
    return {"frames": frames, "saturated": saturated}
