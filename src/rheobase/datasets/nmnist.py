"""N-MNIST: handwritten digits on a screen, seen by a moving event camera (34x34 pixels, 0.3 s, ten classes).

Splits:

* `official`: `Test` for testing, `Train` less a frozen stratified tenth (for validation) for training.
* `low-data-0`, `-1`, `-2`: all 1,100 recordings of `nmnist_small.zip` dealt into 300 / 100 / 700.

Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015; CC BY-SA 4.0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rheobase.datasets.archive import Archive
from rheobase.datasets.binned import EventPool
from rheobase.datasets.config import DataConfig
from rheobase.datasets.root import data_root
from rheobase.datasets.split import Indices, Split, draw_split, hold_out, thaw
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording, parse_nmnist
from rheobase.events.nmnist import SIZE

CLASSES = tuple("0123456789")
SPLITS = ("official", "low-data-0", "low-data-1", "low-data-2")
SMALL = "nmnist_small.zip"
PREFIXES = ("Train/", "Test/")


@dataclass(frozen=True)
class BinFiles:
    """Recordings in the `.bin` files of an archive."""

    archive: Archive
    names: tuple[str, ...]

    def recording(self, index: int) -> Recording:
        """The recording with this index; its label is the name of its folder."""
        name = self.names[index]
        return parse_nmnist(
            self.archive.read(name), name=f"{self.archive!r}: {name}", label=int(name.split("/")[1])
        )


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All recordings found under the root, and the split asked for.

    Raises:
        DataError: there is no data, or it is not what the split was drawn from.
        RecipeError: no such split.
    """
    if config.split not in SPLITS:
        raise RecipeError(unknown("split of nmnist", config.split, SPLITS))
    archive = find(config.root, small=config.split != "official")
    names, labels = listing(archive)
    files = tuple(f"{name}.bin" for name in names)
    pool = EventPool(names, labels, CLASSES, (SIZE, SIZE), BinFiles(archive, files), raw=archive.digest())
    if config.split != "official" or archive.paths[0].name == SMALL:
        return pool, thaw(f"nmnist-small-{config.split}", names)
    return pool, official(names, labels)


def listing(archive: Archive) -> tuple[list[str], Indices]:
    """Names (without suffix) and labels of all recordings of an archive.

    Raises:
        DataError: a file is out of place, or a part is absent.
    """
    files = archive.names(".bin")
    for file in files:
        parts = file.split("/")
        if len(parts) != 3 or parts[1] not in CLASSES:
            raise DataError(
                f"{archive!r}: {file} is not Train/<digit>/<number>.bin or Test/<digit>/<number>.bin"
            )
    names = [file[: -len(".bin")] for file in files]
    for part in PREFIXES:
        if not any(name.startswith(part) for name in names):
            raise DataError(f"{archive!r}: no .bin file below {part}; the data is incomplete, get it again")
    labels = np.array([int(name.split("/")[1]) for name in names], dtype=np.int64)
    return names, labels


def official(names: list[str], labels: Indices) -> Split:
    """The rule behind `official`: of `Train` in stratified order (seed 0), the last tenth validates."""
    train = np.array([i for i, name in enumerate(names) if name.startswith("Train/")], dtype=np.int64)
    test = np.array([i for i, name in enumerate(names) if name.startswith("Test/")], dtype=np.int64)
    return hold_out(names, labels, train, test)


def low_data(names: list[str], labels: Indices, seed: int) -> Split:
    """The rule behind `low-data-<seed>`: 300 / 100 / 700 in stratified order."""
    return draw_split(names, labels, seed, train=300, validation=100)


def find(root: Path | None, *, small: bool = False) -> Archive:
    """The data under `root` (else `$RHEOBASE_DATA`): official zips or folders, else `nmnist_small.zip`.

    Raises:
        DataError: none of them is there; the message says where it looked and how to get them.
    """
    base = data_root(root, "N-MNIST", "nmnist_small.zip, Train.zip and Test.zip, or Train/ and Test/")
    places = [base, base / "nmnist", base / "NMNIST", base / "N-MNIST"]
    for place in places if not small else []:
        for train, test in (("Train.zip", "Test.zip"), ("train.zip", "test.zip")):
            if (place / train).is_file() and (place / test).is_file():
                return Archive(place / train, place / test, prefixes=PREFIXES)
        if (place / "Train").is_dir() and (place / "Test").is_dir():
            return Archive(place, prefixes=PREFIXES)
    for place in places:
        if (place / SMALL).is_file():
            return Archive(place / SMALL, prefixes=PREFIXES)
    wanted = SMALL if small else f"{SMALL}, Train.zip and Test.zip, or the folders Train and Test"
    raise DataError(
        f"N-MNIST: found no {wanted} in {base} (nor in its nmnist, NMNIST or N-MNIST folder). "
        + ("This split is drawn from that file." if small else "`rheobase data fetch nmnist` downloads it.")
    )
