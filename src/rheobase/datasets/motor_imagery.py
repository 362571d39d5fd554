"""What data sets of imagined movements share: sessions of EEG read through MNE, trials cut at cues, a front end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rheobase.datasets.cache import Arrays, cached, digest
from rheobase.datasets.config import DataConfig
from rheobase.datasets.eeg_files import EEG, read_eeg, trials
from rheobase.datasets.sequences import ANALOG, SignalPool, check_options
from rheobase.datasets.split import Indices, Split, stratified_order
from rheobase.errors import DataError
from rheobase.signals import Direct
from rheobase.signals.frontends import Bands, FrontEnd

SECONDS = 4
BAND = (4.0, 38.0)
"""Hz that the front end passes where none is given."""


@dataclass(frozen=True)
class Session:
    """One file: whose, of which session or run, and how the class of each trial is told."""

    subject: str
    run: str
    path: Path
    classes: Callable[[EEG], tuple[list[int], list[int]]]
    """Where the trials start, and their classes."""
    labels: Path | None = None
    """Another file that `classes` reads."""


@dataclass(frozen=True)
class Study:
    """What tells one set from the other."""

    title: str
    classes: tuple[str, ...]
    rate: float
    channels: int
    splits: tuple[str, ...]
    sessions: Callable[[DataConfig], list[Session]]
    split: Callable[[list[str], Indices, DataConfig], Split]


def load(study: Study, config: DataConfig) -> tuple[SignalPool, Split]:
    """All trials behind the front end (a band-pass unless another is given), and the split.

    Raises:
        DataError: there is no data, MNE is not installed, or a file cannot be read or has not the marks it should have.
        RecipeError: an option that signals have not, or no such split.
    """
    check_options(config, splits=study.splits)
    sessions = study.sessions(config)
    front: FrontEnd = config.signal.front or Bands(sampling=study.rate, edges=(BAND,), raw=False)
    paths = [path for session in sessions for path in (session.path, session.labels) if path is not None]
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = {"raw": digest(states), "front": front.model_dump(mode="json")}
    arrays = cached(f"{config.name}/signals", key, lambda: _trials(study, sessions, front), keep=config.cache)
    names, labels = arrays["names"].tolist(), arrays["labels"]
    unit = ANALOG if isinstance(config.signal.encoder, Direct) else 1.0
    pool = SignalPool(
        names, labels, study.classes, (1, 1), arrays["signals"], input_unit=unit, title=study.title
    )
    return pool, study.split(names, labels, config)


def _trials(study: Study, sessions: Iterable[Session], front: FrontEnd) -> Arrays:
    names: list[str] = []
    labels: list[int] = []
    found = []
    for session in sessions:
        eeg = read_eeg(session.path)
        at, classes = session.classes(eeg)
        if not at:
            raise DataError(
                f"{session.path}: has no trials; its marks are {sorted({mark for _, mark in eeg.marks})}"
            )
        cut = trials(eeg, session.path, at, round(SECONDS * study.rate), study.channels, study.rate)
        found.append(front.apply(cut.swapaxes(0, 1).astype(np.float64)).swapaxes(0, 1).astype(np.float32))
        names += [f"{session.subject}/{session.run}/{i:03}" for i in range(len(at))]
        labels += classes
    return {"signals": np.concatenate(found), "names": np.array(names), "labels": np.array(labels, np.int64)}


def cued(marks: dict[str, int], eeg: EEG) -> tuple[list[int], list[int]]:
    """Trials at the marks given, and the class of each mark."""
    kept = [(at, marks[mark]) for at, mark in eeg.marks if mark in marks]
    return [at for at, _ in kept], [kind for _, kind in kept]


def ordered(names: list[str], labels: Indices, train: Indices, validation: Indices, test: Indices) -> Split:
    """The rows of each part, those that train in stratified order."""
    order = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    return Split(order, validation, test)


def beside(folder: Path, name: str) -> Path:
    """A file in a folder, or in its `true_labels/`.

    Raises:
        DataError: it is in neither.
    """
    for place in (folder / name, folder / "true_labels" / name):
        if place.is_file():
            return place
    raise DataError(f"{folder}: has no {name}; the data is incomplete, get it again")
