"""SHD and SSC: spoken words as spikes of 700 cochlear channels, in HDF5 files.

`spikes/times` (seconds) and `spikes/units` are arrays of arrays, `labels` the classes, `extra/keys` their names. A
recording has x = unit on a
sensor of 700 x 1, all events ON, and times in microseconds; frames of equal time divide 1.4 s. SHD: 20 digits (ten in
English, then ten in German), `shd_{train,test}.h5`; a tenth of the training part validates. SSC: 35 words,
`ssc_{train,valid,test}.h5`.

Source: Cramer et al., "The Heidelberg Spiking Data Sets", IEEE TNNLS 2020; CC BY 4.0. Needs `h5py`.
"""

import importlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.event_files import deal
from rheobase.datasets.root import data_root
from rheobase.datasets.split import Split
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording
from rheobase.files import sha256_file

UNITS = 700
SPAN = (0, 1_400_000)
SETS = {
    "shd": ("SHD", 20, {"train": "shd_train.h5", "test": "shd_test.h5"}),
    "ssc": ("SSC", 35, {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"}),
}
"""Title, number of classes, and the file of each part."""


@dataclass(frozen=True, eq=False)
class Trains:
    """Spikes of recording `i`: rows `offsets[i]` to `offsets[i + 1]`."""

    arrays: Arrays = field(repr=False)

    def recording(self, index: int) -> Recording:
        """The recording with this index."""
        first, last = self.arrays["offsets"][index : index + 2]
        unit, t = (self.arrays[name][first:last] for name in ("unit", "t"))
        ones, zeros = np.ones(last - first, np.uint8), np.zeros(last - first, np.uint8)
        return Recording(unit, zeros, t, ones, UNITS, 1, int(self.arrays["labels"][index]))


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All recordings (unpacked once, then cached) and the published parts.

    Raises:
        RecipeError: a split other than `official`.
        DataError: a file is absent or damaged, or `h5py` is not installed.
    """
    if config.split != "official":
        raise RecipeError(unknown(f"split of {config.name}", config.split, ["official"]))
    title, count, files = SETS[config.name]
    base = data_root(config.root, title, ", ".join(files.values()))
    paths = {part: _find(base, config.name, name) for part, name in files.items()}
    raw = [sha256_file(path) for path in paths.values()]
    packs = {
        part: cached(f"{config.name}/spikes", {"raw": sha}, partial(unpack, path, count), keep=config.cache)
        for (part, path), sha in zip(paths.items(), raw, strict=True)
    }
    classes = tuple(packs["train"]["keys"].tolist())
    arrays = {
        name: np.concatenate([pack[name] for pack in packs.values()]) for name in ("unit", "t", "labels")
    }
    lengths = np.concatenate([np.diff(pack["offsets"]) for pack in packs.values()])
    arrays["offsets"] = np.cumsum([0, *lengths])
    names = [f"{part}/{i:05}" for part, pack in packs.items() for i in range(len(pack["labels"]))]
    split = deal(names, arrays["labels"], [name.split("/")[0] for name in names])
    pool = EventPool(
        names, arrays["labels"], classes, (1, UNITS), Trains(arrays), " ".join(raw), SPAN, title=title
    )
    return pool, split


def unpack(path: Path, classes: int) -> Arrays:
    """The spikes of a file as flat arrays: unit and t (microseconds) by recording and time, offsets, labels, and the
    names of the classes.

    Raises:
        DataError: the file is damaged, or holds something else.
    """
    h5py: Any = _h5py()
    try:
        with h5py.File(path, "r") as file:
            times, units = file["spikes"]["times"][:], file["spikes"]["units"][:]
            labels = file["labels"][:].astype(np.int64)
            keys = [key.decode() if isinstance(key, bytes) else str(key) for key in file["extra"]["keys"][:]]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error
    lengths = [len(row) for row in times]
    if len(keys) != classes:
        raise DataError(f"{path}: names {len(keys)} classes, expected {classes}; is it of this data set?")
    if not len(times) == len(units) == len(labels) or lengths != [len(row) for row in units]:
        raise DataError(f"{path}: times, units and labels do not fit each other; get the file again")
    ticks = [np.rint(np.asarray(row, np.float64) * 1e6).astype(np.int64) for row in times]
    orders = [np.argsort(row, kind="stable") for row in ticks]
    t = np.concatenate([row[order] for row, order in zip(ticks, orders, strict=True)])
    unit = np.concatenate([np.asarray(row)[order] for row, order in zip(units, orders, strict=True)])
    if not (0 <= unit.min() <= unit.max() < UNITS and 0 <= labels.min() <= labels.max() < classes):
        raise DataError(f"{path}: units of 0 to {UNITS - 1} and labels of 0 to {classes - 1} were expected")
    return {
        "unit": unit.astype(np.uint16),
        "t": t,
        "labels": labels,
        "keys": np.array(keys),
        "offsets": np.cumsum([0, *lengths]),
    }


def _find(base: Path, name: str, file: str) -> Path:
    for place in (base, base / name, base / name.upper()):
        if (place / file).is_file():
            return place / file
    raise DataError(
        f"{name}: found no {file} in {base} (nor in its {name} folder); `rheobase data fetch {name}` gets it"
    )


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise DataError(
            "SHD and SSC are HDF5 files, which need h5py: pip install 'rheobase[hdf5]'"
        ) from error
