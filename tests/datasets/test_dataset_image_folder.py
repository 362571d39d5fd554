"""Images in class folders: what a row is, what is decoded when, the layouts, and training on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stand_ins import image_folders, save_image, tiny_imagenet

from rheobase.datasets import DataConfig, lazy_images, load_dataset
from rheobase.datasets.lazy_images import LazyFrames, decoded
from rheobase.errors import DataError, RecipeError
from rheobase.training import ArrayFrames, AugmentConfig
from rheobase.training.loader import as_input, gathered, shuffled_batches


@pytest.fixture
def opened(monkeypatch):
    """The files that were decoded so far."""
    found, real = [], lazy_images.decoded
    monkeypatch.setattr(lazy_images, "decoded", lambda path, size: found.append(path) or real(path, size))
    return found


def own(folder, **options):
    return load_dataset(DataConfig(name="image-folder", folder=folder, T=2, size=8, **options))


def test_nothing_is_decoded_until_a_row_is_asked_for(tmp_path, opened):
    image_folders(tmp_path, ("train", "val"), 20)
    data = own(tmp_path)
    assert data.classes == ("cat", "dog", "newt") and data.sensor == (8, 8) and data.input_unit == 1 / 255
    assert data.train.frames.shape == (54, 2, 3, 8, 8) and len(data.validation) == 6 and len(data.test) == 60
    assert all(name.startswith("val/") for name in data.test.names)
    assert not opened
    one = data.train.frames[np.array([3])]
    assert [path.relative_to(tmp_path).as_posix() for path in opened] == [data.train.names[3]]
    assert one.strides[1] == 0 and one.shape == (1, 2, 3, 8, 8)


def test_each_process_decodes_its_own_rows_alone(tmp_path, opened):
    image_folders(tmp_path, ("train", "val"), 20)
    train = own(tmp_path).train
    seen = []
    for rank in range(2):
        opened.clear()
        for _ in shuffled_batches(train, 6, seed=0, epoch=0, rank=rank, world_size=2):
            pass
        seen.append(sorted(opened))
    assert len(seen[0]) == len(seen[1]) == 27 and not set(seen[0]) & set(seen[1])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rows_are_those_of_the_array_it_stands_for(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    files = [f"{i}.png" for i in range(7)]
    pixels = rng.integers(256, size=(7, 3, 4, 4), dtype=np.uint8)
    for name, image in zip(files, pixels, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / name)
    T = data.draw(st.integers(1, 3))
    lazy = LazyFrames(folder, files, 4, T)
    whole = np.repeat(pixels[:, None], T, 1)
    ends = st.one_of(st.none(), st.integers(-8, 8))
    key = data.draw(
        st.one_of(
            st.integers(-7, 6),
            st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, -1])),
            st.lists(st.integers(-7, 6), max_size=9).map(lambda rows: np.array(rows, np.int64)),
            st.lists(st.booleans(), min_size=7, max_size=7).map(np.array),
        )
    )
    np.testing.assert_array_equal(lazy[key], whole[key])
    if isinstance(key, slice):
        np.testing.assert_array_equal(lazy[key, 0], whole[key, 0])
    steps = data.draw(st.integers(1, T))
    np.testing.assert_array_equal(lazy[:, :steps][1:3], whole[:, :steps][1:3])
    np.testing.assert_array_equal(np.take(lazy, [6, 0], axis=0), whole[[6, 0]])
    assert len(lazy) == 7 and lazy.shape == whole.shape and lazy.dtype == whole.dtype


def test_the_loader_sees_one_image_over_time(tmp_path):
    image_folders(tmp_path, ("train", "val"), 10)
    test = own(tmp_path).test
    x = as_input(gathered(test, np.array([1, 0])))
    assert x.shape == (2, 2, 3, 8, 8) and x.stride(0) == 0
    assert np.array_equal(x[0, 1].numpy(), test.frames[0][0])


@pytest.mark.parametrize(("wide", "high"), [(40, 20), (20, 40), (9, 9), (2, 3), (300, 5)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_middle_is_taken_whatever_the_shape(tmp_path, wide, high, suffix):
    """Left half black, right half white: the middle has the edge in its middle, and rows are equal."""
    array = np.zeros((high, wide, 3), np.uint8)
    array[:, wide // 2 :] = 255
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(array).save(path)
    found = decoded(path, 8).astype(int)
    assert found.shape == (3, 8, 8)
    assert np.ptp(found, axis=1).max() <= 2
    assert (np.diff(found[0, 0]) >= -2).all() and found[0, 0, 0] < 128 < found[0, 0, -1]


def test_grey_and_palette_images_have_three_channels(tmp_path):
    for mode in ("L", "P", "RGBA", "1"):
        Image.new(mode, (12, 9), 1).save(tmp_path / f"{mode}.png")
        assert decoded(tmp_path / f"{mode}.png", 8).shape == (3, 8, 8)
    Image.new("CMYK", (12, 9)).save(tmp_path / "cmyk.jpg")
    assert decoded(tmp_path / "cmyk.jpg", 8).shape == (3, 8, 8)


def test_damage_is_told_by_file(tmp_path):
    image_folders(tmp_path, ("train", "val"), 10)
    data = own(tmp_path)
    path = tmp_path / data.train.names[5]
    for content in (b"", b"no image", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}: cannot be decoded"):
            data.train.frames[5]
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: cannot be decoded"):
        data.train.frames[5]
    with pytest.raises(DataError, match="still images have no recordings"):
        data.train.recording(0)


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [((), (49, 5, 6)), (("train", "test"), (54, 6, 60)), (("train", "validation", "test"), (60, 60, 60))],
)
def test_layouts(tmp_path, parts, sizes):
    image_folders(tmp_path, parts, 20)
    data = own(tmp_path)
    assert tuple(len(part) for part in (data.train, data.validation, data.test)) == sizes
    names = [set(part.names) for part in (data.train, data.validation, data.test)]
    assert len(set.union(*names)) == sum(sizes)
    again = own(tmp_path)
    assert again.split_hash == data.split_hash and again.train.names == data.train.names


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"needs data\.folder"):
        load_dataset(DataConfig(name="image-folder"))
    with pytest.raises(DataError, match="no class folders with images"):
        own(tmp_path)
    image_folders(tmp_path, ("train", "val"), 3)
    (tmp_path / "val" / "dog").rename(tmp_path / "val" / "wolf")
    with pytest.raises(DataError, match=r"the class 'dog' is in train/ or val/ alone"):
        own(tmp_path)
    with pytest.raises(RecipeError, match=r"data\.binning is about events"):
        own(tmp_path, binning="count")
    (tmp_path / "one").mkdir()
    save_image(tmp_path / "one" / "cat" / "a.png", 0)
    with pytest.raises(DataError, match="two classes or more"):
        own(tmp_path / "one")
    (tmp_path / "one" / "dog").mkdir()
    with pytest.raises(DataError, match=r"dog: no images \("):
        own(tmp_path / "one")


def test_imagenet_counts_its_classes(tmp_path):
    image_folders(tmp_path / "imagenet", ("train", "val"), 10)
    data = load_dataset(DataConfig(name="imagenet", root=tmp_path))
    assert data.name == "ImageNet" and data.sensor == (224, 224) and len(data.classes) == 3
    assert data.test.frames[:2].shape == (2, 4, 3, 224, 224)
    with pytest.raises(DataError, match="ImageNet: found no imagenet nor ILSVRC2012"):
        load_dataset(DataConfig(name="imagenet", root=tmp_path / "imagenet"))


def test_tiny_imagenet(tmp_path):
    tiny_imagenet(tmp_path, classes=4, count=20)
    data = load_dataset(DataConfig(name="tiny-imagenet", root=tmp_path, T=1))
    assert data.sensor == (64, 64) and len(data.classes) == 4
    assert (len(data.train), len(data.validation), len(data.test)) == (72, 8, 12)
    for part in (data.train, data.validation, data.test):
        # the stand-in paints images in a grey of their class
        grey = part.frames[:].mean((1, 2, 3, 4))
        assert np.abs(grey - 40 * part.labels).max() < 10
    path = tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    path.write_text("val_0.JPEG\tn99\t0\t0\t9\t9\n")
    with pytest.raises(DataError, match="names the class 'n99', which has no images"):
        load_dataset(DataConfig(name="tiny-imagenet", root=tmp_path))
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(DataConfig(name="tiny-imagenet", root=tmp_path))


def test_training_sees_what_an_array_would_give(tmp_path):
    image_folders(tmp_path, ("train", "val"), 10)
    lazy = own(tmp_path).train
    whole = ArrayFrames(np.ascontiguousarray(lazy.frames[:]), lazy.labels)
    augment = AugmentConfig(shift=2, flip=True, cutout=3)
    for some, other in zip(
        *(shuffled_batches(data, 5, seed=1, epoch=2, augment=augment) for data in (lazy, whole)), strict=True
    ):
        for one, two in zip(some, other, strict=True):
            assert np.array_equal(one.numpy(), two.numpy())
