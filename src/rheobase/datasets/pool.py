"""What a data set hands over before it is dealt: all its samples, and how parts are made of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import FrameSet
from rheobase.datasets.split import Indices


@dataclass(frozen=True, eq=False)
class Pool(ABC):
    """All samples of a data set, before any split.

    `names` are unique; `sensor` is `(H, W)`. `content` is part of the split's digest, for data that names alone do
    not identify. `title` is the name to show, where it is not that of the configuration; `input_unit` what one
    count of a frame is worth.
    """

    names: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    content: str = field(default="", kw_only=True)
    title: str | None = field(default=None, kw_only=True)
    input_unit: float = field(default=1.0, kw_only=True)

    @abstractmethod
    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """One part for each set of rows.

        Raises:
            DataError: frames cannot be made of a sample.
        """
