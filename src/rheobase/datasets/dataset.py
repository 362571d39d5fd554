"""A data set ready to train on: frames, labels, and the recordings they came from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.cache import Arrays, cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.packed import Recordings
from rheobase.datasets.pool import Pool
from rheobase.datasets.split import Indices, Split, split_digest
from rheobase.errors import DataError
from rheobase.events import Recording, bin_by_count, bin_by_time, downsample

LIMIT = 255
"""Counts above this saturate: frames are bytes."""


@dataclass(frozen=True)
class Binning:
    """How a data set makes frames of a recording; `span` are the ticks that frames of equal time divide."""

    T: int
    kind: Literal["time", "count"]
    size: int | None = None
    span: tuple[int, int] | None = None

    def counts(self, recording: Recording) -> NDArray[np.int32]:
        """Event counts of a recording that is already on the sensor of the frames.

        Shape: int32 [T, 2, H, W].

        Raises:
            DataError: the recording has no events.
        """
        if self.kind == "count":
            return bin_by_count(recording, self.T)
        start, stop = self.span or (None, None)
        return bin_by_time(recording, self.T, start=start, stop=stop)


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Recordings as frames of event counts; counts above 255 saturate, `saturated` says how many did.

    Shape: frames: uint8 [N, T, 2, H, W], channel = polarity; labels: int64 [N].
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    saturated: int
    source: Recordings = field(repr=False)
    indices: Indices = field(repr=False)
    binning: Binning

    def __len__(self) -> int:
        return len(self.labels)

    def recording(self, index: int) -> Recording:
        """The recording that row `index` was binned from, on the sensor of the frames.

        Raises:
            DataError: there is no such row, or the raw data is gone.
        """
        if not -len(self) <= index < len(self):
            raise DataError(f"there is no recording {index}; this part has {len(self)} of them")
        return resize(self.source.recording(int(self.indices[index])), self.binning.size)

    def frames_from(self, recording: Recording) -> NDArray[np.uint8]:
        """Frames of a recording, binned as those of this set are: `frames_from(recording(i))` is `frames[i]`.

        Shape: uint8 [T, 2, H, W].
        """
        return np.minimum(self.binning.counts(recording), LIMIT).astype(np.uint8)

    def recordings(self) -> Iterator[Recording]:
        """All recordings, in the order of the rows."""
        return (self.recording(index) for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class DataSet:
    """A named data set in three parts that share no recording; `sensor` is `(H, W)`."""

    name: str
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    T: int
    train: FrameSet
    validation: FrameSet
    test: FrameSet
    split_hash: str


def resize(recording: Recording, size: int | None) -> Recording:
    """The recording on a sensor of `size` x `size` pixels; None leaves it as it is."""
    return recording if size is None else downsample(recording, size=(size, size))


def assemble(config: DataConfig, pool: Pool, split: Split) -> DataSet:
    """Bin the pool (or find it binned in the cache) and deal it out.

    Raises:
        DataError: `train_size` asks for more recordings than there are, or a recording cannot be binned.
    """
    train = split.train
    if config.train_size is not None:
        if config.train_size > len(train):
            raise DataError(
                f"train_size is {config.train_size}; {config.name} ({config.split}) has {len(train)}"
            )
        train = train[: config.train_size]
    split = Split(train, split.validation, split.test)
    binning = Binning(config.T, config.binning, config.size, pool.span)
    key = {"raw": pool.raw, "recordings": len(pool.names), **asdict(binning)}
    arrays = cached(f"{config.name}/frames", key, lambda: _bin(binning, pool), keep=config.cache)
    parts = {}
    for part in ("train", "validation", "test"):
        rows = getattr(split, part)
        parts[part] = FrameSet(
            frames=arrays["frames"][rows],
            labels=pool.labels[rows],
            names=tuple(pool.names[i] for i in rows),
            saturated=int(arrays["saturated"][rows].sum()),
            source=pool.recordings,
            indices=rows,
            binning=binning,
        )
    sensor = pool.sensor if config.size is None else (config.size, config.size)
    split_hash = split_digest(split, pool.names, pool.content)
    return DataSet(config.name, pool.classes, sensor, config.T, **parts, split_hash=split_hash)


def _bin(binning: Binning, pool: Pool) -> Arrays:
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
