"""digits-dvs: scikit-learn's 1,797 handwritten digits, moved along saccades before a simulated event camera.

It needs no download and is made in seconds: a set for a first try and for tests. The 8x8 images are enlarged
to 12 pixels and seen on 16x16, along the three saccades of N-MNIST in 0.3 s; only the sensor's chance differs
between recordings of the same image. The split is frozen: 1,197 / 200 / 400.

Source of the images: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (CC BY 4.0).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached, digest_arrays
from rheobase.datasets.config import DataConfig
from rheobase.datasets.packed import Packed, pack
from rheobase.datasets.split import Split, draw_split, thaw
from rheobase.errors import RecipeError, unknown
from rheobase.events import Recording, Sensor, saccade_frames, simulate_batch

CLASSES = tuple("0123456789")
COUNT, SIZE, STEPS = 1797, 16, 49
STEP = 6250
"""Microseconds between two instants; 48 of them make 0.3 s."""
ZOOM, AMPLITUDE, CONTRAST = 1.5, 4.0, 1.0
SEED = 4
SENSOR = Sensor()
SPAN = (0, (STEPS - 1) * STEP)


def generate(count: int = COUNT, *, batch: int = 100) -> Iterator[Recording]:
    """The first `count` recordings, in scikit-learn's order; recording `i` draws from the seed `[4, i]`."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images[:count] / 16.0
    for first in range(0, len(images), batch):
        some = range(first, min(first + batch, len(images)))
        frames = np.stack(
            [
                saccade_frames(
                    images[i], SIZE, steps=STEPS, amplitude=AMPLITUDE, zoom=ZOOM, contrast=CONTRAST
                )
                for i in some
            ]
        )
        rngs = [np.random.default_rng([SEED, i]) for i in some]
        yield from simulate_batch(
            frames, SENSOR, rngs, step=STEP, labels=[int(digits.target[i]) for i in some]
        )


def names(count: int = COUNT) -> list[str]:
    """Names of the recordings: the index of the image."""
    return [f"{i:04d}" for i in range(count)]


def draw(labels: NDArray[np.int64]) -> Split:
    """The rule behind the frozen split: 1,197 / 200 / 400 in stratified order (seed 0)."""
    return draw_split(names(), labels, seed=0, train=1197, validation=200)


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All recordings (generated once, then cached) and their frozen split.

    Raises:
        RecipeError: a split other than `official`.
    """
    if config.split != "official":
        raise RecipeError(unknown("split of digits-dvs", config.split, ["official"]))
    key = {
        "sensor": SENSOR.model_dump(),
        "image": [SIZE, STEPS, STEP, ZOOM, AMPLITUDE, CONTRAST],
        "seed": SEED,
    }

    def build() -> Arrays:
        made = pack(generate())
        return made | {"digest": np.array(digest_arrays(made))}

    arrays = cached("digits-dvs/events", key, build, keep=config.cache)
    content = str(arrays["digest"])
    packed = Packed(arrays, SIZE, SIZE)
    pool = EventPool(
        names(), packed.labels, CLASSES, (SIZE, SIZE), packed, raw=content, content=content, span=SPAN
    )
    return pool, thaw("digits-dvs-official", pool.names)
