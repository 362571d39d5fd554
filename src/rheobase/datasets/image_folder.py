"""Images in class folders, read as they are needed: `image-folder` (your own), `imagenet`, `tiny-imagenet`.

| set | layout | size unless `data.size` says otherwise |
| --- | --- | --- |
| image-folder | `data.folder`: class folders, or `train/` and `val/` (`validation/`, `test/`) with class folders in each | 224 |
| imagenet | `imagenet/{train,val}/<class>/*.JPEG` | 224 |
| tiny-imagenet | `tiny-imagenet-200/train/<class>/images/*.JPEG`, `val/images/*.JPEG` with `val/val_annotations.txt` | 64 |

Classes are the names of folders. Split `official`: the published validation images test (labels of the test images are not
published), and of the training images a stratified tenth validates; where a folder has both a validation and a test part,
these are they; where it has no parts, a stratified tenth tests.

Sources: Deng et al., CVPR 2009 (ImageNet); Stanford CS231n (Tiny ImageNet).
"""

import os
from pathlib import Path

import numpy as np

from rheobase.datasets.config import DataConfig
from rheobase.datasets.event_files import Item, deal
from rheobase.datasets.lazy_images import SUFFIXES, ImageFiles
from rheobase.datasets.root import find_folder
from rheobase.datasets.split import Split
from rheobase.datasets.still import PIXEL, check_options
from rheobase.errors import DataError, RecipeError

PARTS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
IMAGENET, TINY = ("imagenet", "ILSVRC2012", "ImageNet"), ("tiny-imagenet-200",)
SIZE, TINY_SIZE = 224, 64


def load_folder(config: DataConfig) -> tuple[ImageFiles, Split]:
    """The images below `config.folder`.

    Raises:
        RecipeError: no folder is given, or an option of event binning.
        DataError: the folder is absent, or laid out otherwise.
    """
    check_options(config, sized=True)
    if config.folder is None or not config.folder.is_dir():
        raise RecipeError(
            f"the data set 'image-folder' needs data.folder, a folder of class folders of images; got {config.folder}"
        )
    return pool(config, config.folder.resolve(), listed(config.folder.resolve()), "image-folder", SIZE)


def load_imagenet(config: DataConfig) -> tuple[ImageFiles, Split]:
    """ImageNet, or whatever classes of it are there.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
        DataError: the folder is absent, or laid out otherwise.
    """
    check_options(config, sized=True)
    folder = find_folder("ImageNet", IMAGENET, config.root)
    return pool(config, folder, listed(folder), "ImageNet", SIZE)


def load_tiny(config: DataConfig) -> tuple[ImageFiles, Split]:
    """Tiny ImageNet: 100,000 training and 10,000 validation images (which test) of 200 classes.

    Raises:
        RecipeError: a split other than `official`, or an option of event binning.
        DataError: the folder is absent, or laid out otherwise.
    """
    check_options(config, sized=True)
    folder = find_folder("Tiny ImageNet", TINY, config.root)
    return pool(config, folder, tiny(folder), "Tiny ImageNet", TINY_SIZE)


def listed(folder: Path) -> list[tuple[Item, str]]:
    """Images and the names of their classes.

    Raises:
        DataError: there are none, or parts differ in their classes.
    """
    parts = [name for name in PARTS if (folder / name).is_dir()]
    if "train" not in parts:
        return _images(folder, "", "")
    found = {name: _images(folder / name, f"{name}/", PARTS[name]) for name in parts}
    classes = {name: {kind for _, kind in some} for name, some in found.items()}
    for name in parts:
        if lost := sorted(classes["train"] ^ classes[name]):
            raise DataError(f"{folder}: the class {lost[0]!r} is in train/ or {name}/ alone; both need it")
    items = [item for some in found.values() for item in some]
    if any(item.part == "test" for item, _ in items):
        return items
    return [
        (Item(item.name, item.file, 0, "test") if item.part == "validation" else item, kind)
        for item, kind in items
    ]


def _images(folder: Path, prefix: str, part: str) -> list[tuple[Item, str]]:
    """The images of class folders, sorted by class and name."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir() or entry.name.startswith("."):
            continue
        files = sorted(file.name for file in os.scandir(entry.path) if file.name.lower().endswith(SUFFIXES))
        if not files:
            raise DataError(
                f"{entry.path}: no images ({', '.join(SUFFIXES)}) in this class folder; remove it or fill it"
            )
        names = (f"{prefix}{entry.name}/{file}" for file in files)
        found += [(Item(name, name, 0, part), entry.name) for name in names]
    if not found:
        raise DataError(f"{folder}: no class folders with images in it")
    return found


def tiny(folder: Path) -> list[tuple[Item, str]]:
    """The labelled images of Tiny ImageNet.

    Raises:
        DataError: a folder or the list of labels is absent or damaged.
    """
    items = []
    for inner in sorted((folder / "train").glob("*/images")):
        kind = inner.parent.name
        names = sorted(f"train/{kind}/images/{file.name}" for file in os.scandir(inner))
        items += [(Item(name, name, 0, "train"), kind) for name in names if name.lower().endswith(SUFFIXES)]
    path = folder / "val" / "val_annotations.txt"
    try:
        rows = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
        items += [
            (Item(f"val/images/{file}", f"val/images/{file}", 0, "test"), kind) for file, kind, *_ in rows
        ]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected lines of file, class and box") from error
    known = {kind for item, kind in items if item.part == "train"}
    if strange := sorted({kind for _, kind in items} - known):
        raise DataError(f"{path}: names the class {strange[0]!r}, which has no images in {folder / 'train'}")
    return items


def pool(
    config: DataConfig, folder: Path, items: list[tuple[Item, str]], title: str, size: int
) -> tuple[ImageFiles, Split]:
    """Files and split of the images listed.

    Raises:
        DataError: there are fewer than two classes.
    """
    classes = tuple(sorted({kind for _, kind in items}))
    if len(classes) < 2:
        raise DataError(
            f"{folder}: found the classes {list(classes)}; a classifier needs two classes or more"
        )
    number = {kind: i for i, kind in enumerate(classes)}
    names = [item.name for item, _ in items]
    labels = np.array([number[kind] for _, kind in items], dtype=np.int64)
    side = size if config.size is None else config.size
    made = ImageFiles(names, labels, classes, (side, side), folder, title=title, input_unit=PIXEL)
    return made, deal(names, labels, [item.part for item, _ in items])
