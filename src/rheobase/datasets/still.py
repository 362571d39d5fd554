"""Still images as frames: direct coding, the same image at every time step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import FrameSet
from rheobase.datasets.pool import Pool
from rheobase.datasets.split import Indices, Split, confirm, hold_out
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording

PIXEL = 1 / 255
"""What one count of a pixel is worth: images enter a network as 0..1."""


class Images(NamedTuple):
    """Images of one kind with their classes.

    Shape: pixels: uint8 [N, C, H, W]; labels: int64 [N].
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


class StillImages:
    """Where still images come from: no recordings, and every question for one is refused."""

    def recording(self, row: int) -> Recording:
        """Refuse."""
        self._refuse()

    def frames(self, recording: Recording) -> NDArray[np.uint8]:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(
            "still images have no recordings: there are no events to add, drop or show; evaluate them without "
            "robustness, or use an event data set"
        )


@dataclass(frozen=True, eq=False)
class ImagePool(Pool):
    """All images of a data set. Shape: pixels: uint8 [N, C, H, W]."""

    pixels: NDArray[np.uint8]

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Deal the images out, each seen T times."""
        return [
            FrameSet(
                frames=seen(self.pixels[some], config.T),
                labels=self.labels[some],
                names=tuple(self.names[i] for i in some),
                origin=StillImages(),
            )
            for some in rows
        ]


def seen(pixels: NDArray[np.uint8], T: int) -> NDArray[np.uint8]:
    """Images at T time steps, which share their memory: the time axis has stride 0.

    Shape: [N, C, H, W] -> [N, T, C, H, W].
    """
    N, *image = pixels.shape
    per_sample, *inner = pixels.strides
    return as_strided(pixels, (N, T, *image), (per_sample, 0, *inner))


def check_options(config: DataConfig, *, sized: bool = False) -> None:
    """Refuse what means nothing for still images, before any of them is read; `sized`: they can be had of any size.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
    """
    if config.split != "official":
        raise RecipeError(unknown(f"split of {config.name}", config.split, ["official"]))
    events = ("background_filter", "refractory_filter", *(() if sized else ("size",)))
    given = [name for name in events if getattr(config, name) is not None]
    for option in given + ["binning"] * (config.binning != "time"):
        raise RecipeError(
            f"data.{option} is about events, and {config.name} has still images, seen whole at each of the T steps; "
            "leave it out"
        )


def official(
    train: Images, test: Images, classes: tuple[str, ...], *, title: str, content: str = "", frozen: str = ""
) -> tuple[ImagePool, Split]:
    """A pool and its `official` split: the test part as published, of the training part a stratified tenth validates.

    `frozen` is the digest of the split where it is known; other labels, or in another order, give another.

    Raises:
        DataError: a label is none of the classes, or the split is not the frozen one.
    """
    labels = np.concatenate([train.labels, test.labels])
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DataError(
            f"{title}: labels are {labels.min()} to {labels.max()}, and there are {len(classes)} classes; the files "
            "are damaged or of another data set"
        )
    pixels = np.concatenate([train.pixels, test.pixels])
    names = [f"train/{i:05d}" for i in range(len(train.labels))]
    names += [f"test/{i:05d}" for i in range(len(test.labels))]
    split = hold_out(names, labels, np.arange(len(train.labels)), np.arange(len(train.labels), len(labels)))
    confirm(split, names, frozen, title)
    height, width = pixels.shape[-2:]
    pool = ImagePool(
        names, labels, classes, (height, width), pixels, title=title, content=content, input_unit=PIXEL
    )
    return pool, split
