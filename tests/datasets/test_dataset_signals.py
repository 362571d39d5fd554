"""Data sets of signals: stand-ins in the layout of the real files, and the real ones where they are."""

import csv
import io
import os
import wave
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from rheobase.datasets import DataConfig, load_dataset
from rheobase.datasets import speech_commands as speech
from rheobase.datasets.bonn_eeg import CLASSES as SETS
from rheobase.errors import DataError, RecipeError
from rheobase.signals import create_encoder

ROOT = os.environ.get("RHEOBASE_DATA")
REAL = {"speech-commands-12": speech.FILE, "bonn-eeg": "bonn_eeg.zip", "qtdb": "qtdb"}
SIZES = {"speech-commands-12": (3561, 401, 928), "bonn-eeg": (350, 50, 100), "qtdb": (557, 61, 141)}
LOG_MEL = {"name": "log_mel", "bands": 8, "window": 0.032, "hop": 0.025, "low": 50}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RHEOBASE_CACHE", str(tmp_path / "cache"))


def wav(samples: np.ndarray, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples * 20000).astype("<i2").tobytes())
    return file.getvalue()


def speech_root(root: Path, rate: int = 16000, test_speaker: str = "t") -> Path:
    """Tones of one frequency a class, by five training speakers and one test speaker; some clips are short."""
    rng = np.random.default_rng(0)
    rows, folder = [], root / speech.FOLDER
    for k, label in enumerate(speech.CLASSES):
        (folder / label).mkdir(parents=True)
        for speaker in ("a", "b", "c", "d", "e", test_speaker):
            path = f"{label}/{speaker}_nohash_0.wav"
            n = np.arange(15000 if speaker == "a" else 16000)
            tone = np.sin(2 * np.pi * (200 + 300 * k) * n / rate) + 0.05 * rng.normal(size=len(n))
            (folder / path).write_bytes(wav(0.5 * tone, rate))
            part = "test" if speaker == "t" else "train"
            rows.append({"path": path, "label": label, "speaker": speaker, "suggested_split": part})
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def bonn_root(root: Path, sets: str = "ABCDE") -> Path:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(root / "bonn_eeg_standin.zip", "w") as archive:
        for k, name in enumerate(sets):
            for i in range(10):
                x = 100 * (k + 1) * np.sin(2 * np.pi * (2 + 3 * k) * np.arange(4097) / 173.61)
                text = "\n".join(map(str, np.rint(x + 10 * rng.normal(size=4097)).astype(int)))
                archive.writestr(f"set{name}/Q{i:03d}.{'TXT' if name == 'C' else 'txt'}", text)
    with zipfile.ZipFile(root / "bonn_eeg_standin.zip") as archive:
        archive.extractall(root / "bonn_eeg")
    return root


def qtdb_root(root: Path, **changed) -> Path:
    rng = np.random.default_rng(0)
    for file, count in (("QTDB_train.mat", 20), ("QTDB_test.mat", 6)):
        y = np.eye(6, dtype=np.uint8)[rng.integers(0, 6, (count, 30))]
        y[:, -4:] = 0
        arrays = {"x": rng.integers(-1, 2, (count, 30, 4)).astype(np.int16), "y": y, **changed}
        (root / "qtdb").mkdir(exist_ok=True)
        savemat(root / "qtdb" / file, arrays)
    return root


def config(name: str, root: Path, T: int = 40, **signal) -> DataConfig:
    return DataConfig.model_validate({"name": name, "root": root, "T": T, "signal": signal})


def test_speech_is_dealt_by_speaker(tmp_path) -> None:
    data = load_dataset(config("speech-commands-12", speech_root(tmp_path), front=LOG_MEL))
    assert data.sensor == (8, 1) and data.classes == speech.CLASSES and data.input_unit == 1
    speakers = [
        {name.split("/")[1][0] for name in part.names} for part in (data.train, data.validation, data.test)
    ]
    assert speakers[2] == {"t"} and len(speakers[1]) == 1 and len(speakers[0]) == 4
    assert not speakers[0] & speakers[1]
    assert data.train.frames.shape == (48, 40, 1, 8, 1) and data.train.frames.dtype == np.int8
    assert set(np.unique(data.train.frames)) == {-1, 0, 1}
    # 39 whole windows in a second: the last step is silent
    assert not data.test.frames[:, 39].any() and data.test.frames[:, 38].any()
    assert sorted(data.test.labels) == list(range(12))


@pytest.mark.parametrize("name", ["tae", "step_forward"])
def test_the_threshold_is_tuned_on_the_training_part(tmp_path, name: str) -> None:
    data = load_dataset(
        config(
            "speech-commands-12", speech_root(tmp_path), 39, front=LOG_MEL, encoder={"name": name}, rate=0.2
        )
    )
    assert (data.train.frames != 0).mean() == pytest.approx(0.2, rel=0.05)


def test_analog_values_keep_the_scaled_signal(tmp_path) -> None:
    root = bonn_root(tmp_path)
    how = {"front": {"name": "bands", "sampling": 173.61, "edges": []}}
    analog = load_dataset(config("bonn-eeg", root, 512, encoder={"name": "direct", "steps": 1}, **how))
    assert analog.input_unit == 1 / 64 and analog.test.frames.shape == (10, 4096, 1, 1, 1)
    values = analog.test.frames[..., 0, 0] / 64
    raw = [np.loadtxt(tmp_path / "bonn_eeg" / name) for name in analog.test.names]
    for found, signal in zip(values, raw, strict=True):
        shape = np.polyfit(signal[:4096], found[:, 0], 1)
        assert np.abs(np.polyval(shape, signal[:4096]) - found[:, 0]).max() < 0.06
    pooled = load_dataset(
        config("bonn-eeg", root, 128, encoder={"name": "direct", "steps": 1}, pool=4, **how)
    )
    means = analog.test.frames.reshape(10, 1024, 4).mean(2)
    assert np.abs(pooled.test.frames[..., 0, 0, 0] - means).max() <= 0.5


def test_pooling_adds_and_cuts(tmp_path) -> None:
    root = bonn_root(tmp_path)
    encoder = {"name": "tae", "th0": 0.2}
    single = load_dataset(config("bonn-eeg", root, 512, encoder=encoder, rate=None))
    pooled = load_dataset(config("bonn-eeg", root, 128, encoder=encoder, rate=None, pool=4))
    sums = single.test.frames.reshape(10, 1024, 4, 6).sum(2)
    assert np.array_equal(pooled.test.frames[..., 0, 0], np.clip(sums, -1, 1)) and (np.abs(sums) > 1).any()


def test_bonn_is_dealt_by_recording_and_cut_for_training_alone(tmp_path) -> None:
    data = load_dataset(config("bonn-eeg", bonn_root(tmp_path), 1024))
    places = [
        [
            sorted({int(name.split("Q")[1][:3]) for name in part.names if name.startswith(f"set{each}")})
            for each in SETS
        ]
        for part in (data.train, data.validation, data.test)
    ]
    assert places == [[[0, 1, 2, 5, 6, 7, 8]] * 5, [[3]] * 5, [[4, 9]] * 5]
    assert data.train.frames.shape == (35 * 7, 1024, 6, 1, 1)  # a piece every 512 of 4,096 steps
    assert data.validation.frames.shape == (5, 4096, 6, 1, 1)
    first = [
        i
        for i, name in enumerate(data.train.names)
        if name.split("@")[0] == data.train.names[0].split("@")[0]
    ]
    pieces = data.train.frames[first]
    assert all(np.array_equal(a[512:], b[:512]) for a, b in pairwise(pieces))
    assert len({data.train.labels[i] for i in first}) == 1


def test_qtdb_has_labels_by_step(tmp_path) -> None:
    data = load_dataset(config("qtdb", qtdb_root(tmp_path), 30))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [18, 2, 6]
    assert data.train.frames.shape == (18, 30, 4, 1, 1) and data.train.frames.dtype == np.int8
    assert data.train.labels.shape == (18, 30)
    assert (data.train.labels[:, -4:] == -1).all() and data.train.labels[:, :-4].min() == 0
    assert load_dataset(config("qtdb", tmp_path, 7)).test.labels.shape == (6, 7)


def test_scaling_and_threshold_come_from_the_training_part_alone(tmp_path) -> None:
    """Another test signal changes neither the training frames nor its own code's threshold."""
    before = load_dataset(config("bonn-eeg", bonn_root(tmp_path), 512))
    file = tmp_path / "bonn_eeg" / before.test.names[0]
    file.write_text("\n".join(str(9000 * (-1) ** i) for i in range(4097)))
    after = load_dataset(config("bonn-eeg", tmp_path, 512))
    assert np.array_equal(before.train.frames, after.train.frames)
    assert np.array_equal(before.test.frames[1:], after.test.frames[1:])
    assert not np.array_equal(before.test.frames[0], after.test.frames[0])


@pytest.mark.parametrize("name", ["direct", "rate", "latency", "phase"])
def test_codes_of_several_steps_a_sample(tmp_path, name) -> None:
    root, k = bonn_root(tmp_path), 4
    one = load_dataset(config("bonn-eeg", root, 512, encoder={"name": "direct", "steps": 1}))
    many = load_dataset(config("bonn-eeg", root, k * 512, encoder={"name": name, "steps": k}))
    pieces = (piece.split("@") for piece in one.train.names)
    assert many.train.names == tuple(f"{base}@{k * int(at)}" for base, at in pieces)
    values, frames = one.test.frames / 64, many.test.frames
    assert frames.shape == (len(values), k * values.shape[1], *values.shape[2:])
    by_sample = frames.reshape(*values.shape[:2], k, *values.shape[2:])
    if name == "direct":
        assert (frames == one.test.frames.repeat(k, axis=1)).all()
    elif name == "latency":
        assert (by_sample.sum(2) == 1).all()
        time = (k - 1) * (1 - np.clip((values + 1) / 2, 0, 1))
        near = np.abs(time % 1 - 0.5) < 0.02  # values are known to 1/64
        assert (by_sample.argmax(2) == np.rint(time))[~near].all()
    elif name == "phase":
        again = create_encoder(name, steps=k).decode(frames[..., 0, 0].swapaxes(0, 1)).swapaxes(0, 1)
        error = np.abs(again - values[..., 0, 0].clip(-1, 1))
        assert error.max() <= 2 * 2**-k + 1 / 64  # the very top has no code of its own
        assert error[values[..., 0, 0] < 0.9].max() <= 2**-k + 1 / 64
    else:
        assert set(np.unique(frames)) == {0, 1}
        inside = np.abs(values) < 1
        assert np.corrcoef(by_sample.sum(2)[inside], values[inside])[0, 1] > 0.3


def test_a_code_of_several_lines_a_channel(tmp_path) -> None:
    encoder = {"name": "receptive_fields", "fields": 5, "steps": 4}
    data = load_dataset(config("bonn-eeg", bonn_root(tmp_path), 256, encoder=encoder))
    assert data.train.frames.shape[1:] == (256, 6 * 5, 1, 1)  # six bands
    assert set(np.unique(data.train.frames)) == {0, 1}


def test_damage_and_wrong_options_are_told(tmp_path) -> None:
    with pytest.raises(DataError, match="found no speech_commands_v2_test"):
        load_dataset(config("speech-commands-12", tmp_path))
    with pytest.raises(DataError, match="found no QTDB_train"):
        load_dataset(config("qtdb", tmp_path))
    root = bonn_root(tmp_path)
    for changed, message in (
        ({"split": "low"}, "unknown split of"),
        ({"binning": "count"}, "data.binning is about events"),
        ({"size": 8}, "data.size is about events"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_dataset(config("bonn-eeg", root).model_copy(update=changed))
    with pytest.raises(DataError, match="no event recordings"):
        load_dataset(config("bonn-eeg", root, 512)).train.recording(0)
    (root / "bonn_eeg" / "setB" / "Q002.txt").write_text("1\n2\nx\n")
    with pytest.raises(DataError, match=r"setB/Q002.txt holds something else"):
        load_dataset(config("bonn-eeg", root, 512))
    (root / "bonn_eeg" / "setB" / "Q002.txt").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"has 2 samples, expected 4096"):
        load_dataset(config("bonn-eeg", root, 512))
    qtdb_root(tmp_path, y=np.ones((20, 30, 6), np.uint8), x=np.zeros((20, 30, 4), np.int16))
    with pytest.raises(DataError, match="steps of several classes"):
        load_dataset(config("qtdb", tmp_path, 30))
    (tmp_path / "qtdb" / "QTDB_train.mat").write_bytes(b"no")
    with pytest.raises(DataError, match="get the data again"):
        load_dataset(config("qtdb", tmp_path, 30))


def test_speech_refuses_shared_speakers_and_other_rates(tmp_path) -> None:
    with pytest.raises(DataError, match="16000 Hz"):
        load_dataset(config("speech-commands-12", speech_root(tmp_path / "rate", rate=8000)))
    root = speech_root(tmp_path / "shared")
    index = root / speech.FOLDER / "index.csv"
    index.write_text(index.read_text().replace(",t,test", ",a,test"))
    with pytest.raises(DataError, match="speaker a is both"):
        load_dataset(config("speech-commands-12", root))


@pytest.mark.parametrize("name", REAL)
def test_the_real_data_has_its_frozen_split(name: str) -> None:
    if not ROOT or not (Path(ROOT) / REAL[name]).exists():
        pytest.skip(f"{REAL[name]} is not below RHEOBASE_DATA")
    from rheobase.datasets import bonn_eeg, qtdb

    if name == "speech-commands-12":
        archive = speech.find(Path(ROOT))
        split, names, frozen = speech.official(speech.index(archive)), None, speech.FROZEN
        names = [row["path"] for row in speech.index(archive)]
    elif name == "bonn-eeg":
        names, labels, places = bonn_eeg.listing(bonn_eeg.find(Path(ROOT)))
        split, frozen = bonn_eeg.official(names, labels, places), bonn_eeg.FROZEN
    else:
        pool, split = qtdb.load(DataConfig(name="qtdb", root=Path(ROOT), T=1301))
        names, frozen = pool.names, qtdb.FROZEN
        counts = np.bincount(pool.labels[split.test].ravel() + 1, minlength=7)
        assert counts[1:].tolist() == [24153, 10145, 9840, 9065, 55885, 55297]
    from rheobase.datasets.split import split_digest

    assert tuple(len(part) for part in (split.train, split.validation, split.test)) == SIZES[name]
    assert frozen and split_digest(split, names) == frozen
