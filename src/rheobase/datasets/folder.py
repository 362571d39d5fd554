"""folder: a user's own recordings, one folder a class or a table of paths and labels, in any readable format.

`folder` names a CSV (see `table`), or a folder: either `train/`, `validation/` and `test/` with the same class folders
in each, or the class folders alone. Where the parts are not given, a tenth of each class validates, a tenth tests, and
the rest trains, drawn by `seed`. That split is frozen in the cache folder when first drawn, and data that has changed
since is refused rather than dealt anew.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.archive import Archive
from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached, digest
from rheobase.datasets.config import DataConfig
from rheobase.datasets.split import PARTS, Split, stratified_order
from rheobase.datasets.table import read_table
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording, read_recording
from rheobase.events.read import READERS, declares_size
from rheobase.files import atomic_write_json, cache_folder


@dataclass(frozen=True)
class FolderFiles:
    """Recordings in files below a folder, all of one sensor `(H, W)`."""

    folder: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    sensor: tuple[int, int]

    def recording(self, index: int) -> Recording:
        """The recording with this index."""
        height, width = self.sensor
        return read_recording(
            self.folder / self.names[index], width=width, height=height, label=self.labels[index]
        )


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All recordings below `config.folder` and their split.

    Raises:
        RecipeError: no folder is given, or a split other than `official`.
        DataError: the folder is absent or laid out otherwise, a class folder is missing or empty, a file is
            not readable, or the sensor sizes differ.
    """
    if config.folder is None:
        raise RecipeError(
            "the data set 'folder' needs data.folder (--folder of `rheobase data show`): a folder with one sub-folder a class"
        )
    if config.split != "official":
        raise RecipeError(unknown("split of folder", config.split, ["official"]))
    given = config.folder.resolve()
    if given.is_file():
        folder = given.parent
        names, kinds, parts = read_table(given)
        raw = digest([Archive(folder).state(names), names, kinds])
    elif given.is_dir():
        folder = given
        dealt = any((folder / part).is_dir() for part in PARTS)
        names, kinds = _list_dealt(folder) if dealt else _list_classes(folder)
        parts = [name.split("/")[0] for name in names] if dealt else None
        raw = digest([Archive(folder).digest(), names])
    else:
        raise DataError(
            f"{given}: no such folder; it should hold one sub-folder a class, or be a CSV of paths"
        )
    classes = tuple(sorted(set(kinds)))
    if len(classes) < 2:
        raise DataError(f"{given}: found the classes {list(classes)}; a classifier needs two classes or more")
    labels = np.array([classes.index(kind) for kind in kinds], dtype=np.int64)
    sizes = cached("folder/sizes", {"raw": raw}, lambda: _measure(folder, names), keep=config.cache)
    files = FolderFiles(folder, tuple(names), tuple(labels.tolist()), _sensor(folder, names, sizes))
    pool = EventPool(names, labels, classes, files.sensor, files, raw=raw)
    if parts is not None:
        rows = {part: [i for i, of in enumerate(parts) if of == part] for part in PARTS}
        train = np.array(rows["train"], dtype=np.int64)
        train = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
        return pool, Split(train, *(np.array(rows[part], dtype=np.int64) for part in PARTS[1:]))
    split = draw(given, names, labels, config.seed)
    if config.cache:
        _freeze(given, names, split, config.seed)
    return pool, split


def draw(folder: Path, names: list[str], labels: NDArray[np.int64], seed: int) -> Split:
    """A tenth of each class (one at least) validates, as many test, the rest train.

    Raises:
        DataError: a class has fewer than three recordings.
    """
    order = stratified_order(names, labels, seed)
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    for label in np.unique(labels):
        members = order[labels[order] == label].tolist()
        tenth = max(1, round(len(members) / 10))
        if len(members) < 3:
            raise DataError(
                f"{folder}: the class of {names[members[0]]} has {len(members)} recordings; a class needs 3 to be split, "
                "better 30"
            )
        parts["validation"] += members[:tenth]
        parts["test"] += members[tenth : 2 * tenth]
        parts["train"] += members[2 * tenth :]
    train = np.array(parts["train"], dtype=np.int64)
    train = train[stratified_order([names[i] for i in train], labels[train], seed)]
    return Split(train, *(np.array(sorted(parts[part]), dtype=np.int64) for part in PARTS[1:]))


def _list_classes(folder: Path) -> tuple[list[str], list[str]]:
    """Names below `folder` and the class folder of each; other files beside the class folders are ignored."""
    names, kinds = [], []
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not inner:
        raise DataError(f"{folder}: no class folders in it; put the recordings in one sub-folder a class")
    for path in inner:
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not files:
            raise DataError(
                f"{path}: the class folder is empty; add recordings ({', '.join(READERS)}) or remove it"
            )
        strange = [file for file in files if file.suffix.lower() not in READERS]
        if strange:
            raise DataError(
                f"{strange[0]}: not a recording that can be read ({len(strange)} such files in this class); "
                f"class folders hold {', '.join(READERS)} only"
            )
        names += [file.relative_to(folder).as_posix() for file in files]
        kinds += [path.name] * len(files)
    return names, kinds


def _list_dealt(folder: Path) -> tuple[list[str], list[str]]:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise DataError(
            f"{folder}: has some of train/, validation/ and test/, but no {'/, '.join(missing)}/; add it"
        )
    names, kinds = [], []
    classes = {}
    for part in PARTS:
        inner, inner_kinds = _list_classes(folder / part)
        names += [f"{part}/{name}" for name in inner]
        kinds += inner_kinds
        classes[part] = set(inner_kinds)
    everything = set().union(*classes.values())
    for part in PARTS:
        if lost := sorted(everything - classes[part]):
            raise DataError(
                f"{folder / part}: no folder for the class {lost[0]!r}, which another part has; add it"
            )
    return names, kinds


def _measure(folder: Path, names: list[str]) -> Arrays:
    """Height, width and whether the file itself says so, of each recording. Shape: [recordings, 3]."""
    rows = []
    for name in names:
        recording = read_recording(folder / name)
        if not len(recording):
            raise DataError(f"{folder / name}: the recording has no events; remove the file")
        rows.append((recording.height, recording.width, int(declares_size(folder / name))))
    return {"sizes": np.array(rows, dtype=np.int64)}


def _sensor(folder: Path, names: list[str], arrays: Arrays) -> tuple[int, int]:
    """The size that files state, which all must share; else the largest coordinates of all recordings."""
    sizes, declared = arrays["sizes"][:, :2], arrays["sizes"][:, 2].astype(bool)
    if not declared.any():
        height, width = sizes.max(axis=0).tolist()
        return height, width
    first = int(declared.argmax())
    height, width = sizes[first].tolist()
    wrong = (declared & (sizes != sizes[first]).any(axis=1)) | (
        ~declared & (sizes > sizes[first]).any(axis=1)
    )
    if wrong.any():
        i = int(wrong.argmax())
        raise DataError(
            f"{folder / names[i]}: a sensor of {sizes[i, 1]} x {sizes[i, 0]} (width x height), but "
            f"{names[first]} has {width} x {height}; recordings of a data set share one sensor"
        )
    return height, width


def _freeze(folder: Path, names: list[str], split: Split, seed: int) -> None:
    """Write the split beside the cache, or check that the one written before is still this one."""
    path = cache_folder("datasets", "folder", "splits") / f"{digest([str(folder), seed])[:24]}.json"
    parts = {part: [names[i] for i in getattr(split, part)] for part in PARTS}
    try:
        frozen = json.loads(path.read_text())
    except (OSError, ValueError):
        frozen = None
    if not isinstance(frozen, dict) or "sha256" not in frozen:
        atomic_write_json(path, {"folder": str(folder), "seed": seed, "sha256": digest(parts), **parts})
    elif frozen["sha256"] != digest(parts):
        before = {name for part in PARTS for name in frozen.get(part, [])}
        added, gone = len(set(names) - before), len(before - set(names))
        raise DataError(
            f"{folder}: changed since its split was frozen ({added} recordings added, {gone} gone), so "
            f"results would not compare; delete {path} to draw a new split, or choose another seed"
        )
