"""Small synthetic data of the format and layout of each published set, so that loaders run without the data."""

import numpy as np
from PIL import Image
from scipy.io import savemat

from rheobase.datasets.cifar import CLASSES_10
from rheobase.events import Recording, write_recording


def record(rng, width, height, count=60, ticks=50_000, start=0):
    x, y, p = rng.integers(width, size=count), rng.integers(height, size=count), rng.integers(2, size=count)
    return Recording(x, y, start + np.sort(rng.integers(ticks, size=count)), p, width=width, height=height)


def cifar10_dvs(root, rng):
    for name in CLASSES_10:
        for i in range(4):
            folder = root / "CIFAR10DVS" / name
            folder.mkdir(parents=True, exist_ok=True)
            write_recording(record(rng, 128, 128), folder / f"cifar10_{name}_{i}.aedat", format="aedat2")


def gesture(root, rng, *, trials=4):
    folder = root / "DvsGesture"
    folder.mkdir()
    names = [f"user{i + 1:02}_led.aedat" for i in range(trials)]
    for name in names:
        parts = [record(rng, 128, 128, 30, 9_000, start=10_000 * i) for i in range(12)]
        whole = (np.concatenate([getattr(part, axis) for part in parts]) for axis in "xytp")
        write_recording(Recording(*whole, 128, 128), folder / name, format="aedat3")
        rows = [f"{i % 11 + 1},{10_000 * i},{10_000 * i + 9_000}" for i in range(11)]
        (folder / f"{name[:-6]}_labels.csv").write_text(
            "\n".join(["class,startTime_usec,endTime_usec", *rows])
        )
    (folder / "trials_to_train.txt").write_text("\n".join(names[:-1]) + "\n\n")
    (folder / "trials_to_test.txt").write_text(names[-1] + "\n")


def ncaltech101(root, rng):
    for name in ("BACKGROUND_Google", "Faces_easy", "yin_yang"):
        for i in range(12):
            folder = root / "Caltech101" / name
            folder.mkdir(parents=True, exist_ok=True)
            write_recording(record(rng, 230, 170), folder / f"image_{i + 1:04}.bin")


def ncars(root, rng):
    for part in ("train", "test"):
        for name in ("background", "cars"):
            folder = root / "Prophesee_Dataset_n_cars" / f"n-cars_{part}" / name
            folder.mkdir(parents=True)
            for i in range(11):
                write_recording(record(rng, 110, 90), folder / f"obj_{i:06}_td.dat")


def asl_dvs(root, rng):
    for name in ("a", "y"):
        folder = root / "ASLDVS" / name
        folder.mkdir(parents=True)
        for i in range(10):
            found = record(rng, 240, 180)
            arrays = {"ts": found.t, "x": found.x, "y": 179 - found.y, "pol": found.p}
            savemat(
                folder / f"{name}_{i:04}.mat", {k: v[:, None].astype(np.uint32) for k, v in arrays.items()}
            )


def spike_trains(root, rng, name, count):
    import h5py

    parts = {"shd": ("train", "test"), "ssc": ("train", "valid", "test")}[name]
    for part in parts:
        with h5py.File(root / f"{name}_{part}.h5", "w") as file:
            lengths = rng.integers(20, 40, 3 * count)
            times, units = (np.empty(3 * count, object) for _ in "tu")
            for i, n in enumerate(lengths):
                times[i] = np.sort(rng.random(n) * 1.2).astype(np.float16)
                units[i] = rng.integers(700, size=n).astype(np.uint16)
            spikes = file.create_group("spikes")
            spikes.create_dataset("times", data=times, dtype=h5py.vlen_dtype(np.float16))
            spikes.create_dataset("units", data=units, dtype=h5py.vlen_dtype(np.uint16))
            file.create_dataset("labels", data=(np.arange(3 * count) % count).astype(np.uint16))
            extra = file.create_group("extra")
            extra.create_dataset("keys", data=[f"word {i}".encode() for i in range(count)])


STAND_INS = {
    "cifar10-dvs": cifar10_dvs,
    "dvs128-gesture": gesture,
    "ncaltech101": ncaltech101,
    "ncars": ncars,
    "asl-dvs": asl_dvs,
    "shd": lambda root, rng: spike_trains(root, rng, "shd", 20),
    "ssc": lambda root, rng: spike_trains(root, rng, "ssc", 35),
}


def save_image(path, value, size=(13, 10)):
    """A noisy grey image."""
    rng = np.random.default_rng(len(path.name))
    pixels = np.clip(value + rng.integers(-5, 6, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def image_folders(root, parts, count):
    for part in parts or ("",):
        for k, name in enumerate(("cat", "dog", "newt")):
            for i in range(count):
                save_image(root / part / name / f"{i:03}.{'png' if i % 2 else 'JPEG'}", 80 * k)


def tiny_imagenet(root, *, classes, count):
    base = root / "tiny-imagenet-200"
    rows = []
    for k in range(classes):
        for i in range(count):
            save_image(base / "train" / f"n{k:02}" / "images" / f"n{k:02}_{i}.JPEG", 40 * k, (64, 64))
        for i in range(3):
            name = f"val_{3 * k + i}.JPEG"
            save_image(base / "val" / "images" / name, 40 * k, (64, 64))
            rows.append(f"{name}\tn{k:02}\t0\t0\t62\t62\n")
    (base / "val" / "val_annotations.txt").write_text("".join(rows))
