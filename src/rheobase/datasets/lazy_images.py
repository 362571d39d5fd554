"""Still images that stay in their files: a batch is decoded, resized and cut when it is asked for, and nothing is kept.

The shorter side becomes `round(8 size / 7)` pixels (256 for 224; images already of `size` x `size` are left alone), bilinearly,
and the `size` x `size` pixels in the middle are taken. JPEG files are decoded at a half, quarter or eighth of their size
where that is still large enough, so pixels depend on the version of Pillow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import FrameSet
from rheobase.datasets.pool import Pool
from rheobase.datasets.split import Indices
from rheobase.datasets.still import StillImages, seen
from rheobase.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")


class LazyFrames:
    """What an array of the frames of many images would be, as far as rows of it are concerned.

    Rows by number, slice or array of numbers are decoded (`frames[rows]`, `take`); `frames[:, :t]` is lazy itself, of
    fewer steps. Each process or thread decodes the rows it asks for, and no others.

    Shape: uint8 [N, T, 3, size, size]; the time axis has stride 0.
    Raises:
        DataError: a file is no image, when its row is asked for.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, files: Sequence[str], size: int, T: int) -> None:
        self.folder, self.files, self.size = folder, files, size
        self.shape = (len(files), T, 3, size, size)
        image = 3 * size * size
        self.strides = (image, 0, size * size, size, 1)
        self.ndim, self.nbytes = 5, len(files) * image

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, steps, *rest = key
            if rows == slice(None) and isinstance(steps, slice) and not rest:
                return LazyFrames(self.folder, self.files, self.size, len(range(self.shape[1])[steps]))
            return self[rows][(slice(None), *key[1:])] if not np.isscalar(rows) else self[rows][key[1:]]
        if isinstance(key, slice):
            return self.take(range(*key.indices(len(self))))
        chosen = np.asarray(key)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        return self.take(chosen) if chosen.ndim else self.take(chosen[None])[0]

    def take(self, indices: ArrayLike, axis: int = 0, out: None = None, mode: str = "raise") -> NDArray[Any]:
        """Rows, as `numpy.take` along the first axis. Shape: [n, T, 3, size, size]."""
        if axis != 0:
            raise DataError(f"images in files are taken by row (axis 0), not along axis {axis}")
        rows = np.asarray(indices, dtype=np.int64)
        pixels = np.empty((len(rows), *self.shape[2:]), np.uint8)
        for i, row in enumerate(rows.tolist()):
            pixels[i] = decoded(self.folder / self.files[row], self.size)
        return seen(pixels, self.shape[1])


def decoded(path: Path, size: int) -> NDArray[np.uint8]:
    """The middle of an image. Shape: [3, size, size].

    Raises:
        DataError: the file is absent, no image, or damaged.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            cut = image if image.size == (size, size) else _middle(image, size)
            pixels = np.asarray(cut.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); get the file again") from error
    return pixels.transpose(2, 0, 1)


def _middle(image: Image.Image, size: int) -> Image.Image:
    shorter = round(size * 8 / 7)
    scale = shorter / min(image.size)
    wide, high = (max(shorter, round(side * scale)) for side in image.size)
    image.draft("RGB", (wide, high))
    left, top = (wide - size) // 2, (high - size) // 2
    resized = image.convert("RGB").resize((wide, high), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


@dataclass(frozen=True, eq=False)
class ImageFiles(Pool):
    """Images in files below a folder, `names` their paths below it; `sensor` is (size, size)."""

    folder: Path

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Deal the files out, each seen T times; none is opened."""
        size = self.sensor[0]
        parts = []
        for some in rows:
            files = tuple(self.names[i] for i in some)
            frames = cast(NDArray[np.uint8], LazyFrames(self.folder, files, size, config.T))
            parts.append(FrameSet(frames, self.labels[some], files, StillImages()))
        return parts
