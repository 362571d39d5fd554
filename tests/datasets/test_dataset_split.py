"""Splits: stratified in every prefix, the same for ever, and refused when altered."""

import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheobase.datasets import digits_dvs, freeze, split
from rheobase.datasets.split import PARTS, draw_split, stratified_order, thaw
from rheobase.errors import DataError

FROZEN = {
    "digits-dvs-official": (1197, 200, 400),
    "nmnist-small-official": (900, 100, 100),
    "nmnist-small-low-data-0": (300, 100, 700),
    "nmnist-small-low-data-1": (300, 100, 700),
    "nmnist-small-low-data-2": (300, 100, 700),
}


def source(name):
    return files("rheobase.datasets") / "splits" / f"{name}.json"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_every_prefix_is_stratified(labels, seed):
    labels = np.array(labels)
    names = [f"r{i}" for i in range(len(labels))]
    order = stratified_order(names, labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for n in range(1, len(labels) + 1):
        for label in np.unique(labels):
            share = n * (labels == label).mean()
            assert abs((labels[order[:n]] == label).sum() - share) <= 2


def test_order_is_golden():
    order = stratified_order(["a", "b", "c", "d", "e", "f"], np.array([0, 0, 0, 1, 1, 1]), seed=0)
    assert order.tolist() == [5, 0, 3, 2, 1, 4]


def test_the_order_of_the_files_on_disk_does_not_matter():
    names, labels = [f"r{i}" for i in range(40)], np.arange(40) % 3
    shuffled = np.random.default_rng(0).permutation(40)
    one = draw_split(names, labels, 1, train=20, validation=8)
    other = draw_split([names[i] for i in shuffled], labels[shuffled], 1, train=20, validation=8)
    for part in PARTS:
        assert {names[i] for i in getattr(one, part)} == {names[shuffled[i]] for i in getattr(other, part)}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_splits_hold_each_recording_once(name):
    content = json.loads(source(name).read_text())
    parts = [content[part].split() for part in PARTS]
    assert tuple(map(len, parts)) == FROZEN[name]
    everything = [name for part in parts for name in part]
    assert len(set(everything)) == len(everything)
    thawed = thaw(name, sorted(everything))
    assert [sorted(everything)[i] for i in thawed.train] == parts[0]
    assert len(source(name).read_bytes()) < 20_000


def test_the_three_low_data_splits_differ():
    train = [
        set(json.loads(source(f"nmnist-small-low-data-{i}").read_text())["train"].split()) for i in range(3)
    ]
    assert len(train[0] & train[1]) < 150
    assert len(train[1] & train[2]) < 150


def test_other_data_is_refused():
    names = digits_dvs.names()
    with pytest.raises(DataError, match="1 of the split are missing, 0 are not in it"):
        thaw("digits-dvs-official", names[:-1])
    with pytest.raises(DataError, match="0 of the split are missing, 1 are not in it"):
        thaw("digits-dvs-official", [*names, "9999"])


def test_an_altered_or_absent_split_is_refused(tmp_path, monkeypatch):
    (tmp_path / "splits").mkdir()
    text = source("digits-dvs-official").read_text()
    first, second = json.loads(text)["train"].split()[:2]
    monkeypatch.setattr(split, "files", lambda package: tmp_path)
    (tmp_path / "splits" / "digits-dvs-official.json").write_text(
        text.replace(f"{first} {second}", f"{second} {first}", 1)
    )
    with pytest.raises(DataError, match="altered"):
        thaw("digits-dvs-official", digits_dvs.names())
    with pytest.raises(DataError, match="cannot be read"):
        thaw("none", digits_dvs.names())


def test_splits_are_what_the_rules_draw(real_nmnist):
    texts = freeze.draw(real_nmnist)
    assert set(texts) == {f"{name}.json" for name in FROZEN}
    for file, text in texts.items():
        assert text == source(file.removesuffix(".json")).read_text()
