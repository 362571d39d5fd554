"""CIFAR-10 as JPEG images in one `.npz`, a tenth the size of the original and close to it, but not it.

Arrays: `jpeg`, the bytes of all files; `offsets` [N + 1], where image `i` starts and ends; `label` [N]; `is_test` [N].
"""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from rheobase.datasets.cache import Arrays, cached
from rheobase.datasets.still import Images
from rheobase.errors import DataError
from rheobase.files import sha256_file

FILE = "cifar10_jpeg.npz"
SIZE = 32


def read(path: Path, *, keep: bool = True) -> tuple[Images, Images]:
    """The training and the test images, decoded once and cached.

    Raises:
        DataError: the file is damaged, or an image is no JPEG of 32x32 pixels.
    """
    key = {"raw": sha256_file(path), "pillow": PIL.__version__}
    arrays = cached("cifar10/images", key, lambda: _decoded(path), keep=keep)
    pixels, labels, test = arrays["pixels"], arrays["labels"], arrays["test"]
    return Images(pixels[~test], labels[~test]), Images(pixels[test], labels[test])


def _decoded(path: Path) -> Arrays:
    arrays = _arrays(path)
    jpeg, offsets = arrays["jpeg"].tobytes(), arrays["offsets"].tolist()
    pixels = np.empty((len(arrays["label"]), 3, SIZE, SIZE), np.uint8)
    for i in range(len(pixels)):
        pixels[i] = _image(jpeg[offsets[i] : offsets[i + 1]], f"{path}: image {i}").transpose(2, 0, 1)
    return {
        "pixels": pixels,
        "labels": arrays["label"].astype(np.int64),
        "test": arrays["is_test"].astype(bool),
    }


def _arrays(path: Path) -> Arrays:
    """The arrays of the file, which fit each other."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("jpeg", "offsets", "label", "is_test")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error
    count, offsets = len(arrays["label"]), arrays["offsets"]
    fits = len(offsets) == count + 1 and len(arrays["is_test"]) == count
    if (
        not fits
        or offsets[0] != 0
        or offsets[-1] != len(arrays["jpeg"])
        or bool((np.diff(offsets) < 0).any())
    ):
        raise DataError(
            f"{path}: {count} labels, {len(offsets)} offsets and {len(arrays['jpeg'])} bytes of images do not fit each "
            "other; get the file again"
        )
    return arrays


def _image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Shape: [32, 32, 3]."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise DataError(f"{name} cannot be decoded ({error}); get the file again") from error
    if pixels.shape != (SIZE, SIZE, 3):
        raise DataError(f"{name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, expected {SIZE} x {SIZE}")
    return pixels
