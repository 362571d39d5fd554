"""Speech Commands v0.02 whole: 105,829 clips of up to one second at 16 kHz, 35 words by 2,618 speakers.

Layout: `<word>/<speaker>_nohash_<k>.wav`, `validation_list.txt` and `testing_list.txt`. Split `official`: those lists, and
the rest trains (84,843 / 9,981 / 11,005). They are dealt by speaker, which is checked: a speaker of two parts is refused.

Source: Warden, arXiv 1804.03209; CC BY 4.0.
"""

from functools import partial

import numpy as np

from rheobase.datasets.archive import Archive, find_archive
from rheobase.datasets.clips import clip_pool
from rheobase.datasets.config import DataConfig
from rheobase.datasets.sequences import SignalPool, check_options
from rheobase.datasets.split import Indices, Split, stratified_order
from rheobase.errors import DataError

TITLE, RATE = "Speech Commands", 16000
FOLDERS = ("speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02")
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
_WORDS = """
    backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off on one
    right seven sheila six stop three tree two up visual wow yes zero
"""
CLASSES = tuple(_WORDS.split())
find = partial(
    find_archive,
    TITLE,
    FOLDERS,
    "<word>/<speaker>_nohash_<k>.wav, validation_list.txt and testing_list.txt; `rheobase data fetch speech-commands-35` gets it",
)


def load(config: DataConfig) -> tuple[SignalPool, Split]:
    """All clips behind the front end (log-mel unless another is given), and the published split.

    Raises:
        DataError: there is no data, a list names an absent clip, or a clip cannot be read.
        RecipeError: an option that signals have not.
    """
    check_options(config)
    archive = find(config.root)
    names = [name for name in archive.names(".wav") if name.split("/")[0] in CLASSES]
    labels = np.array([CLASSES.index(name.split("/")[0]) for name in names], dtype=np.int64)
    split = official(archive, names, labels)
    return clip_pool(config, archive, names, labels, CLASSES, rate=RATE), split


def official(archive: Archive, names: list[str], labels: Indices) -> Split:
    """The published lists, and the rest in stratified order.

    Raises:
        DataError: a list names a clip that is not there, or two parts share a speaker.
    """
    place = {name: i for i, name in enumerate(names)}
    rows = {part: _listed(archive, file, place) for part, file in LISTS.items()}
    train = np.setdiff1d(np.arange(len(names)), np.concatenate(list(rows.values())))
    speakers = np.array([name.split("/")[1].split("_")[0] for name in names])
    parts = {"train": train, **rows}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = np.intersect1d(speakers[parts[one]], speakers[parts[other]])
        if len(shared):
            raise DataError(
                f"{archive!r}: speaker {shared[0]} is in {one} and in {other}; the lists or names are not the published ones"
            )
    order = train[stratified_order([names[i] for i in train], labels[train], seed=0)]
    return Split(order, rows["validation"], rows["test"])


def _listed(archive: Archive, file: str, place: dict[str, int]) -> Indices:
    lines = archive.read(file).decode("utf-8", "replace").split()
    absent = [line for line in lines if line not in place]
    if absent or not lines:
        raise DataError(
            f"{archive!r}: {file} names {len(lines)} clips, {len(absent)} of them not there (such as {absent[:1]}); the data "
            "is incomplete, get it again"
        )
    return np.array(sorted(place[line] for line in lines), dtype=np.int64)
