"""Spoken words and digits: published lists, splits by speaker, stand-ins in the layout of the real files."""

import io
import wave

import numpy as np
import pytest

from rheobase.datasets import DataConfig, load_dataset
from rheobase.datasets import speech_commands_35 as words
from rheobase.datasets import spoken_digits as digits
from rheobase.datasets.split import split_digest
from rheobase.errors import DataError, RecipeError

FRONT = {"name": "log_mel", "bands": 8, "window": 0.032, "hop": 0.025, "low": 50}
PEOPLE = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def tone(hertz, rate, length, seed):
    x = np.sin(2 * np.pi * hertz * np.arange(length) / rate)
    x += 0.05 * np.random.default_rng(seed).normal(size=length)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes((x * 9000).astype("<i2").tobytes())
    return file.getvalue()


def words_root(root, classes=words.CLASSES):
    """A clip by each of six speakers a word: four train, one validates, one tests; noise that is no class."""
    folder = root / words.FOLDERS[0]
    lists = {"e": [], "f": []}
    for k, word in enumerate((*classes, "_background_noise_")):
        (folder / word).mkdir(parents=True)
        for i, speaker in enumerate("abcdef"):
            name = f"{word}/{speaker}{k % 3}_nohash_0.wav"
            (folder / name).write_bytes(tone(200 + 90 * k, 16000, 14000 + 1000 * (i % 4), 6 * k + i))
            if speaker in lists and word in classes:
                lists[speaker].append(name)
    (folder / "validation_list.txt").write_text("\n".join(lists["e"]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(lists["f"]) + "\n")
    return folder


def digits_root(root, people=PEOPLE, count=12, prefix="free-spoken-digit-dataset"):
    folder = root / prefix / "recordings"
    folder.mkdir(parents=True)
    for k in range(10):
        for i, name in enumerate(people):
            for n in range(count):
                clip = tone(200 + 300 * k, 8000, 2000 + 700 * n, k + i)
                (folder / f"{k}_{name}_{n}.wav").write_bytes(clip)
    return folder


def load(name, root, sampling=16000, **options):
    signal = {"front": {**FRONT, "sampling": sampling}}
    signal |= {"encoder": options.pop("encoder")} if "encoder" in options else {}
    return load_dataset(
        DataConfig.model_validate({"name": name, "root": root, "T": 39, "signal": signal, **options})
    )


def test_35_words_by_the_published_lists(tmp_path):
    folder = words_root(tmp_path)
    data = load("speech-commands-35", tmp_path)
    assert data.classes == words.CLASSES and len(data.classes) == 35 and data.sensor == (8, 1)
    assert data.train.frames.shape == (140, 39, 1, 8, 1)
    people = [
        {name.split("/")[1][0] for name in part.names} for part in (data.train, data.validation, data.test)
    ]
    assert people == [set("abcd"), {"e"}, {"f"}]
    for part in (data.train, data.validation, data.test):
        assert [words.CLASSES.index(name.split("/")[0]) for name in part.names] == part.labels.tolist()
    path = folder / "testing_list.txt"
    path.write_text(path.read_text() + "bed/a1_nohash_0.wav\n")
    with pytest.raises(DataError, match="speaker a1 is in train and in test"):
        load("speech-commands-35", tmp_path)
    path.write_text("bed/nobody_nohash_0.wav\n")
    with pytest.raises(DataError, match="1 of them not there"):
        load("speech-commands-35", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"testing_list\.txt"):
        load("speech-commands-35", tmp_path)


def test_digits_by_index_as_published(tmp_path):
    digits_root(tmp_path)
    data = load("free-spoken-digits", tmp_path, 8000)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [120, 300, 300]
    for part, wanted in ((data.train, range(10, 12)), (data.validation, range(5, 10)), (data.test, range(5))):
        assert {int(name.split("_")[-1][:-4]) for name in part.names} == set(wanted)
        assert [int(name.split("/")[-1][0]) for name in part.names] == part.labels.tolist()
    # silence follows a recording: 0.25 s of index 0, 0.6 s of index 4
    analog = load("free-spoken-digits", tmp_path, 8000, encoder={"name": "direct", "steps": 1}).test
    for frames, name in zip(analog.frames, analog.names, strict=True):
        moves = np.ptp(frames[12:22], axis=0).any()
        assert bool(moves) == (not name.endswith("_0.wav")), name


@pytest.mark.parametrize("person", PEOPLE)
def test_digits_by_speaker(tmp_path, person):
    digits_root(tmp_path, count=1)
    data = load("free-spoken-digits", tmp_path, 8000, split=f"speaker-{person}")
    people = [
        {name.split("_")[-2] for name in part.names} for part in (data.train, data.validation, data.test)
    ]
    assert people[2] == {person} and len(people[1]) == 1 and len(people[0]) == 4
    assert set.union(*people) == set(PEOPLE)


def test_digits_where_they_are_and_what_is_wrong(tmp_path):
    digits_root(tmp_path / "a", prefix="free-spoken-digit-dataset-master", count=11, people=PEOPLE[:2])
    assert len(load("free-spoken-digits", tmp_path / "a", 8000).train) == 20
    with pytest.raises(RecipeError, match="did you mean 'speaker-jackson'"):
        load("free-spoken-digits", tmp_path / "a", 8000, split="speaker-jakson")
    with pytest.raises(RecipeError, match="there are 2"):
        load("free-spoken-digits", tmp_path / "a", 8000, split="speaker-jackson")
    with pytest.raises(DataError, match=r"found no free-spoken-digit-dataset\.zip nor"):
        load("free-spoken-digits", tmp_path)
    (tmp_path / "free-spoken-digit-dataset").mkdir()
    with pytest.raises(DataError, match="has no recordings/"):
        load("free-spoken-digits", tmp_path)


def test_the_split_of_the_whole_digits_is_frozen():
    names = sorted(f"{k}_{name}_{n}.wav" for k in range(10) for name in PEOPLE for n in range(50))
    labels = np.array([int(name[0]) for name in names])
    index = np.array([int(name.split("_")[2][:-4]) for name in names])
    split = digits.deal(names, labels, index < 5, (index >= 5) & (index < 10))
    assert len(names) == digits.WHOLE and split_digest(split, names) == digits.FROZEN
