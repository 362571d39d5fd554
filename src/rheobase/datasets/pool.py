"""What a data set hands to the loader: recordings that can be fetched, and what is known of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.packed import Recordings


@dataclass(frozen=True, eq=False)
class Pool:
    """All recordings of a data set, before any split.

    `raw` is a digest of the raw data (the key of cached frames); `content` is one only where the data is
    generated, and is then part of the split's digest. `span` is the window in ticks that frames of equal time
    divide, None for that of each recording. `names` are unique.
    """

    names: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    recordings: Recordings
    raw: str
    content: str = ""
    span: tuple[int, int] | None = None
