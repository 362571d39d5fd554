"""Bonn EEG: 5 x 100 recordings of one channel, 23.6 s at 173.61 Hz, healthy (A eyes open, B closed), between seizures (C
opposite, D within the epileptogenic zone), and E in a seizure.

Split `official`, by recording: with the files of a set in order, every fifth (place % 5 == 4) tests, those with
place % 10 == 3 validate: 350 / 50 / 100. Training cuts recordings into pieces of T steps; one decision is made of each
recording that validates or tests.

Source: Andrzejak et al., Physical Review E 64, 061907 (2001); CC BY 4.0.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.archive import Archive, find_archive
from rheobase.datasets.cache import cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.sequences import ANALOG, Origin, SignalPool, check_options
from rheobase.datasets.split import Indices, Split, confirm, stratified_order
from rheobase.errors import DataError
from rheobase.signals import Direct
from rheobase.signals.frontends import Bands, FrontEnd

FILE, FOLDER = "bonn_eeg.zip", "bonn_eeg"
CLASSES = ("A", "B", "C", "D", "E")
RATE, LENGTH = 173.61, 4096  # the files have one sample more
FROZEN = "6515b27e35d5e372bb854996bb7cbda4c385bd4e79388a05da9e44e8192acd74"
FRONT = Bands(sampling=RATE)
find = partial(find_archive, "Bonn EEG", (FILE, FOLDER), "setA/*.txt to setE/*.txt, one whole number a line")
"""The data under a root: the zip file, or a folder of the same name."""


def load(config: DataConfig) -> tuple[SignalPool, Split]:
    """All recordings behind the front end (the signal and five bands unless another is given), and the split.

    Raises:
        DataError: there is no data, a file cannot be read, or it is not what the split was frozen for.
        RecipeError: an option that signals have not.
    """
    check_options(config)
    archive = find(config.root)
    names, labels, places = listing(archive)
    split = official(names, labels, places)
    if archive.paths[0].name == FILE:
        confirm(split, names, FROZEN, "Bonn EEG")
    front = config.signal.front or FRONT
    key = {"raw": archive.digest(), "front": front.model_dump(mode="json")}
    arrays = cached(
        f"{config.name}/signals", key, lambda: {"signals": behind(archive, names, front)}, keep=config.cache
    )
    unit = ANALOG if isinstance(config.signal.encoder, Direct) else 1.0
    hop = max(config.T // 2, 1)
    origin = Origin(front, RATE, 1.0, lambda name: recordings(archive, [name])[0])
    pool = SignalPool(
        names, labels, CLASSES, (1, 1), arrays["signals"], input_unit=unit, hop=hop, origin=origin
    )
    return pool, split


def recordings(archive: Archive, names: list[str]) -> NDArray[np.float64]:
    """The signals, microvolts. Shape: [N, 4096].

    Raises:
        DataError: a file holds anything but whole numbers, or too few.
    """
    found = []
    for name in names:
        try:
            values = np.array(archive.read(name).split(), dtype=np.int64)
        except ValueError as error:
            raise DataError(
                f"{archive!r}: {name} holds something else than whole numbers ({error})"
            ) from error
        if len(values) < LENGTH:
            raise DataError(f"{archive!r}: {name} has {len(values)} samples, expected {LENGTH} or more")
        found.append(values[:LENGTH].astype(np.float64))
    return np.stack(found)


def behind(archive: Archive, names: list[str], front: FrontEnd) -> NDArray[np.float32]:
    """Recordings behind a front end. Shape: [N, L, C]."""
    return front.apply(recordings(archive, names).T[..., None]).swapaxes(0, 1).astype(np.float32)


def listing(archive: Archive) -> tuple[list[str], Indices, Indices]:
    """Names, classes and places (of the file in its set) of all recordings.

    Raises:
        DataError: a set is absent.
    """
    names = archive.names(".txt")
    labels = [
        CLASSES.index(name[3]) if name.startswith("set") and name[3:4] in CLASSES else -1 for name in names
    ]
    names = [name for name, label in zip(names, labels, strict=True) if label >= 0]
    kinds = np.array([label for label in labels if label >= 0], dtype=np.int64)
    absent = sorted(set(range(len(CLASSES))) - set(kinds.tolist()))
    if absent:
        raise DataError(
            f"{archive!r}: there is no set{CLASSES[absent[0]]}/*.txt; the data is incomplete, get it again"
        )
    places = np.concatenate([np.arange(count) for count in np.bincount(kinds)])
    order = np.argsort(kinds, kind="stable")
    return [names[i] for i in order], kinds[order], places


def official(names: list[str], labels: Indices, places: Indices) -> Split:
    """The rule: place % 5 == 4 tests, place % 10 == 3 validates, the rest trains in stratified order."""
    test, validation = np.flatnonzero(places % 5 == 4), np.flatnonzero(places % 10 == 3)
    train = np.setdiff1d(np.arange(len(names)), np.concatenate([test, validation]))
    order = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    return Split(order, validation, test)
