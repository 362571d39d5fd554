"""Free Spoken Digits: 3,000 recordings of English digits by six speakers, 50 of each digit, at 8 kHz; cut or padded to 1 s.

Files are `recordings/<digit>_<speaker>_<index>.wav`. Split `official`: indices 0 to 4 test, as published; 5 to 9 validate,
the rest train, so every speaker is in all parts. Split `speaker-<name>`: that speaker tests, the speaker who follows in the
alphabet validates, the others train.

Source: Jackson et al., "Free Spoken Digit Dataset", github.com/Jakobovski/free-spoken-digit-dataset; CC BY-SA 4.0.
"""

import re
from functools import partial

import numpy as np

from rheobase.datasets.archive import find_archive
from rheobase.datasets.clips import clip_pool
from rheobase.datasets.config import DataConfig
from rheobase.datasets.sequences import SignalPool, check_options
from rheobase.datasets.split import Indices, Split, confirm, stratified_order
from rheobase.errors import DataError, RecipeError, unknown

TITLE, RATE = "Free Spoken Digits", 8000
FILE = "free-spoken-digit-dataset.zip"
CLASSES = tuple("0123456789")
NAME = re.compile(r"(?:.*/)?recordings/([0-9])_([a-z]+)_([0-9]+)\.wav")
WHOLE, FROZEN = 3000, "55cbe5a7df4476a35a1006d276e22d32348ffbcdb7ee3d341fa1285508596759"
find = partial(
    find_archive,
    TITLE,
    (FILE, "free-spoken-digit-dataset", "free-spoken-digit-dataset-master"),
    "recordings/<digit>_<speaker>_<index>.wav; `rheobase data fetch free-spoken-digits` gets it",
)


def load(config: DataConfig) -> tuple[SignalPool, Split]:
    """All recordings behind the front end (log-mel unless another is given), and the split.

    Raises:
        DataError: there is no data, a recording cannot be read, or the set is whole and not the one the split is frozen for.
        RecipeError: an option that signals have not, or no such split.
    """
    check_options(config, splits=None)
    archive = find(config.root)
    found = [(name, match) for name in archive.names(".wav") if (match := NAME.fullmatch(name))]
    if not found:
        raise DataError(f"{archive!r}: has no recordings/<digit>_<speaker>_<index>.wav; get the data again")
    names = [name for name, _ in found]
    stems = [name.split("/")[-1] for name in names]
    labels = np.array([int(match[1]) for _, match in found], dtype=np.int64)
    speakers, indices = (np.array([match[2] for _, match in found]), np.array([int(m[3]) for _, m in found]))
    if config.split == "official":
        split = deal(stems, labels, indices < 5, (indices >= 5) & (indices < 10))
        if len(names) == WHOLE:
            confirm(split, stems, FROZEN, TITLE)
    else:
        test, validation = held_out(config.split, speakers)
        split = deal(stems, labels, speakers == test, speakers == validation)
    return clip_pool(config, archive, names, labels, CLASSES, rate=RATE), split


def held_out(split: str, speakers: np.ndarray) -> tuple[str, str]:
    """The speaker who tests by the name of the split, and the next one, who validates.

    Raises:
        RecipeError: no such speaker, or fewer than three.
    """
    known = sorted(set(speakers.tolist()))
    names = ["official", *(f"speaker-{name}" for name in known)]
    if split not in names:
        raise RecipeError(unknown("split of free-spoken-digits", split, names))
    if len(known) < 3:
        raise RecipeError(f"split {split} holds out two speakers, and there are {len(known)}")
    at = known.index(split.removeprefix("speaker-"))
    return known[at], known[(at + 1) % len(known)]


def deal(names: list[str], labels: Indices, test: np.ndarray, validation: np.ndarray) -> Split:
    """The rows marked test and validate, the others train in stratified order."""
    train = np.flatnonzero(~test & ~validation)
    order = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    return Split(order, np.flatnonzero(validation), np.flatnonzero(test))
