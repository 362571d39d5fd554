"""Frames are binned once: again only where a parameter of the binning or a source file changes."""

import os
import zipfile

import numpy as np
import pytest

from rheobase.datasets import DataConfig, load_dataset
from rheobase.datasets import binned as binned_module
from rheobase.events import Recording, bin_native, format_nmnist, write_npz


@pytest.fixture
def binned(monkeypatch):
    """Grows by one entry for every recording that is binned."""
    names, real = [], binned_module.Binning.counts

    def counts(self, recording):
        names.append(recording)
        return real(self, recording)

    monkeypatch.setattr(binned_module.Binning, "counts", counts)
    return names


def record(seed, side=12):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(side, size=40), rng.integers(side, size=40), rng.integers(2, size=40)
    return Recording(x, y, np.sort(rng.integers(9000, size=40)), p, width=side, height=side)


@pytest.fixture
def folder(tmp_path):
    for i in range(12):
        path = tmp_path / "mine" / "ab"[i % 2] / f"{i}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(record(i), path)
    return DataConfig(name="folder", folder=tmp_path / "mine")


@pytest.fixture
def zipped(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "Train.zip", "w") as train,
        zipfile.ZipFile(tmp_path / "Test.zip", "w") as test,
    ):
        for i in range(20):
            train.writestr(f"Train/{i % 2}/{i:05d}.bin", format_nmnist(record(i, 34)))
            test.writestr(f"Test/{i % 2}/{i:05d}.bin", format_nmnist(record(i + 50, 34)))
    return DataConfig(name="nmnist", root=tmp_path)


def frames(data):
    return np.concatenate([part.frames for part in (data.train, data.validation, data.test)])


@pytest.mark.parametrize("source", ["folder", "zipped"])
def test_nothing_changed_nothing_binned(source, request, binned):
    config = request.getfixturevalue(source)
    first = load_dataset(config)
    count = len(binned)
    assert count == len(first.train) + len(first.validation) + len(first.test)
    again = load_dataset(config)
    assert len(binned) == count
    np.testing.assert_array_equal(frames(again), frames(first))
    assert [again.test.saturated, again.split_hash] == [first.test.saturated, first.split_hash]


def test_what_does_not_decide_the_frames_bins_nothing(folder, binned):
    load_dataset(folder)
    count = len(binned)
    load_dataset(folder.model_copy(update={"train_size": 4}))
    load_dataset(folder.model_copy(update={"seed": 3}))
    load_dataset(folder)
    assert len(binned) == count


@pytest.mark.parametrize("change", [{"T": 3}, {"binning": "count"}, {"size": 6}, {"cache": False}])
def test_another_parameter_is_another_entry(folder, binned, change):
    load_dataset(folder)
    count = len(binned)
    load_dataset(folder.model_copy(update=change))
    assert len(binned) == 2 * count
    load_dataset(folder)  # the entry made first is still there
    assert len(binned) == 2 * count


def test_a_changed_file_is_binned_anew(folder, binned):
    before = frames(load_dataset(folder)).astype(int)
    count = len(binned)
    path = folder.folder / "a" / "0.npz"
    changed = path.stat().st_mtime_ns
    write_npz(record(99), path)
    os.utime(path, ns=(changed, changed + 1))  # a nanosecond later is later
    after = frames(load_dataset(folder)).astype(int)
    assert len(binned) == 2 * count
    assert sum((a != b).any() for a, b in zip(before, after, strict=True)) == 1


def test_a_changed_zip_is_binned_anew(zipped, binned):
    load_dataset(zipped)
    count = len(binned)
    with zipfile.ZipFile(zipped.root / "Test.zip", "a") as file:
        file.writestr("Test/0/00100.bin", format_nmnist(record(7, 34)))
    load_dataset(zipped)
    assert len(binned) == 2 * count + 1


def test_c_and_numpy_share_one_entry(folder, binned, monkeypatch):
    monkeypatch.setenv(bin_native.VARIABLE, "numpy")
    plain = frames(load_dataset(folder))
    count = len(binned)
    monkeypatch.setenv(bin_native.VARIABLE, "c")
    np.testing.assert_array_equal(frames(load_dataset(folder)), plain)
    assert len(binned) == count
    np.testing.assert_array_equal(frames(load_dataset(folder.model_copy(update={"cache": False}))), plain)
