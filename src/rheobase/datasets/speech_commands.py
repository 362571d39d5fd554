"""Speech Commands v0.02, the official *test* set: 4,890 clips of one second at 16 kHz, ten words, unknown and silence.

Split `official`: `suggested_split` of `index.csv` (3,962 / 928, no speaker in both); of the training speakers those whose
clips make up a tenth (by SHA-256 of their names; silent clips, which have no speaker, one by one) validate. A network
trained on it has seen a twentieth of the real training set: never compare with published Speech Commands figures.

Source: Warden, arXiv 1804.03209; CC BY 4.0.
"""

import csv
import hashlib
import io
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.archive import Archive
from rheobase.datasets.cache import cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.root import data_root
from rheobase.datasets.sequences import ANALOG, SignalPool, check_options
from rheobase.datasets.split import Split, confirm
from rheobase.errors import DataError
from rheobase.signals import Direct, read_signal
from rheobase.signals.frontends import FrontEnd, LogMel

FILE, FOLDER = "speech_commands_v2_test.zip", "speech_commands_v2_test"
RATE = 16000
CLASSES = (
    *("_silence_", "_unknown_", "down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"),
)
FROZEN = "ba1d4393dcfd8e7b8991c3e1ce3824e877835c23b07b7fa405127238a4c850f7"
FRONT = LogMel(bands=40, window=0.025, hop=0.010)
BATCH = 64


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
    front = config.signal.front or FRONT
    key = {"raw": archive.digest(), "front": front.model_dump(mode="json")}
    arrays = cached(
        f"{config.name}/signals", key, lambda: {"signals": behind(archive, names, front)}, keep=config.cache
    )
    unit = ANALOG if isinstance(config.signal.encoder, Direct) else 1.0
    signals = arrays["signals"]
    size = (signals.shape[2], 1)
    pool = SignalPool(
        names,
        labels,
        CLASSES,
        size,
        signals,
        input_unit=unit,
        spectrogram=True,
        front=front,
        sampling=RATE,
        count=1 / 32768,
        read=lambda name: one(archive, name),
    )
    return pool, split


def behind(archive: Archive, names: list[str], front: FrontEnd) -> NDArray[np.float32]:
    """Clips behind a front end. Shape: [N, L', C]."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(names), BATCH):
            clips = [clip(archive, name, Path(folder)) for name in names[start : start + BATCH]]
            found.append(front.apply(np.stack(clips, 1)[..., None]).swapaxes(0, 1).astype(np.float32))
    return np.concatenate(found)


def one(archive: Archive, name: str) -> NDArray[np.float64]:
    """One clip, as `clip`, with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return clip(archive, name, Path(folder))


def clip(archive: Archive, name: str, folder: Path) -> NDArray[np.float64]:
    """One second of a clip: shorter ones end in silence, longer ones are cut. Shape: [16000].

    Raises:
        DataError: it cannot be read, or has another rate or several channels.
    """
    path = folder / f"clip{Path(name).suffix}"
    path.write_bytes(archive.read(name))
    try:
        signal = read_signal(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), f"{archive!r}: {name}")) from error
    if signal.rate != RATE or signal.samples.shape[1] != 1:
        raise DataError(
            f"{archive!r}: {name} has {signal.samples.shape[1]} channels at {signal.rate} Hz, expected one at {RATE} Hz"
        )
    samples = signal.samples[:RATE, 0]
    return np.pad(samples, (0, RATE - len(samples)))


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


def find(root: Path | None) -> Archive:
    """The data under `root` (else `$RHEOBASE_DATA`): the zip file, or a folder of the same name.

    Raises:
        DataError: neither is there.
    """
    base = data_root(root, "Speech Commands (test set)", f"{FILE} (or the folder {FOLDER})")
    for path in (base / FILE, base / FOLDER):
        if path.exists():
            return Archive(path)
    raise DataError(
        f"Speech Commands (test set): found neither {FILE} nor the folder {FOLDER} in {base}. It is an archive of "
        "<word>/<speaker>_nohash_<k>.flac (or .wav) with an index.csv (path, label, speaker, suggested_split)"
    )
