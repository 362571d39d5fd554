"""The fields a foreign file names x, y, t, p, made into a recording."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.events.recording import Recording


def recording_from_fields(
    fields: Mapping[str, NDArray[Any]],
    name: str,
    *,
    width: int | None = None,
    height: int | None = None,
    label: int | None = None,
    time_unit: float = 1e-6,
) -> Recording:
    """A recording from arrays `x, y, t, p`; polarities of -1 and 1 become 0 and 1.

    A `width` or `height` of None is the largest coordinate plus one, which is a guess: the border may have
    been silent.

    Raises:
        DataError: the events cannot be a recording; the message starts with `name`.
    """
    missing = [field for field in "xytp" if field not in fields]
    if missing:
        raise DataError(
            f"{name}: no field {', '.join(missing)}; it needs x, y, t and p, and has {sorted(fields)}"
        )
    x, y, t, p = (np.asarray(fields[field]) for field in "xytp")
    if p.dtype.kind == "i" and (p < 0).any():
        if not np.isin(p, (-1, 1)).all():
            raise DataError(f"{name}: polarities are 0 and 1, or -1 and 1; found {np.unique(p)[:5].tolist()}")
        p = p > 0
    try:
        wide = int(x.max(initial=0)) + 1 if width is None else int(width)
        high = int(y.max(initial=0)) + 1 if height is None else int(height)
        return Recording(x, y, t, p, width=wide, height=high, label=label, time_unit=time_unit)
    except (DataError, TypeError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error
