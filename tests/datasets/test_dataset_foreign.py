"""Other frameworks' data by what it looks like."""

import numpy as np
import pytest

from rheobase.datasets import DataConfig
from rheobase.datasets.foreign import data_set, frames_of, recording_of, signals_of
from rheobase.errors import DataError


def events(rng, dtype, polarity=(0, 1), count=50):
    made = np.zeros(count, dtype)
    made["x"], made["y"] = rng.integers(20, size=count), rng.integers(10, size=count)
    made["t"], made["p"] = rng.integers(5000, size=count), rng.choice(polarity, count)
    return made


TONIC = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
SIGNED = np.dtype([("t", np.int64), ("x", np.uint8), ("y", np.uint8), ("p", np.int8)])


@pytest.mark.parametrize(("dtype", "polarity"), [(TONIC, (False, True)), (SIGNED, (-1, 1))])
def test_a_set_of_events(dtype, polarity):
    rng = np.random.default_rng(0)
    items = [(events(rng, dtype, polarity), i % 2) for i in range(40)]
    data = data_set(items, DataConfig(name="theirs", T=3), classes=("a", "b"), sensor=(10, 20))
    assert (data.name, data.sensor) == ("theirs", (10, 20))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [33, 3, 4]
    row = data.test.recording(0)
    theirs, label = items[int(data.test.names[0].split("/")[1])]
    assert row.label == label and len(row) == 50
    assert row.p.sum() == (theirs["p"] > 0).sum()
    assert sorted(zip(row.x, row.y, row.t, strict=True)) == sorted(
        zip(theirs["x"], theirs["y"], theirs["t"], strict=True)
    )
    given = data_set(items, DataConfig(name="x"), classes=("a", "b"), sensor=(10, 20), test=items[:6])
    assert [len(part) for part in (given.train, given.validation, given.test)] == [36, 4, 6]


def test_tonic_gives_what_is_expected():
    tonic = pytest.importorskip("tonic")
    rng = np.random.default_rng(0)
    mine = events(rng, TONIC)
    mine = mine[np.argsort(mine["t"], kind="stable")]
    frames = tonic.transforms.ToFrame(sensor_size=(20, 10, 2), n_time_bins=4)(mine)
    found, labels = frames_of([(frames, 1), (frames, 0)])
    assert found.shape == (2, 4, 2, 10, 20) and labels.tolist() == [1, 0]
    recording = recording_of(mine, width=20, height=10)
    assert np.array_equal(recording.t, mine["t"])


def test_frames_that_are_none():
    good = np.ones((2, 2, 3, 3))
    assert frames_of([(good * 300, 0)])[0].max() == 255
    for bad in (good[0], good * 0.5, -good):
        with pytest.raises(DataError, match="item 1"):
            frames_of([(good, 0), (bad, 0)])


def test_events_without_a_field():
    with pytest.raises(DataError, match="p missing"):
        recording_of({"x": [1], "y": [1], "t": [1]}, width=2, height=2)


def test_rows_of_a_table():
    sound = {"array": [0.5, -0.5, 1.0], "sampling_rate": 8000}
    rows = [{"audio": sound, "label": 1}, {"audio": {**sound, "array": [1.0]}, "label": 0}]
    signals, labels, rate = signals_of(rows, "audio", samples=2)
    assert signals[:, :, 0].T.tolist() == [[0.5, -0.5], [1.0, 0.0]]
    assert (labels.tolist(), rate) == ([1, 0], 8000.0)
    assert signals_of([{"v": [[1, 2], [3, 4]], "y": 3}], "v", "y")[0].tolist() == [[[1, 2]], [[3, 4]]]
    with pytest.raises(DataError, match="give samples"):
        signals_of(rows, "audio")
    with pytest.raises(DataError, match="row 0 has no sound"):
        signals_of(rows, "sound")
    with pytest.raises(DataError, match="of one rate"):
        signals_of([rows[0], {"audio": {**sound, "sampling_rate": 1}, "label": 0}], "audio")
