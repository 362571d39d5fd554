"""Many recordings of one sensor in a handful of arrays, and what else can hand out recordings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.cache import Arrays
from rheobase.events import Recording


class Recordings(Protocol):
    """Whatever can hand out its `index`-th recording."""

    def recording(self, index: int) -> Recording:
        """The recording with this index."""
        ...


@dataclass(frozen=True, eq=False)
class Packed:
    """The events of recording `i` are rows `offsets[i]` to `offsets[i + 1]` of x, y, t and p.

    Shape: x, y, t, p: [events]; offsets: [recordings + 1]; labels: [recordings].
    """

    arrays: Arrays
    height: int
    width: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each recording."""
        return self.arrays["labels"]

    def recording(self, index: int) -> Recording:
        """The recording with this index."""
        first, last = self.arrays["offsets"][index : index + 2]
        x, y, t, p = (self.arrays[name][first:last] for name in "xytp")
        return Recording(x, y, t, p, width=self.width, height=self.height, label=int(self.labels[index]))


def pack(recordings: Iterable[Recording]) -> Arrays:
    """Arrays of a `Packed` from labelled recordings of one sensor, of 256 pixels a side or less."""
    columns: dict[str, list[NDArray[np.integer]]] = {name: [] for name in "xytp"}
    kinds = {"x": np.uint8, "y": np.uint8, "t": np.int32, "p": np.uint8}
    lengths, labels = [0], []
    for recording in recordings:
        for name, kind in kinds.items():
            columns[name].append(getattr(recording, name).astype(kind))
        lengths.append(len(recording))
        labels.append(recording.label)
    arrays: Arrays = {name: np.concatenate(column) for name, column in columns.items()}
    return arrays | {
        "offsets": np.cumsum(lengths, dtype=np.int64),
        "labels": np.array(labels, dtype=np.int64),
    }


def joined(packs: Sequence[Arrays]) -> Arrays:
    """Packs of one sensor as one, in their order."""
    arrays = {name: np.concatenate([made[name] for made in packs]) for name in ("x", "y", "t", "p", "labels")}
    lengths = np.concatenate([np.diff(made["offsets"]) for made in packs])
    return arrays | {"offsets": np.cumsum([0, *lengths], dtype=np.int64)}
