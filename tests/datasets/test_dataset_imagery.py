"""Imagined movements in EEG: trials at their cues, classes, sessions and people apart, MNE absent or present."""

import sys

import numpy as np
import pytest
from eeg_stand_ins import HAVE_MNE, fake_mne, graz, physionet, write_edf
from scipy.io import savemat

from rheobase.datasets import DataConfig, load_dataset
from rheobase.datasets.eeg_files import read_eeg
from rheobase.datasets.physionet_mi import LEFT_OUT, deal
from rheobase.datasets.split import split_digest
from rheobase.errors import DataError, RecipeError

ANALOG = {"encoder": {"name": "direct", "steps": 1}}


@pytest.fixture
def mne(monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", fake_mne())


def load(name, root, **options):
    options = {"T": 1000 if name == "bci-iv-2a" else 640, "signal": ANALOG, **options}
    return load_dataset(DataConfig.model_validate({"name": name, "root": root, **options}))


def loudest(frames, rate):
    """The class whose rhythm is strongest in each row: 8, 14, 20 or 26 Hz."""
    power = np.abs(np.fft.rfft(frames[..., 0, 0].astype(float), axis=1)).sum(2)
    hertz = np.fft.rfftfreq(frames.shape[1], 1 / rate)
    return np.stack([power[:, np.abs(hertz - 8 - 6 * kind).argmin()] for kind in range(4)], 1).argmax(1)


def test_2a_trains_on_session_t_and_tests_on_session_e(mne, tmp_path):
    graz(tmp_path)
    data = load("bci-iv-2a", tmp_path)
    assert data.classes == ("left hand", "right hand", "feet", "tongue")
    assert data.train.frames.shape == (90, 1000, 22, 1, 1)
    assert (len(data.validation), len(data.test)) == (18, 108)
    assert {name.split("/")[1] for name in data.test.names} == {"E"}
    assert {name.split("/")[1] for name in data.train.names + data.validation.names} == {"T"}
    # the last trials of the session, of every person
    assert {name.split("/")[2] for name in data.validation.names} == {"010", "011"}
    assert len({name.split("/")[0] for name in data.validation.names}) == 9
    for part in (data.train, data.validation, data.test):
        assert np.array_equal(loudest(part.frames, 250), part.labels)


def test_2a_of_one_person(mne, tmp_path):
    graz(tmp_path, people=[3])
    data = load("bci-iv-2a", tmp_path, split="subject-3")
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 2, 12)
    assert {name.split("/")[0] for name in data.train.names + data.test.names} == {"A03"}
    with pytest.raises(RecipeError, match="did you mean"):
        load("bci-iv-2a", tmp_path, split="subject-0")
    with pytest.raises(DataError, match=r"has no A01T\.gdf"):
        load("bci-iv-2a", tmp_path)


def test_labels_that_do_not_fit_are_refused(mne, tmp_path):
    folder = graz(tmp_path, people=[1])
    load("bci-iv-2a", tmp_path, split="subject-1")
    for labels in (np.ones(11), np.full(12, 5)):
        savemat(folder / "A01E.mat", {"classlabel": labels})
        with pytest.raises(DataError, match=r"labels, expected one of 1 to 4 for each of 12 trials"):
            load("bci-iv-2a", tmp_path, split="subject-1")
    (folder / "true_labels").mkdir()
    (folder / "A01E.mat").rename(folder / "true_labels" / "A01E.mat")
    with pytest.raises(DataError, match=r"true_labels/A01E\.mat"):
        load("bci-iv-2a", tmp_path, split="subject-1")


def test_physionet_is_dealt_by_person(mne, tmp_path):
    physionet(tmp_path, [1, 2, 3, 4, 5, 6, 7, 88, 8, 9, 10])
    data = load("physionet-mi", tmp_path)
    people = [
        {name.split("/")[0] for name in part.names} for part in (data.train, data.validation, data.test)
    ]
    assert [len(some) for some in people] == [7, 1, 2] and len(set.union(*people)) == 10
    assert "S088" not in set.union(*people)
    assert data.train.frames.shape == (168, 640, 64, 1, 1)
    for part in (data.train, data.validation, data.test):
        assert np.array_equal(loudest(part.frames, 160), part.labels)
        assert np.bincount(part.labels).tolist() == [len(part) // 4] * 4
    with pytest.raises(RecipeError, match="unknown split of physionet-mi"):
        load("physionet-mi", tmp_path, split="subject-1")


def test_the_people_of_physionet_are_frozen():
    names = [f"S{i:03}/04/000" for i in range(1, 110) if i not in LEFT_OUT]
    split = deal(names, np.zeros(len(names), np.int64), DataConfig(name="physionet-mi"))
    assert (len(split.train), len(split.validation), len(split.test)) == (74, 10, 21)
    assert split_digest(split, names) == "e9422be1206bc97f25f758d8cedcc40e6f518a7c14ecc776ad26a5d843d42d4a"


def test_too_few_people_or_marks_are_refused(mne, tmp_path):
    folder = physionet(tmp_path, range(1, 4))
    with pytest.raises(DataError, match="3 people cannot be dealt by person"):
        load("physionet-mi", tmp_path, cache=False)
    physionet(
        tmp_path / "other", [1], each=0 + 1, write=lambda path, x, rate, marks: write_plain(path, x, rate)
    )
    with pytest.raises(DataError, match=r"has no trials; its marks are \['T0'\]"):
        load("physionet-mi", tmp_path / "other")
    (folder / "S002" / "S002R10.edf").unlink()
    with pytest.raises(DataError, match=r"has no S002R10\.edf"):
        load("physionet-mi", tmp_path)


def write_plain(path, samples, rate):
    from eeg_stand_ins import write_stand_in

    write_stand_in(path, samples, rate, [(0, "T0")])


def test_other_rates_and_cut_trials_are_refused(mne, tmp_path):
    from eeg_stand_ins import write_stand_in

    physionet(tmp_path / "a", [1], write=lambda path, x, rate, marks: write_stand_in(path, x, 128, marks))
    with pytest.raises(DataError, match="64 channels at 128 Hz, expected 64 or more at 160 Hz"):
        load("physionet-mi", tmp_path / "a")
    physionet(
        tmp_path / "b", [1], write=lambda path, x, rate, marks: write_stand_in(path, x[:-400], rate, marks)
    )
    with pytest.raises(DataError, match="goes beyond the"):
        load("physionet-mi", tmp_path / "b")


@pytest.mark.skipif(HAVE_MNE, reason="MNE is installed")
def test_without_mne_the_extra_is_named(tmp_path):
    graz(tmp_path, people=[1])
    with pytest.raises(DataError, match=r"A01T\.gdf: .* pip install 'rheobase\[eeg\]'"):
        load("bci-iv-2a", tmp_path, split="subject-1")


@pytest.mark.skipif(not HAVE_MNE, reason="MNE is not installed: pip install 'rheobase[eeg]'")
def test_mne_reads_true_edf(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3 * 160, 5)) * 100
    write_edf(tmp_path / "a.edf", x, 160, [(0, "T0"), (200, "T1")])
    eeg = read_eeg(tmp_path / "a.edf")
    assert eeg.rate == 160 and eeg.marks == ((0, "T0"), (200, "T1"))
    np.testing.assert_allclose(eeg.samples, x, atol=0.051)
    physionet(tmp_path, range(1, 11), each=2, write=write_edf)
    data = load("physionet-mi", tmp_path)
    assert np.array_equal(loudest(data.train.frames, 160), data.train.labels)
    (tmp_path / "b.edf").write_bytes((tmp_path / "a.edf").read_bytes()[:300])
    with pytest.raises(DataError, match="MNE cannot read it"):
        read_eeg(tmp_path / "b.edf")
