"""Speech Commands v0.02, the official *test* set: 4,890 clips of one second at 16 kHz, ten words, unknown and silence.

Split `official`: `suggested_split` of `index.csv` (3,962 / 928, no speaker in both); of the training speakers those whose
clips make up a tenth (by SHA-256 of their names; silent clips, which have no speaker, one by one) validate. A network
trained on it has seen a twentieth of the real training set: never compare with published Speech Commands figures
(`speech_commands_35` is the whole set).

Source: Warden, arXiv 1804.03209; CC BY 4.0.
"""

import csv
import hashlib
import io
from functools import partial

import numpy as np

from rheobase.datasets.archive import Archive, find_archive
from rheobase.datasets.clips import clip_pool
from rheobase.datasets.config import DataConfig
from rheobase.datasets.sequences import SignalPool, check_options
from rheobase.datasets.split import Split, confirm
from rheobase.errors import DataError

FILE, FOLDER = "speech_commands_v2_test.zip", "speech_commands_v2_test"
RATE = 16000
CLASSES = (
    *("_silence_", "_unknown_", "down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"),
)
FROZEN = "ba1d4393dcfd8e7b8991c3e1ce3824e877835c23b07b7fa405127238a4c850f7"
find = partial(
    find_archive,
    "Speech Commands (test set)",
    (FILE, FOLDER),
    "<word>/<speaker>_nohash_<k>.flac (or .wav) and an index.csv (path, label, speaker, suggested_split)",
)
"""The data under a root: the zip file, or a folder of the same name."""


def load(config: DataConfig) -> tuple[SignalPool, Split]:
    """All clips behind the front end (log-mel unless another is given), and the split.

    Raises:
        DataError: there is no data, a clip cannot be read, or it is not what the split was frozen for.
        RecipeError: an option that signals have not.
    """
    check_options(config)
    archive = find(config.root)
    rows = index(archive)
    names = [row["path"] for row in rows]
    labels = np.array([CLASSES.index(row["label"]) for row in rows], dtype=np.int64)
    split = official(rows)
    if archive.paths[0].name == FILE:
        confirm(split, names, FROZEN, "Speech Commands (test set)")
    return clip_pool(config, archive, names, labels, CLASSES, rate=RATE), split


def index(archive: Archive) -> list[dict[str, str]]:
    """The rows of `index.csv`: path, label, speaker, suggested_split.

    Raises:
        DataError: it is absent or damaged, names a clip that is not there, or a label that is no class.
    """
    text = archive.read("index.csv").decode("utf-8", "replace")
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = {"path", "label", "speaker", "suggested_split"}
    if not rows or not wanted <= rows[0].keys():
        raise DataError(f"{archive!r}: index.csv needs the columns {', '.join(sorted(wanted))}")
    held = {name for suffix in (".flac", ".wav") for name in archive.names(suffix)}
    for row in rows:
        if row["path"] not in held or row["label"] not in CLASSES:
            raise DataError(
                f"{archive!r}: index.csv lists {row['path']} as {row['label']!r}, which is no clip or no class of this data"
            )
    return rows


def official(rows: list[dict[str, str]]) -> Split:
    """The rule: training speakers by SHA-256 of their names, from the first on until a tenth of the clips validates."""
    speakers = [row["speaker"] or row["path"] for row in rows]
    train = [i for i, row in enumerate(rows) if row["suggested_split"] == "train"]
    test = [i for i, row in enumerate(rows) if row["suggested_split"] != "train"]
    shared = {speakers[i] for i in train} & {speakers[i] for i in test}
    if shared:
        raise DataError(f"index.csv: speaker {min(shared)} is both in training and in test")
    order = sorted(train, key=lambda i: (hashlib.sha256(speakers[i].encode()).hexdigest(), i))
    chosen = {speakers[i] for i in order[: len(train) // 10]}
    kept = [i for i in order if speakers[i] not in chosen]
    held = [i for i in train if speakers[i] in chosen]
    return Split(np.array(kept, np.int64), np.array(held, np.int64), np.array(test, np.int64))
