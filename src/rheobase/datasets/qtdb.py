"""QTDB: two leads of ECG in level-crossing spikes, with the wave that every step belongs to.

618 training and 141 test pieces of 1,301 steps; each lead has a channel for rising and one for falling levels. Steps without a
label count neither in the loss nor in the accuracy. Split `official`: the published test file; of the training file the
last tenth validates, because pieces of one recording follow each other.

Source: the coded data, Yin, Corradi and Bohté, "Accurate and efficient time-domain classification with adaptive spiking
recurrent neural networks" (Nature Machine Intelligence 3, 2021), MIT; the ECG, PhysioNet QT Database (Laguna et al., 1997),
ODC-By.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import UNLABELLED, FrameSet
from rheobase.datasets.pool import Pool
from rheobase.datasets.root import data_root
from rheobase.datasets.sequences import Signals, check_options
from rheobase.datasets.signal_config import SignalConfig
from rheobase.datasets.split import Indices, Split, confirm
from rheobase.errors import DataError, RecipeError

FILES = ("QTDB_train.mat", "QTDB_test.mat")
CLASSES = ("P", "PQ", "QR", "RS", "ST", "TP")
SIZES = (618, 141)
FROZEN = "5d5c4db1500341d7110b0d39b8b9a35be2909e503f04246c454c0c2f38c87359"


@dataclass(frozen=True, eq=False)
class QTDBPool(Pool):
    """Pieces that are spikes already. Shape: spikes int8 [N, L, C]; labels int64 [N, L]."""

    spikes: NDArray[np.int8]

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Deal the pieces out, the first T steps of each."""
        T = config.T
        return [
            FrameSet(
                np.ascontiguousarray(self.spikes[some, :T, :, None, None]),
                self.labels[some, :T],
                tuple(self.names[i] for i in some),
                Signals(),
            )
            for some in rows
        ]


def load(config: DataConfig) -> tuple[QTDBPool, Split]:
    """All pieces and the split.

    Raises:
        DataError: there is no data, it is damaged, has fewer than T steps, or is not what the split was frozen for.
        RecipeError: an option that signals have not.
    """
    check_options(config)
    if config.signal != SignalConfig():
        raise RecipeError("data.signal is about raw signals, and qtdb holds spikes already: leave it out")
    folder = find(config.root)
    (train, train_labels), (test, test_labels) = (read(folder / file) for file in FILES)
    spikes, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
    if spikes.shape[1] < config.T:
        raise DataError(f"qtdb has pieces of {spikes.shape[1]} steps, data.T asks for {config.T}")
    names = [f"train/{i:04d}" for i in range(len(train))] + [f"test/{i:04d}" for i in range(len(test))]
    split = official(len(train), len(test))
    confirm(split, names, FROZEN if (len(train), len(test)) == SIZES else "", "QTDB")
    return QTDBPool(names, labels, CLASSES, (1, 1), spikes), split


def read(path: Path) -> tuple[NDArray[np.int8], Indices]:
    """Spikes `x` and the classes of one-hot `y`. Shape: int8 [N, L, 4], int64 [N, L].

    Raises:
        DataError: the file is damaged, or holds something else.
    """
    try:
        arrays = loadmat(path)
        x, y = np.asarray(arrays["x"]), np.asarray(arrays["y"])
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError, MatReadError, zlib.error) as error:
        raise DataError(f"{path}: no MATLAB file with x and y ({error}); get the data again") from error
    if x.ndim != 3 or y.shape != (*x.shape[:2], len(CLASSES)) or not np.isin(x, (-1, 0, 1)).all():
        raise DataError(
            f"{path}: x {x.shape} and y {y.shape} are not spikes [N, L, C] in -1..1 and one-hot classes [N, L, {len(CLASSES)}]"
        )
    if not (np.isin(y, (0, 1)).all() and (y.sum(2, dtype=np.int64) <= 1).all()):
        raise DataError(f"{path}: y has steps of several classes; get the data again")
    return x.astype(np.int8), np.where(y.any(2), y.argmax(2), UNLABELLED).astype(np.int64)


def official(train: int, test: int) -> Split:
    """The rule: of the training file the last tenth validates."""
    kept = train - train // 10
    return Split(np.arange(kept), np.arange(kept, train), np.arange(train, train + test))


def find(root: Path | None) -> Path:
    """The folder of the two files: `qtdb` under `root` (else `$RHEOBASE_DATA`), or the root itself.

    Raises:
        DataError: they are in neither.
    """
    base = data_root(root, "QTDB", f"qtdb/{FILES[0]} and qtdb/{FILES[1]}")
    for folder in (base / "qtdb", base):
        if all((folder / file).is_file() for file in FILES):
            return folder
    raise DataError(f"QTDB: found no {FILES[0]} and {FILES[1]} in {base / 'qtdb'}")
