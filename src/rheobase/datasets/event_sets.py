"""Published event data sets in their official layouts.

| set | layout |
| --- | --- |
| cifar10-dvs | `<class>/cifar10_<class>_<n>.aedat`, AEDAT 2.0 of a DVS128 |
| dvs128-gesture | `user<nn>_<light>.aedat` (AEDAT 3.1), `user<nn>_<light>_labels.csv`, `trials_to_{train,test}.txt` |
| ncaltech101 | `<class>/image_<nnnn>.bin`, as N-MNIST, within 240x180 pixels |
| ncars | `n-cars_{train,test}/{background,cars}/*.dat`, within 120x100 pixels |
| asl-dvs | `<letter>/<letter>_<nnnn>.mat`, arrays ts, x, y, pol of a DAVIS240; y counts from below |

Sources: Li et al. 2017 (CIFAR10-DVS); Amir et al., CVPR 2017 (Gesture); Orchard et al. 2015 (N-Caltech101); Sironi et
al., CVPR 2018 (N-CARS); Bi et al., ICCV 2019 (ASL-DVS).
"""

import csv
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from rheobase.datasets.event_files import Item, Published, class_folders
from rheobase.errors import DataError
from rheobase.events import Recording, read_recording

GESTURES = (
    *(
        "hand clapping",
        "right hand wave",
        "left hand wave",
        "right arm clockwise",
        "right arm counter clockwise",
    ),
    *(
        "left arm clockwise",
        "left arm counter clockwise",
        "arm roll",
        "air drums",
        "air guitar",
        "other gestures",
    ),
)
COLUMNS = ("class", "startTime_usec", "endTime_usec")


def gestures(folder: Path) -> tuple[list[Item], tuple[str, ...]]:
    """The trials of the lists, cut into gestures by their CSV.

    Raises:
        DataError: a list or a CSV cannot be read, or its rows are no gestures.
    """
    items = []
    for part in ("train", "test"):
        path = folder / f"trials_to_{part}.txt"
        for trial in _lines(path):
            stem = trial.removesuffix(".aedat")
            items += [
                Item(f"{stem}/{i:02}", trial, label, part, span)
                for i, (label, span) in enumerate(segments(folder / f"{stem}_labels.csv"))
            ]
    return items, GESTURES


def segments(path: Path) -> list[tuple[int, tuple[int, int]]]:
    """Class (from 0) and ticks of each gesture of a trial: rows of a class from 1, where it starts and where it ends.

    Raises:
        DataError: the file cannot be read, or a row is no gesture.
    """
    found = []
    for line, row in enumerate(csv.DictReader(_lines(path), skipinitialspace=True), start=2):
        try:
            label, start, stop = (int(row[column]) for column in COLUMNS)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: line {line}: expected integers {', '.join(COLUMNS)}") from error
        if not (1 <= label <= len(GESTURES) and 0 <= start < stop):
            raise DataError(f"{path}: line {line}: class {label} from {start} to {stop} us is no gesture")
        found.append((label - 1, (start, stop)))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the data again") from error


def cars(folder: Path) -> tuple[list[Item], tuple[str, ...]]:
    """Both published parts."""
    items: list[Item] = []
    classes: tuple[str, ...] = ()
    for part in ("train", "test"):
        inner = folder / f"n-cars_{part}"
        some, classes = class_folders(inner, "*.dat", part)
        items += [Item(f"{part}/{item.name}", f"{inner.name}/{item.file}", item.label, part) for item in some]
        if classes != ("background", "cars"):
            raise DataError(
                f"{inner}: expected .dat files below background/ and cars/, found {list(classes)}"
            )
    return items, classes


def read_mat(path: Path) -> Recording:
    """A recording of ASL-DVS.

    Raises:
        DataError: the file cannot be read, or an array is absent.
    """
    try:
        arrays = loadmat(path, variable_names=["ts", "x", "y", "pol"])
        t, x, y, p = (np.asarray(arrays[name]).ravel().astype(np.int64) for name in ("ts", "x", "y", "pol"))
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected a MATLAB file of ts, x, y, pol"
        ) from error
    order = np.argsort(t, kind="stable")
    return Recording(x[order], 179 - y[order], t[order], p[order], width=240, height=180)


EVENT_SETS = {
    "cifar10-dvs": Published(
        "CIFAR10-DVS",
        ("CIFAR10DVS", "CIFAR10-DVS", "cifar10-dvs"),
        (128, 128),
        lambda folder: class_folders(folder, "*.aedat"),
        lambda path: read_recording(path, format="aedat2", width=128, height=128, sort=True),
        frozen=(10_000, "ae4a8d9afdca8249fb91eb4eb685989f2e17606fd164c1b732042de39b3ec3bd"),
    ),
    "dvs128-gesture": Published(
        "DVS128 Gesture",
        ("DvsGesture", "DVS128Gesture", "dvs128-gesture"),
        (128, 128),
        gestures,
        lambda path: read_recording(path, format="aedat3", width=128, height=128, sort=True),
    ),
    "ncaltech101": Published(
        "N-Caltech101",
        ("Caltech101", "N-Caltech101", "ncaltech101"),
        (180, 240),
        lambda folder: class_folders(folder, "*.bin"),
        lambda path: read_recording(path, format="nmnist", width=240, height=180, sort=True),
    ),
    "ncars": Published(
        "N-CARS",
        ("Prophesee_Dataset_n_cars", "N-CARS", "ncars"),
        (100, 120),
        cars,
        lambda path: read_recording(path, format="dat", width=120, height=100, sort=True),
    ),
    "asl-dvs": Published(
        "ASL-DVS",
        ("ASLDVS", "ASL-DVS", "asl-dvs"),
        (180, 240),
        lambda folder: class_folders(folder, "*.mat"),
        read_mat,
    ),
}
