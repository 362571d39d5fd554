"""Data of other frameworks, by what it looks like: Tonic's data sets, SpikingJelly's frames, Hugging Face's tables.

Nothing is imported; a set has `len` and items.

    events:  items (structured array of x, y, t, p; label), as Tonic and SpikingJelly's event sets give them, or
             (mapping of arrays x, y, t, p; label); times in microseconds
    frames:  items (counts [T, C, H, W]; label), as SpikingJelly's frame sets and Tonic's ToFrame give them
    signals: items that are mappings, as Hugging Face `datasets` gives them: a column of audio (`array`,
             `sampling_rate`, decoded) or of numbers, and one of labels
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import digest_arrays
from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import DataSet
from rheobase.datasets.event_files import deal
from rheobase.datasets.packed import Packed, pack
from rheobase.errors import DataError
from rheobase.events import Recording


class Items(Protocol):
    """A set of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def recording_of(events: Any, *, width: int, height: int, label: int | None = None) -> Recording:
    """The recording of one item: polarities may be 0 and 1, -1 and 1, or booleans; times are sorted.

    Raises:
        DataError: a field is missing, or an event lies outside the sensor.
    """
    names = events.dtype.names if isinstance(events, np.ndarray) else list(events)
    if missing := sorted(set("xytp") - set(names or ())):
        raise DataError(
            f"events of fields {list(names or ())}: {', '.join(missing)} missing; x, y, t and p are needed"
        )
    x, y, t, p = (np.asarray(events[name]) for name in "xytp")
    order = np.argsort(t, kind="stable")
    x, y, t, p = (array[order].astype(np.int64) for array in (x, y, t, p > 0))
    return Recording(x, y, t, p, width=width, height=height, label=label)


def data_set(
    items: Items,
    config: DataConfig,
    *,
    classes: Sequence[str],
    sensor: tuple[int, int],
    test: Items | None = None,
) -> DataSet:
    """A `DataSet` of the events of a foreign set (and of its test set), binned as `config` says.

    Without a test set a stratified tenth tests; of the rest a stratified tenth validates. `sensor` is (H, W), up to 256
    pixels a side. `config.name` names it.

    Raises:
        DataError: an item is no events, or there are none.
    """
    from rheobase.datasets.load import assemble

    parts = [("train", items)] + ([("test", test)] if test is not None else [])
    names, made = [], []
    for part, some in parts:
        for i in range(len(some)):
            events, label = some[i]
            names.append(f"{part}/{i:06}")
            made.append(recording_of(events, width=sensor[1], height=sensor[0], label=int(label)))
    if not made or max(sensor) > 256:
        raise DataError(
            f"{len(made)} recordings on {sensor[0]} x {sensor[1]} pixels; expected some, on 256 a side at most"
        )
    arrays = pack(made)
    content = digest_arrays(arrays)
    packed = Packed(arrays, *sensor)
    pool = EventPool(names, packed.labels, tuple(classes), sensor, packed, content, content=content)
    dealt = deal(names, packed.labels, [name.split("/")[0] if test is not None else "" for name in names])
    return assemble(config, pool, dealt)


def frames_of(items: Items) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames and labels of a foreign set of frames, for `training.ArrayFrames`; counts above 255 saturate.

    Shape: uint8 [N, T, C, H, W], int64 [N].

    Raises:
        DataError: items differ in shape, or are no counts.
    """
    frames: list[NDArray[np.uint8]] = []
    labels = []
    for i in range(len(items)):
        counts, label = items[i]
        array = np.asarray(counts)
        if array.ndim != 4 or (frames and array.shape != frames[0].shape):
            raise DataError(
                f"item {i} has the shape {array.shape}; frames are [T, C, H, W], all of one shape"
            )
        if array.size and (array.min() < 0 or (array != np.floor(array)).any()):
            raise DataError(
                f"item {i} holds values that are no counts of events (negative, or with a fraction)"
            )
        frames.append(np.minimum(array, 255).astype(np.uint8))
        labels.append(int(label))
    if not frames:
        raise DataError("the set is empty")
    return np.stack(frames), np.array(labels, dtype=np.int64)


def signals_of(
    items: Items, column: str, label: str = "label", *, samples: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64], float | None]:
    """Signals, labels and sampling rate of a table: decoded audio, or numbers; cut or padded with zeros to `samples`.

    Shape: float64 [L, N, C], int64 [N].

    Raises:
        DataError: a column is missing, sampling rates or numbers of channels differ, or lengths where `samples` is
            not given.
    """
    found: list[NDArray[np.float64]] = []
    labels, rates = [], set()
    for i in range(len(items)):
        row = items[i]
        if missing := [name for name in (column, label) if name not in row]:
            raise DataError(f"row {i} has no {', '.join(missing)}; its columns are {', '.join(row)}")
        value = row[column]
        if isinstance(value, Mapping):
            rates.add(float(value["sampling_rate"]))
            value = np.asarray(value["array"], np.float64)
            value = value.T if value.ndim == 2 else value  # audio is [channels, samples]
        array = np.atleast_1d(np.asarray(value, np.float64))
        array = array[:, None] if array.ndim == 1 else array
        if samples is not None:
            array = np.pad(array[:samples], ((0, max(0, samples - len(array))), (0, 0)))
        if found and array.shape != found[0].shape:
            raise DataError(
                f"row {i} has the shape {array.shape}, row 0 {found[0].shape}; give samples= to cut and pad"
            )
        found.append(array)
        labels.append(int(row[label]))
    if not found or len(rates) > 1:
        raise DataError(
            f"{len(found)} rows with the sampling rates {sorted(rates)}; expected some, of one rate"
        )
    return np.stack(found, axis=1), np.array(labels, dtype=np.int64), rates.pop() if rates else None
