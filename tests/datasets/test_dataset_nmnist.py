"""N-MNIST: layouts, splits, what is said when it is absent or broken, download, and the real recordings."""

import zipfile

import numpy as np
import pytest

from rheobase.datasets import DataConfig, load_dataset
from rheobase.errors import DataError, RecipeError
from rheobase.events import Recording, format_nmnist


def content(seed, count=30):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(34, size=count), rng.integers(34, size=count), rng.integers(2, size=count)
    return format_nmnist(Recording(x, y, np.sort(rng.integers(300_000, size=count)), p, width=34, height=34))


def tree():
    files = {}
    for i in range(60):
        files[f"Train/{i % 3}/{i + 1:05d}.bin"] = content(i)
    for i in range(9):
        files[f"Test/{i % 3}/{i + 1:05d}.bin"] = content(100 + i)
    return files


@pytest.fixture
def as_folder(tmp_path):
    root = tmp_path / "root"
    for name, data in tree().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def as_zips(tmp_path):
    root = tmp_path / "zips"
    root.mkdir()
    for part in ("Train", "Test"):
        with zipfile.ZipFile(root / f"{part}.zip", "w") as file:
            for name, data in tree().items():
                if name.startswith(part):
                    file.writestr(name, data)
    return root


def test_folder_and_zips_are_the_same_data_set(as_folder, as_zips):
    one = load_dataset(DataConfig(name="nmnist", root=as_folder))
    other = load_dataset(DataConfig(name="nmnist", root=as_zips, cache=False))
    assert (len(one.train), len(one.validation), len(one.test)) == (54, 6, 9)
    assert np.bincount(one.validation.labels).tolist() == [2, 2, 2]
    assert one.split_hash == other.split_hash
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, part).frames, getattr(other, part).frames)
        assert getattr(one, part).names == getattr(other, part).names
    assert all(name.startswith("Test/") for name in one.test.names)
    assert one.test.recording(0).label == one.test.labels[0]
    assert len(list(one.validation.recordings())) == 6
    with pytest.raises(DataError, match="no recording 9"):
        one.test.recording(9)


def test_changed_data_is_not_served_from_the_cache(as_folder):
    before = load_dataset(DataConfig(name="nmnist", root=as_folder))
    (as_folder / "Test/0/00001.bin").write_bytes(content(999, count=31))
    after = load_dataset(DataConfig(name="nmnist", root=as_folder))
    assert before.test.frames[0].sum() == 30
    assert after.test.frames[0].sum() == 31


def test_counts_saturate_and_are_counted(as_folder):
    many = Recording([5] * 300, [6] * 300, list(range(300)), [1] * 300, width=34, height=34)
    (as_folder / "Test/0/00001.bin").write_bytes(format_nmnist(many))
    test = load_dataset(DataConfig(name="nmnist", root=as_folder, T=1)).test
    assert test.frames[0, 0, 1, 6, 5] == 255
    assert test.saturated == 1
    assert load_dataset(DataConfig(name="nmnist", root=as_folder, T=2)).test.saturated == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (content(0)[:-2], "148 bytes is no multiple of 5"),
        (b"", "empty"),
        (b"\xfe" * 50, "outside the sensor"),
    ],
)
def test_a_broken_file_is_named(as_folder, data, message):
    (as_folder / "Train/1/00002.bin").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(DataConfig(name="nmnist", root=as_folder))
    assert "Train/1/00002.bin" in str(caught.value)


def test_a_file_out_of_place(as_folder):
    (as_folder / "Train" / "00001.bin").write_bytes(content(0))
    with pytest.raises(DataError, match=r"Train/00001\.bin is not Train/<digit>"):
        load_dataset(DataConfig(name="nmnist", root=as_folder))


def test_absent_data_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv("RHEOBASE_DATA", raising=False)
    with pytest.raises(DataError, match="set RHEOBASE_DATA"):
        load_dataset(DataConfig(name="nmnist"))
    with pytest.raises(DataError, match="data fetch nmnist") as caught:
        load_dataset(DataConfig(name="nmnist", root=tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in str(caught.value)
    with pytest.raises(DataError, match=r"nmnist_small\.zip"):
        load_dataset(DataConfig(name="nmnist", root=tmp_path, split="low-data-1"))


def test_half_the_data(as_folder):
    for file in (as_folder / "Test").rglob("*.bin"):
        file.unlink()
    with pytest.raises(DataError, match=r"no \.bin file below Test/"):
        load_dataset(DataConfig(name="nmnist", root=as_folder))


def test_a_broken_zip(tmp_path):
    (tmp_path / "nmnist_small.zip").write_bytes(b"PK, but not really")
    with pytest.raises(DataError, match="not a readable zip"):
        load_dataset(DataConfig(name="nmnist", root=tmp_path))


def test_a_low_data_split_belongs_to_its_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "nmnist_small.zip", "w") as file:
        for name, data in tree().items():
            file.writestr(name, data)
    with pytest.raises(DataError, match="it belongs to other data"):
        load_dataset(DataConfig(name="nmnist", root=tmp_path, split="low-data-0"))


def test_unknown_split(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'low-data-"):
        load_dataset(DataConfig(name="nmnist", root=tmp_path, split="low-data-7"))


def test_real_official(real_nmnist):
    data = load_dataset(DataConfig(name="nmnist", root=real_nmnist, split="official"))
    if len(data.train) == 900:
        assert data.split_hash.startswith("e64f74b4442d")
    assert data.sensor == (34, 34)
    assert data.train.frames.sum() > 3_000_000
    recording = data.test.recording(0)
    assert recording.label == data.test.labels[0]
    assert data.test.frames[0].sum() == len(recording)


@pytest.mark.parametrize("seed", range(3))
def test_real_low_data(real_nmnist, seed):
    data = load_dataset(DataConfig(name="nmnist", root=real_nmnist, split=f"low-data-{seed}", T=2, size=8))
    assert (len(data.train), len(data.validation), len(data.test)) == (300, 100, 700)
    share = np.bincount(data.train.labels) / 300 - np.bincount(data.test.labels) / 700
    assert np.abs(share).max() < 0.005
    assert not set(data.train.names) & set(data.test.names)
