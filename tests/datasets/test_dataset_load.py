"""Data sets by name, and digits-dvs whole."""

import numpy as np
import pydantic
import pytest

from rheobase.datasets import DataConfig, digits_dvs, list_datasets, load_dataset
from rheobase.errors import RecipeError


def test_names():
    assert list_datasets() == [
        *(
            "asl-dvs",
            "bci-iv-2a",
            "bonn-eeg",
            "cifar10",
            "cifar10-dvs",
            "cifar10-dvs-sim",
            "cifar100",
            "digits-dvs",
        ),
        *(
            "dvs128-gesture",
            "fashion-dvs-sim",
            "fashion-mnist",
            "folder",
            "free-spoken-digits",
            "image-folder",
        ),
        *("imagenet", "mnist", "motion-dvs-sim", "moving-digits-dvs", "ncaltech101", "ncars", "nmnist"),
        *("physionet-mi", "qtdb", "shd", "speech-commands-12", "speech-commands-35", "ssc", "tiny-imagenet"),
    ]
    with pytest.raises(RecipeError, match="unknown data set 'nmist'; did you mean 'nmnist'"):
        load_dataset(DataConfig(name="nmist"))


def test_config_is_strict():
    for wrong in ({"T": 0}, {"binning": "space"}, {"train_size": 0}, {"windows": 3}):
        with pytest.raises(pydantic.ValidationError):
            DataConfig(name="nmnist", **wrong)


def test_digits_dvs_whole():
    data = load_dataset(DataConfig(name="digits-dvs", T=3))
    assert (data.sensor, len(data.train), len(data.validation), len(data.test)) == ((16, 16), 1197, 200, 400)
    assert data.train.frames.dtype == np.uint8
    assert data.train.frames.flags.c_contiguous
    assert data.train.frames.flags.writeable
    shares = np.stack(
        [np.bincount(part.labels) / len(part) for part in (data.train, data.validation, data.test)]
    )
    assert np.ptp(shares, axis=0).max() < 0.006
    events = data.train.frames.sum(axis=(1, 2, 3, 4))
    assert 900 < events.mean() < 1500
    assert data.train.recording(5).label == data.train.labels[5]
    again = load_dataset(DataConfig(name="digits-dvs", T=3))
    assert again.split_hash == data.split_hash
    np.testing.assert_array_equal(again.train.frames, data.train.frames)


def test_digits_dvs_is_deterministic_and_balances_polarity():
    one, other = list(digits_dvs.generate(12)), list(digits_dvs.generate(12, batch=5))
    for a, b in zip(one, other, strict=True):
        for name in "xytp":
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert 0.4 < np.mean([recording.p.mean() for recording in one]) < 0.6


def test_count_binning_is_even():
    data = load_dataset(DataConfig(name="digits-dvs", binning="count", T=4, size=8))
    sizes = data.test.frames.astype(int).sum(axis=(2, 3, 4))
    assert np.ptp(sizes, axis=1).max() <= 1
