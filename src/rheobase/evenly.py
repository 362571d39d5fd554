"""A few places of many, evenly chosen: what is drawn of long recordings and wide layers."""

import numpy as np
from numpy.typing import NDArray


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` places of `total`, the first and the last among them; rising.

    >>> evenly(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
