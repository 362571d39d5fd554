"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels, in the official binary files.

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 bytes of red, green and blue, row by row.
Where the binary files of CIFAR-10 are absent, `cifar10_jpeg.npz` takes their place, under the name
"CIFAR-10 (JPEG)". The split `official`: the published 10,000 for testing; of the 50,000 a frozen stratified tenth for
validation.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from pathlib import Path

import numpy as np

from rheobase.datasets import cifar_jpeg
from rheobase.datasets.config import DataConfig
from rheobase.datasets.root import data_root
from rheobase.datasets.split import Split
from rheobase.datasets.still import ImagePool, Images, check_options, official
from rheobase.errors import DataError

SIZE, PIXELS = 32, 3 * 32 * 32
FOLDER_10, FOLDER_100 = "cifar-10-batches-bin", "cifar-100-binary"
TRAIN_10 = {f"data_batch_{i}.bin": 10_000 for i in range(1, 6)}
TEST_10 = {"test_batch.bin": 10_000}
TRAIN_100, TEST_100 = {"train.bin": 50_000}, {"test.bin": 10_000}
"""The files of each part, with their numbers of records."""

FROZEN_JPEG = "ba4aa34a5d110e303b0d1821dd076d1304d1562aec93853bcf214a94b89c3255"
"""Digest of the split of the JPEG file, whose order is not that of the binary files."""
_NAMES_10 = "airplane automobile bird cat deer dog frog horse ship truck"
_NAMES_100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
    forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm
"""
CLASSES_10, CLASSES_100 = tuple(_NAMES_10.split()), tuple(_NAMES_100.split())


def load_10(config: DataConfig) -> tuple[ImagePool, Split]:
    """CIFAR-10: the binary files, else the JPEG images, and the frozen split.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
        DataError: the files are absent or damaged.
    """
    check_options(config)
    base = data_root(config.root, "CIFAR-10", f"{FOLDER_10}/, or {cifar_jpeg.FILE}")
    if (folder := base / FOLDER_10).is_dir():
        train, test = (read(folder, files, labels=1) for files in (TRAIN_10, TEST_10))
        return official(train, test, CLASSES_10, title="CIFAR-10")
    if (path := base / cifar_jpeg.FILE).is_file():
        train, test = cifar_jpeg.read(path, keep=config.cache)
        title = "CIFAR-10 (JPEG)"
        return official(train, test, CLASSES_10, title=title, content="jpeg", frozen=FROZEN_JPEG)
    raise DataError(
        f"CIFAR-10: found neither {FOLDER_10} nor {cifar_jpeg.FILE} in {base}; unpack the official cifar-10-binary.tar.gz there"
    )


def load_100(config: DataConfig) -> tuple[ImagePool, Split]:
    """CIFAR-100 with its fine labels.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
        DataError: the files are absent or damaged.
    """
    check_options(config)
    base = data_root(config.root, "CIFAR-100", f"{FOLDER_100}/")
    if not (folder := base / FOLDER_100).is_dir():
        raise DataError(
            f"CIFAR-100: found no {FOLDER_100} in {base}; unpack the official cifar-100-binary.tar.gz there"
        )
    train, test = (read(folder, files, labels=2) for files in (TRAIN_100, TEST_100))
    return official(train, test, CLASSES_100, title="CIFAR-100")


def read(folder: Path, files: dict[str, int], labels: int) -> Images:
    """The records of some files, one after another; of several `labels` bytes the last counts.

    Raises:
        DataError: a file is absent, or is not as long as its records.
    """
    length, parts = labels + PIXELS, []
    for name, count in files.items():
        try:
            data = np.fromfile(folder / name, np.uint8)
        except OSError as error:
            raise DataError(f"{folder / name}: cannot be read ({error}); get the data again") from error
        if len(data) != count * length:
            raise DataError(
                f"{folder / name}: {len(data)} bytes, expected {count} records of {length}; it is truncated or of "
                "another version (the binary one is needed), get it again"
            )
        parts.append(data.reshape(count, length))
    records = np.concatenate(parts)
    return Images(records[:, labels:].reshape(-1, 3, SIZE, SIZE), records[:, labels - 1].astype(np.int64))
