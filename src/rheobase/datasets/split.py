"""Splits that do not move: drawn by digest, frozen in files, verified at load.

The order within a class is that of SHA-256 over `"<seed>:<name>"`, which is the same on every platform and
for every version of every library. `stratified_order` interleaves the classes so that each prefix holds them
in proportion.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.cache import digest
from rheobase.errors import DataError

Indices = NDArray[np.int64]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a pool of recordings; `train` is ordered so that every prefix is stratified."""

    train: Indices
    validation: Indices
    test: Indices


def stratified_order(names: Sequence[str], labels: NDArray[np.int64], seed: int) -> Indices:
    """A permutation whose every prefix holds the classes in proportion to their size (give or take one).

    The recording of rank `r` in a class of `n` comes at `(r + 1/2) / n`; ties go by digest.
    """
    keys = [hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in names]
    place = np.zeros(len(names))
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=keys.__getitem__)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.array(sorted(range(len(names)), key=lambda i: (place[i], keys[i])), dtype=np.int64)


def draw_split(
    names: Sequence[str], labels: NDArray[np.int64], seed: int, train: int, validation: int
) -> Split:
    """The first `train` recordings in stratified order, the next `validation`, and the rest for testing."""
    order = stratified_order(names, labels, seed)
    return Split(
        order[:train], np.sort(order[train : train + validation]), np.sort(order[train + validation :])
    )


def hold_out(names: Sequence[str], labels: NDArray[np.int64], train: Indices, test: Indices) -> Split:
    """The published parts, less a validation part: of `train` in stratified order (seed 0) the last tenth."""
    order = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    kept = len(order) - len(order) // 10
    return Split(order[:kept], np.sort(order[kept:]), test)


def split_digest(split: Split, names: Sequence[str], content: str = "") -> str:
    """SHA-256 over the names of each part in order, and over the content where a data set is generated."""
    parts = {part: [names[i] for i in getattr(split, part)] for part in PARTS}
    return digest({"content": content, **parts})


def confirm(split: Split, names: Sequence[str], frozen: str, title: str) -> None:
    """Check a split that a rule draws anew against its frozen digest; "" is that of a split not frozen yet.

    Raises:
        DataError: the labels, or their order, are not those that the split was drawn from.
    """
    if frozen and split_digest(split, names) != frozen:
        raise DataError(
            f"{title}: the {len(names)} samples at hand are not those its split was frozen for (other labels, or in "
            "another order); the files are damaged or of another data set, get them again"
        )


def freeze(split: Split, names: Sequence[str]) -> str:
    """The text of a split file: one line a part, the names in order, and the digest."""
    parts = {part: " ".join(names[i] for i in getattr(split, part)) for part in PARTS}
    return json.dumps({"sha256": split_digest(split, names), **parts}, indent=1) + "\n"


def thaw(file: str, names: Sequence[str]) -> Split:
    """The split in `splits/<file>.json` as indices into `names`.

    Raises:
        DataError: the file is absent or altered, or its names are not exactly those of the data at hand.
    """
    source = files("rheobase.datasets") / "splits" / f"{file}.json"
    try:
        content = json.loads(source.read_text())
        parts = {part: content[part].split() for part in PARTS}
        expected = content["sha256"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{source}: the frozen split cannot be read ({error}); reinstall rheobase") from error
    if digest({"content": "", **parts}) != expected:
        raise DataError(
            f"{source}: the frozen split was altered (its SHA-256 does not fit); reinstall rheobase"
        )
    place = {name: i for i, name in enumerate(names)}
    listed = [name for part in PARTS for name in parts[part]]
    missing, extra = set(listed) - place.keys(), place.keys() - set(listed)
    if missing or extra or len(listed) != len(set(listed)):
        example = sorted(missing or extra)[:1]
        raise DataError(
            f"split {file!r} lists {len(listed)} recordings, the data at hand holds {len(names)}: "
            f"{len(missing)} of the split are missing, {len(extra)} are not in it (such as {example}); "
            "it belongs to other data"
        )
    return Split(*(np.array([place[name] for name in parts[part]], dtype=np.int64) for part in PARTS))
