"""PhysioNet motor imagery: imagined movements of 109 people in EEG, six runs of 15 trials each.

Files `S<nnn>/S<nnn>R<rr>.edf`, runs 4, 8 and 12 (left or right fist), 6, 10 and 14 (both fists or both feet). A trial is the
4 s from the cue on, 64 channels at 160 Hz. People 88, 92, 100 (128 Hz) and 104 (other durations) are left out, as papers do.
Split `official`, by person (the publisher gives none): of the people in the order of the SHA-256 of their names the first fifth
tests and the next tenth validates, so no person is in two parts.

Sources: Schalk et al., IEEE TBME 51 (2004); PhysioNet (Goldberger et al., 2000); ODC-By 1.0.
"""

import hashlib
from functools import partial

import numpy as np

from rheobase.datasets.config import DataConfig
from rheobase.datasets.motor_imagery import Session, Study, beside, cued, ordered
from rheobase.datasets.root import find_folder
from rheobase.datasets.split import Indices, Split
from rheobase.errors import DataError

FOLDERS = ("eegmmidb", "physionet-mi", "files/eegmmidb/1.0.0")
LEFT_OUT = (88, 92, 100, 104)
FISTS, BOTH = (4, 8, 12), (6, 10, 14)


def sessions(config: DataConfig) -> list[Session]:
    """The six runs of each person.

    Raises:
        DataError: a file is absent, or there are no people.
    """
    folder = find_folder("PhysioNet motor imagery", FOLDERS, config.root)
    found = []
    for inner in sorted(folder.glob("S[0-9][0-9][0-9]")):
        if int(inner.name[1:]) in LEFT_OUT:
            continue
        for run in sorted(FISTS + BOTH):
            first = 0 if run in FISTS else 2
            path = beside(inner, f"{inner.name}R{run:02}.edf")
            found.append(
                Session(inner.name, f"{run:02}", path, partial(cued, {"T1": first, "T2": first + 1}))
            )
    if not found:
        raise DataError(f"{folder}: has no folders S001, S002, ...; get the data again")
    return found


def deal(names: list[str], labels: Indices, config: DataConfig) -> Split:
    """By person: in the order of SHA-256 the first fifth tests, the next tenth validates.

    Raises:
        DataError: there are fewer than ten people.
    """
    people = np.array([name.split("/")[0] for name in names])
    order = sorted(set(people.tolist()), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    fifth, tenth = len(order) // 5, len(order) // 10
    if not tenth:
        raise DataError(f"{len(order)} people cannot be dealt by person into parts; 10 are needed")
    test = np.flatnonzero(np.isin(people, order[:fifth]))
    validation = np.flatnonzero(np.isin(people, order[fifth : fifth + tenth]))
    train = np.flatnonzero(np.isin(people, order[fifth + tenth :]))
    return ordered(names, labels, train, validation, test)


STUDY = Study(
    "PhysioNet motor imagery",
    ("left fist", "right fist", "both fists", "both feet"),
    160.0,
    64,
    ("official",),
    sessions,
    deal,
)
