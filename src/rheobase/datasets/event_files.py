"""What published event data sets share: a recording a file (or a stretch of one), listed by name, dealt by rule.

Where a set is published in parts, `official` are those parts, less a stratified tenth of the training part for
validation; else a stratified tenth of all tests (as papers do, who draw it at random), and of the rest a tenth validates.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rheobase.datasets.archive import Archive
from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import digest
from rheobase.datasets.config import DataConfig
from rheobase.datasets.root import find_folder
from rheobase.datasets.split import PARTS, Indices, Split, confirm, hold_out, stratified_order
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording

Reader = Callable[[Path], Recording]


@dataclass(frozen=True)
class Item:
    """One recording: its name, where it lies, its class, the part it was published in ("": none)."""

    name: str
    file: str
    label: int
    part: str = ""
    span: tuple[int, int] | None = None
    """The ticks that it takes of the file, in half-open form; None: all."""


@dataclass(frozen=True)
class FileRecordings:
    """Recordings in files below a folder. The file read last is kept, for those that lie in one."""

    folder: Path
    items: tuple[Item, ...]
    reader: Reader = field(repr=False)
    kept: dict[str, Recording] = field(default_factory=dict, repr=False)

    def recording(self, index: int) -> Recording:
        """The recording with this index."""
        item = self.items[index]
        if item.file not in self.kept:
            self.kept.clear()
            self.kept[item.file] = self.reader(self.folder / item.file)
        whole = self.kept[item.file]
        x, y, t, p = whole.x, whole.y, whole.t, whole.p
        if item.span is not None:
            start, stop = np.searchsorted(t, item.span)
            if start == stop:
                raise DataError(
                    f"{self.folder / item.file}: no events within {item.span} us, where {item.name} should be"
                )
            x, y, t, p = (array[start:stop] for array in (x, y, t, p))
        return replace(whole, x=x, y=y, t=t, p=p, label=item.label)


@dataclass(frozen=True)
class Published:
    """A published set: where it may lie below the data root, its sensor, how its files are listed and read."""

    title: str
    folders: tuple[str, ...]
    sensor: tuple[int, int]
    listing: Callable[[Path], tuple[list[Item], tuple[str, ...]]]
    """Items and classes of a folder."""
    reader: Reader
    frozen: tuple[int, str] = (0, "")
    """How many recordings the whole set has, and the digest of its split; 0 where not known."""

    def load(self, config: DataConfig) -> tuple[EventPool, Split]:
        """All recordings and the split.

        Raises:
            RecipeError: a split other than `official`.
            DataError: the data is absent, or not laid out as published.
        """
        if config.split != "official":
            raise RecipeError(unknown(f"split of {config.name}", config.split, ["official"]))
        folder = find_folder(self.title, self.folders, config.root)
        items, classes = self.listing(folder)
        if not items:
            raise DataError(f"{folder}: no recording of {self.title} in it; unpack the official files there")
        items.sort(key=lambda item: (item.part, item.name))
        names = [item.name for item in items]
        labels = np.array([item.label for item in items], dtype=np.int64)
        split = deal(names, labels, [item.part for item in items])
        if len(names) == self.frozen[0]:
            confirm(split, names, self.frozen[1], self.title)
        raw = digest([Archive(folder).digest(), names, labels.tolist()])
        files = FileRecordings(folder, tuple(items), self.reader)
        return EventPool(names, labels, classes, self.sensor, files, raw, title=self.title), split


def deal(names: list[str], labels: Indices, parts: list[str]) -> Split:
    """The rule behind `official`.

    Raises:
        DataError: some recordings are of a part, and no other of train or test.
    """
    order = np.arange(len(names))
    if not any(parts):
        drawn = stratified_order(names, labels, seed=0)
        kept = len(drawn) - len(drawn) // 10
        return hold_out(names, labels, np.sort(drawn[:kept]), np.sort(drawn[kept:]))
    rows = {part: order[[of == part for of in parts]] for part in PARTS}
    if not len(rows["train"]) or not len(rows["test"]):
        raise DataError(f"of the parts train and test, one has no recording; found {sorted(set(parts))}")
    if not len(rows["validation"]):
        return hold_out(names, labels, rows["train"], rows["test"])
    train = rows["train"]
    train = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    return Split(train, rows["validation"], rows["test"])


def class_folders(folder: Path, pattern: str, part: str = "") -> tuple[list[Item], tuple[str, ...]]:
    """Items of `<class>/<file>` below a folder, for files of the pattern; classes are the sorted folder names."""
    files = sorted(path for path in folder.glob(f"*/{pattern}") if path.is_file())
    classes = tuple(sorted({path.parent.name for path in files}))
    items = [
        Item(
            path.relative_to(folder).with_suffix("").as_posix(),
            path.relative_to(folder).as_posix(),
            classes.index(path.parent.name),
            part,
        )
        for path in files
    ]
    return items, classes
