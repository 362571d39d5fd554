"""A data set ready to train on: frames and labels in three parts, and what the frames were made from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events import Recording

UNLABELLED = -1
"""The label of a step without one, among labels by step `[N, T]`."""


class Origin(Protocol):
    """What the rows of a part were made from: recordings, or still images, which refuse both questions."""

    def recording(self, row: int) -> Recording:
        """The recording behind a row."""
        ...

    def frames(self, recording: Recording) -> NDArray[np.uint8]:
        """Frames of a recording, made as those of the part were. Shape: uint8 [T, 2, H, W]."""
        ...


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Frames and labels, and their origin.

    Frames of recordings hold event counts, channel = polarity; counts above 255 saturate, `saturated` says how
    many did. Frames of a still image are that image T times: a view whose time axis has stride 0, not T copies. Frames of
    a signal have one pixel and a sign, and may be of other lengths in other parts.

    Shape: frames: uint8 or int8 [N, T, C, H, W]; labels: int64 [N], or [N, T] with -1 where a step has none.
    """

    frames: NDArray[Any]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    origin: Origin = field(repr=False)
    saturated: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def recording(self, index: int) -> Recording:
        """The recording that row `index` was binned from, on the sensor of the frames.

        Raises:
            DataError: there is no such row, the raw data is gone, or the rows are still images.
        """
        if not -len(self) <= index < len(self):
            raise DataError(f"there is no recording {index}; this part has {len(self)} of them")
        return self.origin.recording(index)

    def frames_from(self, recording: Recording) -> NDArray[np.uint8]:
        """Frames of a recording, binned as those of this set are: `frames_from(recording(i))` is `frames[i]`.

        Shape: uint8 [T, 2, H, W].
        Raises:
            DataError: the recording has no events, or the rows are still images.
        """
        return self.origin.frames(recording)

    def recordings(self) -> Iterator[Recording]:
        """All recordings, in the order of the rows."""
        return (self.recording(index) for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class BoxedFrames(FrameSet):
    """Frames with the boxes of what they show at the end of each frame, for detection.

    `[x0, y0, x1, y1]` in pixels of the frames, x1 and y1 exclusive. `kinds` are indices into `objects`, -1 where there is no
    further object (its boxes are zeros).

    Shape: boxes: float32 [N, T, M, 4]; kinds: int64 [N, M], M the most objects of a recording.
    """

    boxes: NDArray[np.float32] = field(kw_only=True)
    kinds: NDArray[np.int64] = field(kw_only=True)
    objects: tuple[str, ...] = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A named data set in three parts that share no row; `sensor` is `(H, W)`.

    `input_unit` is what one count of a frame is worth to a network: 1 for events, 1/255 for pixels.
    """

    name: str
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    T: int
    train: FrameSet
    validation: FrameSet
    test: FrameSet
    split_hash: str
    input_unit: float = 1.0
