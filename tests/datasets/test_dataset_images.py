"""Still images: IDX, CIFAR binary and JPEG files, whole and damaged, and what a part of still images is."""

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rheobase.datasets import DataConfig, cifar, cifar_jpeg, load_dataset, mnist
from rheobase.datasets.idx import read_idx
from rheobase.errors import DataError, RecipeError
from rheobase.events import Recording, add_noise
from rheobase.training.corrupt import corrupted


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def pixels(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=(count, *shape), dtype=np.uint8)


def write_mnist(folder, packed=True, train=40, test=10):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        for kind, array in (
            ("images-idx3", pixels(count, 28, 28)),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            name = f"{prefix}-{kind}-ubyte"
            data = idx(array)
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.fixture
def small_mnist(tmp_path):
    write_mnist(tmp_path / "mnist")
    return tmp_path


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """CIFAR folders of 4 records a file; record i has the label i, and pixels of seed = the file's number."""
    for name in ("TRAIN_10", "TEST_10", "TRAIN_100", "TEST_100"):
        monkeypatch.setattr(cifar, name, dict.fromkeys(getattr(cifar, name), 4))
    for folder, files, labels in (
        (cifar.FOLDER_10, (*cifar.TRAIN_10, *cifar.TEST_10), 1),
        (cifar.FOLDER_100, (*cifar.TRAIN_100, *cifar.TEST_100), 2),
    ):
        (tmp_path / folder).mkdir()
        for number, file in enumerate(files):
            head = np.repeat(np.arange(4, dtype=np.uint8)[:, None], labels, 1)
            head[:, : labels - 1] = 19  # the coarse label, which is not read
            (tmp_path / folder / file).write_bytes(
                np.concatenate([head, pixels(4, 3072, seed=number)], 1).tobytes()
            )
    return tmp_path


def jpeg_of(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", **options)
    return file.getvalue()


def write_jpeg(path, count=30, test=10, **changes):
    files = [jpeg_of(np.full((32, 32, 3), 8 * i, np.uint8)) for i in range(count)]
    arrays = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "label": (np.arange(count) % 10).astype(np.uint8),
        "is_test": np.arange(count) >= count - test,
    } | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


@pytest.fixture
def small_jpeg(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "FROZEN_JPEG", "")
    write_jpeg(tmp_path / cifar_jpeg.FILE)
    return tmp_path


def load(name, root, **options):
    return load_dataset(DataConfig(name=name, root=root, **options))


# -- what a part of still images is


def test_a_data_set_of_images(small_mnist):
    data = load("mnist", small_mnist, T=3)
    assert (data.name, data.sensor, data.T, data.input_unit) == ("MNIST", (28, 28), 3, 1 / 255)
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 10)
    source = pixels(40, 28, 28)
    for part in (data.train, data.validation):
        assert part.frames.shape[1:] == (3, 1, 28, 28) and part.frames.dtype == np.uint8
        for name, frames, label in zip(part.names, part.frames, part.labels, strict=True):
            i = int(name.removeprefix("train/"))
            assert label == i % 10
            assert all(np.array_equal(frame[0], source[i]) for frame in frames)
    assert [name.split("/")[0] for name in data.test.names] == ["test"] * 10
    assert not set(data.train.names) & set(data.validation.names)


def test_time_takes_no_memory(small_mnist):
    train = load("mnist", small_mnist, T=1000).train
    assert train.frames.strides[1] == 0
    assert train.frames.nbytes == 36 * 1000 * 784
    assert np.shares_memory(train.frames[5, 0], train.frames[5, 999])
    assert not np.shares_memory(train.frames[5], train.frames[6])
    assert torch.from_numpy(train.frames).shape == (36, 1000, 1, 28, 28)


def test_parts_are_stratified_and_prefixes_too(small_mnist):
    write_mnist(small_mnist / "mnist", train=200)
    data = load("mnist", small_mnist)
    assert np.bincount(data.validation.labels).tolist() == [2] * 10
    assert np.bincount(data.train.labels).tolist() == [18] * 10
    few = load("mnist", small_mnist, train_size=30)
    assert np.bincount(few.train.labels).tolist() == [3] * 10
    assert few.train.names == data.train.names[:30]
    assert few.split_hash != data.split_hash


def test_images_have_no_recordings(small_mnist):
    part = load("mnist", small_mnist).test
    event = Recording([1], [2], [0], [0], width=28, height=28)
    for refused in (
        lambda: part.recording(0),
        lambda: part.frames_from(event),
        lambda: next(part.recordings()),
        lambda: corrupted(part, add_noise, 0.1, 0),
    ):
        with pytest.raises(DataError, match=r"still images have no recordings.*without robustness"):
            refused()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_event_options_are_refused_before_anything_is_read(name, tmp_path):
    for options, message in (
        ({"size": 16}, "data.size is about events"),
        ({"binning": "count"}, "data.binning is about events"),
        ({"split": "low-data-0"}, f"unknown split of {name}"),
    ):
        with pytest.raises(RecipeError, match=message):
            load(name, tmp_path, **options)


# -- MNIST and Fashion-MNIST


def test_torchvision_layout_and_plain_files(tmp_path, small_mnist):
    write_mnist(tmp_path / "other" / "MNIST" / "raw", packed=False)
    plain, packed = load("mnist", tmp_path / "other"), load("mnist", small_mnist)
    assert np.array_equal(plain.train.frames, packed.train.frames)
    assert plain.split_hash == packed.split_hash


def test_other_images_under_the_name_of_fashion_mnist(tmp_path):
    write_mnist(tmp_path / "fashion_mnist")
    with pytest.raises(DataError, match="Fashion-MNIST: the 50 samples at hand are not those its split"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("cut", [0, 3, 7, 30, -1])
def test_a_truncated_idx_file(tmp_path, packed, cut):
    folder = write_mnist(tmp_path / "mnist", packed)
    (path,) = folder.glob("train-images*")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="train-images") as caught:
        load("mnist", tmp_path)
    assert str(path) in str(caught.value)


def test_damage_of_idx_files(tmp_path):
    path = tmp_path / "a"
    for data, message in (
        (b"\0\0\x0d\1" + bytes(8), "00 00 0d 01, an idx file of bytes with 00 00 08"),
        (b"\x1f\x8b\x08\0", "starts with 1f 8b"),
        (idx(np.zeros(5, np.uint8)) + b"\0", "14 bytes, but its header promises 8 \\+ 5"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_idx(path)
    data = bytearray(gzip.compress(idx(pixels(9, 28, 28))))
    data[100] ^= 0xFF
    (tmp_path / "b.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"b\.gz: cannot be read"):
        read_idx(tmp_path / "b.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none")


def test_files_that_do_not_fit(small_mnist):
    folder = small_mnist / "mnist"
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(np.zeros(39, np.uint8))))
    with pytest.raises(DataError, match=r"images \[40, 28, 28\] and labels \[39\]"):
        load("mnist", small_mnist)
    labels.write_bytes(gzip.compress(idx(np.full(40, 10, np.uint8))))
    with pytest.raises(DataError, match="labels are 0 to 10, and there are 10 classes"):
        load("mnist", small_mnist)
    labels.unlink()
    with pytest.raises(DataError, match=r"has no train-labels-idx1-ubyte\.gz"):
        load("mnist", small_mnist)


def test_absent_images_say_where_was_looked(tmp_path, monkeypatch):
    for name, message in (
        ("mnist", "neither mnist nor MNIST/raw"),
        ("fashion-mnist", "neither fashion_mnist nor FashionMNIST/raw"),
        ("cifar10", "neither cifar-10-batches-bin nor cifar10_jpeg.npz"),
        ("cifar100", "no cifar-100-binary"),
    ):
        with pytest.raises(DataError, match=f"{message} in .*{tmp_path.name}"):
            load(name, tmp_path)
    monkeypatch.delenv("RHEOBASE_DATA", raising=False)
    with pytest.raises(DataError, match="no data root; set RHEOBASE_DATA"):
        load_dataset(DataConfig(name="cifar10"))


# -- CIFAR


def test_cifar_10(small_cifar):
    data = load("cifar10", small_cifar)
    assert (data.name, data.sensor, data.classes[3]) == ("CIFAR-10", (32, 32), "cat")
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)
    for name, frames, label in zip(data.train.names, data.train.frames, data.train.labels, strict=True):
        i = int(name.removeprefix("train/"))
        assert label == i % 4
        assert np.array_equal(frames[0].ravel(), pixels(4, 3072, seed=i // 4)[i % 4])


def test_cifar_100_has_fine_labels(small_cifar):
    data = load("cifar100", small_cifar)
    assert data.name == "CIFAR-100"
    assert len(data.classes) == len(set(data.classes)) == 100 and list(data.classes) == sorted(data.classes)
    assert data.test.labels.tolist() == [0, 1, 2, 3]
    assert np.array_equal(data.test.frames[2, 0].ravel(), pixels(4, 3072, seed=1)[2])


@pytest.mark.parametrize(
    ("name", "file"),
    [("cifar10", "data_batch_3.bin"), ("cifar10", "test_batch.bin"), ("cifar100", "train.bin")],
)
def test_damaged_cifar(small_cifar, name, file):
    (path,) = small_cifar.rglob(file)
    data = path.read_bytes()
    for wrong in (data[:-1], data[: len(data) // 4], b"", data + data):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=f"{file}: {len(wrong)} bytes, expected 4 records of 307"):
            load(name, small_cifar)
    path.unlink()
    with pytest.raises(DataError, match=f"{file}: cannot be read"):
        load(name, small_cifar)


def test_cifar_10_as_jpeg_is_named_so(small_jpeg, small_cifar):
    binary = load("cifar10", small_cifar)
    for path in (small_cifar / cifar.FOLDER_10).iterdir():
        path.unlink()
    (small_cifar / cifar.FOLDER_10).rmdir()
    data = load("cifar10", small_jpeg)
    assert binary.name == "CIFAR-10" and data.name == "CIFAR-10 (JPEG)"
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 10)
    assert data.test.labels.tolist() == [i % 10 for i in range(20, 30)]
    for i, frames in enumerate(data.test.frames, start=20):
        assert np.abs(frames.astype(int) - 8 * i).max() <= 1


def test_jpeg_is_decoded_once_and_the_split_says_that_it_is_jpeg(small_jpeg, monkeypatch):
    before = load("cifar10", small_jpeg)
    monkeypatch.setattr(cifar_jpeg, "_image", lambda *_: pytest.fail("decoded again"))
    after = load("cifar10", small_jpeg)
    assert np.array_equal(before.train.frames, after.train.frames)
    write_jpeg(small_jpeg / cifar_jpeg.FILE, count=31)
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        load("cifar10", small_jpeg)
    monkeypatch.undo()


def test_damaged_jpeg_archives(tmp_path, monkeypatch):
    path = tmp_path / cifar_jpeg.FILE
    arrays = write_jpeg(path)
    whole = path.read_bytes()
    offsets, odd = arrays["offsets"], jpeg_of(np.zeros((16, 32, 3), np.uint8))
    longer = np.concatenate([np.frombuffer(odd, np.uint8), arrays["jpeg"][offsets[1] :]])
    cases = [
        (lambda: path.write_bytes(whole[:-40]), "cannot be read"),
        (lambda: path.write_bytes(b""), "cannot be read"),
        (lambda: write_jpeg(path, label=None), "cannot be read"),
        (lambda: write_jpeg(path, offsets=offsets[:-1]), "do not fit each other"),
        (lambda: write_jpeg(path, offsets=offsets - 1), "do not fit each other"),
        (lambda: write_jpeg(path, offsets=offsets[::-1]), "do not fit each other"),
        (lambda: write_jpeg(path, jpeg=arrays["jpeg"][:-9]), "do not fit each other"),
        (lambda: write_jpeg(path, is_test=arrays["is_test"][1:]), "do not fit each other"),
        (lambda: write_jpeg(path, jpeg=np.zeros_like(arrays["jpeg"])), "image 0 cannot be decoded"),
        (
            lambda: write_jpeg(
                path, jpeg=longer, offsets=np.append(0, offsets[1:] + len(longer) - len(arrays["jpeg"]))
            ),
            "image 0 has 32 x 16 pixels",
        ),
    ]
    for damage, message in cases:
        damage()
        with pytest.raises(DataError, match=message):
            load("cifar10", tmp_path, cache=False)
    write_jpeg(path)
    with pytest.raises(DataError, match=r"CIFAR-10 \(JPEG\): the 30 samples at hand are not those"):
        load("cifar10", tmp_path, cache=False)


# -- the real files


def real(*names):
    """The data root, if it holds one of these."""
    root = os.environ.get("RHEOBASE_DATA")
    if not root or not any((Path(root) / name).exists() for name in names):
        pytest.skip(f"real images: RHEOBASE_DATA does not name a folder with {' or '.join(names)}")
    return Path(root)


def test_real_fashion_mnist():
    data = load("fashion-mnist", real("fashion_mnist", "FashionMNIST"))
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert np.bincount(data.validation.labels).tolist() == [600] * 10
    assert data.split_hash == mnist.SOURCES["fashion-mnist"].frozen
    mean = np.mean([part.frames[:, 0].mean() for part in (data.train, data.validation)], dtype=float)
    assert mean / 255 == pytest.approx(0.286, abs=0.002)  # as commonly quoted


def test_real_cifar_10():
    data = load("cifar10", real("cifar-10-batches-bin", "cifar10_jpeg.npz"), T=2)
    assert (len(data.train), len(data.validation), len(data.test)) == (45_000, 5_000, 10_000)
    assert np.bincount(data.validation.labels).tolist() == [500] * 10
    assert data.name in ("CIFAR-10", "CIFAR-10 (JPEG)")
    means = data.train.frames[:, 0].mean((0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)
