"""A recording: what an event camera saw, as four arrays of equal length."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError

IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Recording:
    """Events `(x, y, t, p)` of a sensor of `width` x `height` pixels, ordered by time.

    `p` is 1 where the brightness rose (ON) and 0 where it fell (OFF); `t` counts ticks of `time_unit`
    seconds. Any integer (or boolean) arrays are accepted and stored as uint16, uint16, int64 and uint8. An
    empty recording is a legal value: it is binning that refuses it.

    Shape: x, y, t, p: [events].

    Raises:
        DataError: arrays of unequal length or not of integers, a coordinate outside the sensor, a polarity
            other than 0 and 1, or a time stamp that decreases.
    """

    x: IntArray
    y: IntArray
    t: IntArray
    p: IntArray
    width: int
    height: int
    label: int | None = None
    time_unit: float = 1e-6

    def __post_init__(self) -> None:
        arrays = {name: np.asarray(getattr(self, name)) for name in "xytp"}
        _check_arrays(arrays)
        _check_sensor(self.width, self.height, self.time_unit)
        _check_values(arrays, self.width, self.height)
        for name, kind in zip("xytp", (np.uint16, np.uint16, np.int64, np.uint8), strict=True):
            object.__setattr__(self, name, np.ascontiguousarray(arrays[name], dtype=kind))

    @classmethod
    def of_checked(
        cls,
        arrays: dict[str, NDArray[Any]],
        *,
        width: int,
        height: int,
        label: int | None = None,
        time_unit: float = 1e-6,
    ) -> "Recording":
        """A recording of arrays x, y, t and p that are of its types and were checked as they were decoded.

        Raises:
            DataError: an impossible sensor or time unit.
        """
        _check_sensor(width, height, time_unit)
        made = object.__new__(cls)
        facts = {"width": width, "height": height, "label": label, "time_unit": time_unit}
        for name, value in (arrays | facts).items():
            object.__setattr__(made, name, value)
        return made

    def __len__(self) -> int:
        return len(self.t)

    @property
    def duration(self) -> float:
        """Seconds from the first event to the last; 0 where there are fewer than two."""
        return float(self.t[-1] - self.t[0]) * self.time_unit if len(self) else 0.0

    @property
    def rate(self) -> float:
        """Events a second over `duration`; 0 where the duration is 0."""
        return len(self) / self.duration if self.duration > 0 else 0.0

    def select(self, mask: NDArray[np.bool_]) -> "Recording":
        """The events where `mask` is true, in their order.

        Shape: mask: bool [events].

        Raises:
            DataError: the mask is not boolean or has another length.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != self.t.shape:
            raise DataError(
                f"select takes a boolean mask of shape {self.t.shape}; got {mask.dtype} of {mask.shape}"
            )
        return replace(self, x=self.x[mask], y=self.y[mask], t=self.t[mask], p=self.p[mask])


def _check_sensor(width: int, height: int, time_unit: float) -> None:
    if not (0 < width <= 65536 and 0 < height <= 65536):
        raise DataError(f"a sensor of {width} x {height} pixels; each side must be within 1 and 65536")
    if not time_unit > 0:
        raise DataError(
            f"time_unit is {time_unit} seconds a tick; it must be above 0 (1e-6 for microseconds)"
        )


def _check_arrays(arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        if array.ndim != 1:
            raise DataError(
                f"{name} has shape {array.shape}; events are one-dimensional arrays, one entry an event"
            )
        if array.size and array.dtype.kind not in "iub":
            raise DataError(
                f"{name} holds {array.dtype}; events take integers (scale seconds to ticks of time_unit)"
            )
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"x, y, t and p must have one entry an event; got lengths {lengths}")


def _check_values(arrays: dict[str, NDArray[Any]], width: int, height: int) -> None:
    if not len(arrays["t"]):
        return
    for name, size, side in (("x", width, "width"), ("y", height, "height")):
        array = arrays[name]
        if array.max() >= size or array.min() < 0:
            wrong = (array < 0) | (array >= size)
            i = int(wrong.argmax())
            raise DataError(
                f"{int(wrong.sum())} of {len(array)} events lie outside the sensor: event {i} has "
                f"{name} = {int(array[i])}, {side} is {size} (so 0 to {size - 1}); is the sensor size right?"
            )
    if arrays["p"].max() > 1 or arrays["p"].min() < 0:
        wrong = (arrays["p"] != 0) & (arrays["p"] != 1)
        i = int(wrong.argmax())
        raise DataError(f"polarity is 0 (OFF) or 1 (ON); event {i} has p = {int(arrays['p'][i])}")
    t = arrays["t"]
    falls = t[1:] < t[:-1]
    if falls.any():
        i = int(falls.argmax()) + 1
        raise DataError(
            f"time decreases at {int(falls.sum())} places, first at event {i}: {int(t[i - 1])} then "
            f"{int(t[i])}; sort the events by time (a stable argsort of t) if their order does not matter"
        )
