"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels in ten classes, in IDX files.

The split `official`: the published 10,000 for testing; of the 60,000 a frozen stratified tenth for validation.

Sources: LeCun et al., Proceedings of the IEEE 86(11), 1998; Xiao et al., arXiv 1708.07747 (Fashion-MNIST, MIT licence).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rheobase.datasets.config import DataConfig
from rheobase.datasets.idx import read_idx
from rheobase.datasets.root import data_root
from rheobase.datasets.split import Split
from rheobase.datasets.still import ImagePool, Images, check_options, official
from rheobase.errors import DataError

FILES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Source:
    """What tells one set of the family from the other; `frozen` is the digest of its split, "" where not known."""

    title: str
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    frozen: str = ""


SOURCES = {
    "mnist": Source("MNIST", ("mnist", "MNIST/raw"), tuple("0123456789")),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        ("fashion_mnist", "FashionMNIST/raw"),
        (
            *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
        frozen="1029b40b5194e622c1a55712f4c370ca3a794c14b70c1e9bbf5d905e580982a4",
    ),
}


def load(config: DataConfig) -> tuple[ImagePool, Split]:
    """All images of `config.name` and their frozen split.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
        DataError: the files are absent, damaged, or of another data set.
    """
    check_options(config)
    source = SOURCES[config.name]
    folder = find(source, config.root)
    train, test = (read_part(folder, prefix) for prefix in FILES.values())
    return official(train, test, source.classes, title=source.title, frozen=source.frozen)


def find(source: Source, root: Path | None) -> Path:
    """The folder with the files, below `root` (else `$RHEOBASE_DATA`).

    Raises:
        DataError: it is not there; the message says where it was looked for.
    """
    base = data_root(root, source.title, f"{source.folders[0]}/")
    for folder in source.folders:
        if (base / folder).is_dir():
            return base / folder
    raise DataError(
        f"{source.title}: found neither {' nor '.join(source.folders)} in {base}; put the four official files "
        f"(train-images-idx3-ubyte.gz, ...) into {base / source.folders[0]}"
    )


def read_part(folder: Path, prefix: str) -> Images:
    """Images and labels of one published part.

    Raises:
        DataError: a file is absent or damaged, or the two do not fit each other.
    """
    images, labels = (
        read_idx(_file(folder, f"{prefix}-{kind}-ubyte")) for kind in ("images-idx3", "labels-idx1")
    )
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: {prefix} has images {list(images.shape)} and labels {list(labels.shape)}; expected [N, H, W] "
            "and [N], get the files again"
        )
    return Images(images[:, None], labels.astype(np.int64))


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(f"{folder}: has no {name}.gz (nor {name}); the data is incomplete, get it again")
