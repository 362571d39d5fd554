"""Recordings: what they accept, what they refuse, and what they say then."""

import numpy as np
import pytest

from rheobase.errors import DataError
from rheobase.events import Recording


def make(**changes):
    fields = {"x": [0, 1, 3], "y": [0, 2, 1], "t": [0, 10, 10], "p": [0, 1, 1], "width": 4, "height": 3}
    fields |= changes
    return Recording(**{k: np.array(v, dtype=int) if isinstance(v, list) else v for k, v in fields.items()})


def test_types_length_and_rate():
    recording = make()
    assert len(recording) == 3
    assert [getattr(recording, name).dtype for name in "xytp"] == [np.uint16, np.uint16, np.int64, np.uint8]
    assert recording.duration == pytest.approx(10e-6)
    assert recording.rate == pytest.approx(3e5)


def test_empty_and_instantaneous_recordings_have_no_rate():
    assert make(x=[], y=[], t=[], p=[]).duration == 0
    assert make(t=[5, 5, 5]).rate == 0


def test_select_keeps_order_and_size():
    chosen = make(label=7).select(np.array([True, False, True]))
    assert chosen.x.tolist() == [0, 3]
    assert chosen.t.tolist() == [0, 10]
    assert (chosen.label, chosen.width) == (7, 4)


def test_select_refuses_indices():
    with pytest.raises(DataError, match="boolean mask"):
        make().select(np.array([0, 2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": [0, 1]}, "lengths"),
        ({"x": [0, 1, 4]}, r"event 2 has x = 4, width is 4"),
        ({"y": [0, -1, 1]}, r"event 1 has y = -1, height is 3"),
        ({"p": [0, 2, 1]}, r"event 1 has p = 2"),
        ({"p": [0, -1, 1]}, r"p = -1"),
        ({"t": [0, 10, 9]}, r"event 2: 10 then 9"),
        ({"t": np.array([0.0, 0.5, 1.0])}, "integers"),
        ({"t": np.zeros((3, 1), int)}, "one-dimensional"),
        ({"width": 0}, "sensor of 0 x 3"),
        ({"time_unit": 0.0}, "time_unit"),
    ],
)
def test_bad_events_are_refused_with_a_reason(changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)
