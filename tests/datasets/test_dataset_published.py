"""Published event sets in their layouts, on synthetic stand-ins."""

import numpy as np
import pytest
from stand_ins import STAND_INS, gesture

from rheobase.datasets import DataConfig, load_dataset
from rheobase.datasets.event_files import deal
from rheobase.datasets.event_sets import EVENT_SETS, GESTURES, segments
from rheobase.errors import DataError, RecipeError

EXPECTED = {  # sensor, classes, sizes of the parts
    "cifar10-dvs": ((128, 128), 10, (33, 3, 4)),
    "dvs128-gesture": ((128, 128), 11, (30, 3, 11)),
    "ncaltech101": ((180, 240), 3, (30, 3, 3)),
    "ncars": ((100, 120), 2, (20, 2, 22)),
    "asl-dvs": ((180, 240), 2, (17, 1, 2)),
    "shd": ((1, 700), 20, (54, 6, 60)),
    "ssc": ((1, 700), 35, (105, 105, 105)),
}


@pytest.fixture(params=sorted(STAND_INS))
def published(request, tmp_path):
    if request.param in ("shd", "ssc"):
        pytest.importorskip("h5py")
    STAND_INS[request.param](tmp_path, np.random.default_rng(0))
    return request.param, tmp_path


def test_every_loader_reads_its_layout(published):
    name, root = published
    data = load_dataset(DataConfig(name=name, root=root, T=2))
    sensor, classes, sizes = EXPECTED[name]
    parts = (data.train, data.validation, data.test)
    assert (data.sensor, len(data.classes)) == (sensor, classes)
    assert tuple(map(len, parts)) == sizes
    names = [name for part in parts for name in part.names]
    assert len(names) == len(set(names)) == sum(sizes)
    for part in parts:
        assert part.frames.shape[1:] == (2, 2, *sensor)
        for row in (0, len(part) - 1):
            recording = part.recording(row)
            assert recording.label == part.labels[row]
            assert np.array_equal(part.frames_from(recording), part.frames[row])
    assert set(data.train.labels) == set(range(classes))


def test_what_is_absent_is_said(tmp_path):
    for name in STAND_INS:
        with pytest.raises(DataError, match=r"found no .* in "):
            load_dataset(DataConfig(name=name, root=tmp_path))
        with pytest.raises(RecipeError, match="unknown split"):
            load_dataset(DataConfig(name=name, root=tmp_path, split="cross-subject"))
    (tmp_path / "CIFAR10DVS").mkdir()
    with pytest.raises(DataError, match="no recording of CIFAR10-DVS"):
        load_dataset(DataConfig(name="cifar10-dvs", root=tmp_path))


def test_the_split_of_cifar10_dvs_is_frozen(monkeypatch):
    """It is drawn by names, which are known: one name changed, and the digest does not fit."""
    from rheobase.datasets.cifar import CLASSES_10
    from rheobase.datasets.split import split_digest

    names = sorted(f"{name}/cifar10_{name}_{i}" for name in CLASSES_10 for i in range(1000))
    labels = np.array([CLASSES_10.index(name.split("/")[0]) for name in names])
    split = deal(names, labels, [""] * len(names))
    assert np.bincount(labels[split.test]).tolist() == [100] * 10
    assert EVENT_SETS["cifar10-dvs"].frozen == (10_000, split_digest(split, names))


def test_gestures_are_cut_by_their_table(tmp_path):
    gesture(tmp_path, np.random.default_rng(0))
    data = load_dataset(DataConfig(name="dvs128-gesture", root=tmp_path, T=1))
    assert data.classes == GESTURES
    assert {name.split("_")[0] for name in data.test.names} == {"user04"}
    third = data.test.names.index("user04_led/02")
    recording = data.test.recording(third)
    assert recording.label == 2 and len(recording) == 30
    assert recording.t[0] >= 20_000 and recording.t[-1] < 29_000


@pytest.mark.parametrize("row", ["12,0,5", "0,0,5", "1,5,5", "1,x,5", "1,5"])
def test_rows_that_are_no_gestures(tmp_path, row):
    path = tmp_path / "labels.csv"
    path.write_text(f"class,startTime_usec,endTime_usec\n1,0,9\n{row}\n")
    with pytest.raises(DataError, match="line 3"):
        segments(path)


def test_asl_counts_rows_from_below(tmp_path):
    STAND_INS["asl-dvs"](tmp_path, np.random.default_rng(0))
    from stand_ins import record

    expected = record(np.random.default_rng(0), 240, 180)
    data = load_dataset(DataConfig(name="asl-dvs", root=tmp_path, T=1))
    everything = [r for part in (data.train, data.validation, data.test) for r in part.recordings()]
    assert any(np.array_equal(r.y, expected.y) and np.array_equal(r.p, expected.p) for r in everything)
