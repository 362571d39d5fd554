"""BCI Competition IV 2a: four imagined movements of nine people in EEG, two sessions of 288 trials each.

Files `A0<s>T.gdf`, `A0<s>E.gdf` and the published labels of the second, `A0<s>E.mat`. A trial is the 4 s from the cue on,
22 channels at 250 Hz. Session T trains and session E tests, of the same people, as in the competition; of each session T
the last sixth (its last run) validates. Split `official` has all people, `subject-<s>` one.

Source: Brunner et al., "BCI Competition 2008, Graz data set A"; Tangermann et al., Frontiers in Neuroscience 6:55 (2012).
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from rheobase.datasets.config import DataConfig
from rheobase.datasets.eeg_files import EEG
from rheobase.datasets.motor_imagery import Session, Study, beside, cued, ordered
from rheobase.datasets.root import find_folder
from rheobase.datasets.split import Indices, Split
from rheobase.errors import DataError

FOLDERS = ("BCICIV_2a_gdf", "bci-iv-2a")
CUES, UNKNOWN = ("769", "770", "771", "772"), "783"
SUBJECTS = tuple(f"subject-{i}" for i in range(1, 10))


def sessions(config: DataConfig) -> list[Session]:
    """Both sessions of each person that the split asks for.

    Raises:
        DataError: a file is absent.
    """
    folder = find_folder("BCI Competition IV 2a", FOLDERS, config.root)
    chosen = SUBJECTS if config.split == "official" else (config.split,)
    found = []
    for subject in chosen:
        stem = f"A0{subject.removeprefix('subject-')}"
        first, second, told = (beside(folder, f"{stem}{end}") for end in ("T.gdf", "E.gdf", "E.mat"))
        found.append(Session(stem, "T", first, partial(cued, {mark: i for i, mark in enumerate(CUES)})))
        found.append(Session(stem, "E", second, partial(_told, told), told))
    return found


def _told(path: Path, eeg: EEG) -> tuple[list[int], list[int]]:
    """Trials at cues that do not say their class, which the published `.mat` (`classlabel`, from 1) does."""
    at, _ = cued({UNKNOWN: 0} | {mark: 0 for mark in CUES}, eeg)
    try:
        labels = np.asarray(loadmat(path)["classlabel"]).ravel().astype(np.int64)
    except (OSError, KeyError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected the published labels, classlabel"
        ) from error
    if len(labels) != len(at) or not np.isin(labels, range(1, len(CUES) + 1)).all():
        raise DataError(f"{path}: {len(labels)} labels, expected one of 1 to 4 for each of {len(at)} trials")
    return at, (labels - 1).tolist()


def deal(names: list[str], labels: Indices, config: DataConfig) -> Split:
    """Session E tests; of each person's session T the last sixth validates."""
    people, runs = (np.array([name.split("/")[i] for name in names]) for i in (0, 1))
    test, held = np.flatnonzero(runs == "E"), []
    for person in np.unique(people):
        mine = np.flatnonzero((people == person) & (runs == "T"))
        held.append(mine[len(mine) - len(mine) // 6 :])
    validation = np.concatenate(held)
    return ordered(names, labels, np.setdiff1d(np.flatnonzero(runs == "T"), validation), validation, test)


STUDY = Study(
    "BCI Competition IV 2a",
    ("left hand", "right hand", "feet", "tongue"),
    250.0,
    22,
    ("official", *SUBJECTS),
    sessions,
    deal,
)
