"""cifar10-dvs-sim and fashion-dvs-sim: still images before a simulated event camera, as CIFAR10-DVS was recorded.

Each image, in grey, is enlarged until it fills the view of 48x48 pixels wherever it moves, and goes twice round a
diamond of 3 pixels radius in 1.2 s:

    L(t) = log(0.2 + image(position(t)))

The sensor sees it at 49 instants (`events.Sensor`). Recording `i` draws its chance from `[seed, index of the image]`, so
neither the number of recordings nor that of processes changes it. 8,000 train, 1,000 validate and 1,000 test: of the
parts of the image set's frozen split, the first in stratified order.

Source of the recipe: Li et al., "CIFAR10-DVS", Frontiers in Neuroscience 11:309, 2017. The images keep their licence.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from rheobase.datasets import cifar, mnist
from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached, digest_arrays
from rheobase.datasets.config import DataConfig
from rheobase.datasets.packed import Packed, joined, pack
from rheobase.datasets.split import Indices, Split, stratified_order
from rheobase.datasets.still import ImagePool
from rheobase.errors import RecipeError, unknown
from rheobase.events import Recording, Sensor, loop_path, moved_frames, simulate_batch

VERSION = 1
"""Raised when the recipe changes, so that what was cached before is not used."""
SIZE, STEPS, STEP = 48, 49, 25_000
LOOPS, AMPLITUDE = 2, 3.0
FLOOR = 0.2
"""Added to an image of 0..1 before the logarithm: what a dark pixel of a screen still emits."""
SENSOR = Sensor(threshold=0.4, mismatch=0.05, minimum=0.1, noise_rate=0.0005)
SEED = 7
SPAN = (0, (STEPS - 1) * STEP)
COUNTS = {"train": 8000, "validation": 1000, "test": 1000}
BATCH, TASK = 8, 200
"""Recordings simulated at once, and by one call to a process."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """Where the images of a simulated set come from."""

    images: str
    load: Callable[[DataConfig], tuple[ImagePool, Split]]


SOURCES = {
    "cifar10-dvs-sim": Source("cifar10", cifar.load_10),
    "fashion-dvs-sim": Source("fashion-mnist", mnist.load),
}


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All recordings (generated once in parallel, then cached) and their split.

    Raises:
        RecipeError: a split other than `official`.
        DataError: the images are absent or damaged.
    """
    if config.split != "official":
        raise RecipeError(unknown(f"split of {config.name}", config.split, ["official"]))
    source = SOURCES[config.name]
    images = DataConfig(name=source.images, root=config.root, cache=config.cache)
    return make_pool(config.name, *source.load(images), COUNTS, keep=config.cache)


def make_pool(
    name: str,
    images: ImagePool,
    split: Split,
    counts: dict[str, int],
    *,
    keep: bool = True,
    jobs: int | None = None,
) -> tuple[EventPool, Split]:
    """The first `counts[part]` recordings of each part; `jobs` processes make them (default: one a core)."""
    chosen = [first(images, getattr(split, part), count) for part, count in counts.items()]
    rows = np.concatenate(chosen)
    pixels, labels = images.pixels[rows], images.labels[rows]
    key = {
        "version": VERSION,
        "images": digest_arrays({"pixels": pixels, "labels": labels, "rows": rows}),
        "sensor": SENSOR.model_dump(),
        "motion": [SIZE, STEPS, STEP, LOOPS, AMPLITUDE, FLOOR],
        "seed": SEED,
    }

    def build() -> Arrays:
        made = generate(pixels, labels, rows, jobs=jobs)
        return made | {"digest": np.array(digest_arrays(made))}

    arrays = cached(f"{name}/events", key, build, keep=keep)
    content = str(arrays["digest"])
    packed = Packed(arrays, SIZE, SIZE)
    names = [images.names[row] for row in rows]
    title = f"{images.title or name}, simulated DVS"
    pool = EventPool(
        names, labels, images.classes, (SIZE, SIZE), packed, content, SPAN, content=content, title=title
    )
    bounds = np.cumsum([0, *map(len, chosen)])
    return pool, Split(*(np.arange(start, stop) for start, stop in itertools.pairwise(bounds)))


def first(images: ImagePool, part: Indices, count: int) -> Indices:
    """The first `count` of a part in stratified order (seed 0)."""
    order = stratified_order([images.names[i] for i in part], images.labels[part], seed=0)
    return part[order[:count]]


def generate(pixels: Images, labels: Indices, rows: Indices, *, jobs: int | None = None) -> Arrays:
    """The recordings of images in the arrays of a `Packed`; `rows` are the numbers that seed them.

    Shape: pixels uint8 [N, C, H, W]; labels and rows [N].
    """
    tasks = [slice(start, start + TASK) for start in range(0, len(rows), TASK)]
    jobs = min(jobs or os.cpu_count() or 1, len(tasks))
    run = Parallel(n_jobs=jobs)
    return joined(run(delayed(_task)(pixels[some], labels[some], rows[some]) for some in tasks))


def _task(pixels: Images, labels: Indices, rows: Indices) -> Arrays:
    return pack(recordings(pixels, labels, rows))


def recordings(pixels: Images, labels: Indices, rows: Indices) -> Iterator[Recording]:
    """The recordings, one by one."""
    path = loop_path(STEPS, AMPLITUDE, LOOPS)
    zoom = (SIZE + 2 * AMPLITUDE) / (pixels.shape[-1] - 1)
    moved = partial(moved_frames, size=SIZE, path=path, zoom=zoom)
    for start in range(0, len(rows), BATCH):
        some = slice(start, start + BATCH)
        frames = np.log(FLOOR + moved(grey(pixels[some])))
        rngs = [np.random.default_rng([SEED, row]) for row in rows[some].tolist()]
        yield from simulate_batch(frames, SENSOR, rngs, step=STEP, labels=labels[some].tolist())


def grey(pixels: Images) -> NDArray[np.float32]:
    """Luma of 0..1. Shape: uint8 [N, C, H, W], of one channel or of red, green and blue, to [N, H, W]."""
    weights = LUMA if pixels.shape[1] == 3 else np.ones(1, np.float32)
    return np.einsum("nchw,c->nhw", pixels.astype(np.float32) / 255, weights)
