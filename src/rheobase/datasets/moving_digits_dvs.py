"""moving-digits-dvs: one to three handwritten digits that move before a simulated event camera, with a box round each.

Scikit-learn's 8x8 digits are cut to their strokes, enlarged to 14 to 24 pixels of height, and travel in straight lines on
64x64 pixels for 0.32 s, turning back at the edges:

    L(t) = sign * max_i image_i(x - position_i(t))

The box of a digit is where its strokes are: `[x0, y0, x1, y1]` in pixels, x1 and y1 exclusive, so a box is x1 - x0 wide. Boxes
are those at the end of each frame. No two boxes of a recording ever overlap by more than a tenth (intersection over union); a
digit that finds no such way in 20 tries is left out. Recording `i` of a part draws from the seed `[seed of the part, i]`, and no
two parts show the same image.

As a data set for classifiers (`labels`) the question is how many digits there are; `objects` names the classes of boxes.

Source of the images: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (CC BY 4.0).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached, digest_arrays
from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import BoxedFrames, FrameSet
from rheobase.datasets.packed import Packed, pack
from rheobase.datasets.split import Indices, Split
from rheobase.errors import RecipeError, unknown
from rheobase.events import Recording, Sensor, simulate_batch

OBJECTS = tuple("0123456789")
CLASSES = ("one digit", "two digits", "three digits")
VERSION = 1
"""Raised when the scenes change, so that what was cached before is not used."""
SIZE, STEPS, STEP = 64, 33, 10_000
"""Pixels, instants, and microseconds between two of them."""
SPAN = (0, (STEPS - 1) * STEP)
SENSOR = Sensor(threshold=0.25, mismatch=0.03, minimum=0.05, noise_rate=0.0005)
CONTRAST = 1.0
HEIGHTS, TRAVEL = (14.0, 24.0), (8.0, 20.0)
"""Pixels: how high a digit is, and how far it goes in a recording."""
MOST, TRIES, OVERLAP = 3, 20, 0.1
SEEDS = {"train": 11, "validation": 12, "test": 13}
COUNTS = {"train": 600, "validation": 100, "test": 200}
SAMPLES = {"train": (0, 1197), "validation": (1197, 1397), "test": (1397, 1797)}
"""The digits of scikit-learn's set that each part shows."""

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Digit:
    """A digit on its way. Shape: image [h, w], of 0..1; boxes [STEPS, 4]."""

    image: Floats
    kind: int
    boxes: Floats


def generate(
    part: str, count: int, *, batch: int = 50
) -> Iterator[tuple[Recording, NDArray[np.float32], NDArray[np.int64]]]:
    """The first `count` recordings of a part, each with its boxes and their classes.

    Shape: boxes [MOST, STEPS, 4], zeros where there is no digit; classes [MOST], -1 where there is none.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    first, last = SAMPLES[part]
    images, kinds = digits.images[first:last] / 16.0, digits.target[first:last]
    for start in range(0, count, batch):
        rngs = [np.random.default_rng([SEEDS[part], i]) for i in range(start, min(start + batch, count))]
        scenes = [draw_scene(images, kinds, rng) for rng in rngs]
        frames = np.stack([render(scene, rng) for scene, rng in zip(scenes, rngs, strict=True)])
        labels = [len(scene) - 1 for scene in scenes]
        made = simulate_batch(frames, SENSOR, rngs, step=STEP, labels=labels)
        for recording, scene in zip(made, scenes, strict=True):
            boxes = np.zeros((MOST, STEPS, 4), np.float32)
            classes = np.full(MOST, -1)
            for i, digit in enumerate(scene):
                boxes[i], classes[i] = digit.boxes, digit.kind
            yield recording, boxes, classes


def draw_scene(images: Floats, kinds: NDArray[np.integer], rng: np.random.Generator) -> list[Digit]:
    """One to three digits whose ways keep clear of each other."""
    scene: list[Digit] = []
    for _ in range(int(rng.integers(1, MOST, endpoint=True))):
        for _ in range(TRIES):
            which = int(rng.integers(len(images)))
            digit = _travel(cut(images[which]), int(kinds[which]), rng)
            if all(overlap(digit.boxes, other.boxes).max() <= OVERLAP for other in scene):
                scene.append(digit)
                break
    return scene


def cut(image: Floats) -> Floats:
    """The rows and columns of an image in which there is a stroke: more than an eighth of full ink."""
    ink = image > 1 / 8
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _travel(image: Floats, kind: int, rng: np.random.Generator) -> Digit:
    """Draw height, place, direction and speed; edges of the sensor turn a digit back."""
    height = rng.uniform(*HEIGHTS)
    room = SIZE - np.array(
        [height * image.shape[1] / image.shape[0], height]
    )  # of the upper left corner: x, y
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*TRAVEL)
    way = distance * np.linspace(0, 1, STEPS)[:, None] * [np.cos(angle), np.sin(angle)]
    corner = np.abs(rng.uniform(0, room) + way)  # reflected at 0, then at the far edge
    corner = room - np.abs(room - corner)
    return Digit(image, kind, np.concatenate([corner, corner + (SIZE - room)], 1))


def overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes. Shape: [..., 4] and [..., 4] to [...]."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.maximum(sides, 0).prod(-1)
    return common / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common)


def render(scene: Sequence[Digit], rng: np.random.Generator) -> NDArray[np.float32]:
    """The log intensities that the camera sees (bilinear): bright digits on dark ground, or the other way round.

    Shape: [STEPS, SIZE, SIZE].
    """
    sign = rng.choice((-1.0, 1.0))
    seen = np.zeros((STEPS, SIZE, SIZE))
    centres = np.arange(SIZE) + 0.5
    for digit in scene:
        height, width = digit.image.shape
        x0, y0, x1, y1 = digit.boxes.T[:, :, None]
        columns = (centres - x0) / (x1 - x0) * width - 0.5
        rows = (centres - y0) / (y1 - y0) * height - 0.5
        shape = (STEPS, SIZE, SIZE)
        at = [np.broadcast_to(rows[:, :, None], shape), np.broadcast_to(columns[:, None, :], shape)]
        seen = np.maximum(seen, map_coordinates(digit.image, at, order=1, mode="grid-constant"))
    return (sign * CONTRAST * seen).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BoxPool(EventPool):
    """Recordings with boxes. Shape: boxes [N, M, STEPS, 4]; kinds [N, M]."""

    boxes: NDArray[np.float32] = field(kw_only=True)
    kinds: NDArray[np.int64] = field(kw_only=True)

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Parts with boxes at the ends of their frames, on the sensor of the frames.

        Raises:
            DataError: a recording cannot be binned.
        """
        ends = np.linspace(0, STEPS - 1, config.T + 1)[1:]
        before = np.minimum(ends.astype(np.int64), STEPS - 2)
        share = (ends - before)[:, None].astype(np.float32)
        boxes = (1 - share) * self.boxes[:, :, before] + share * self.boxes[:, :, before + 1]
        boxes *= np.float32((config.size or SIZE) / SIZE)
        made = []
        for part, some in zip(super().parts(config, rows), rows, strict=True):
            values: dict[str, Any] = {each.name: getattr(part, each.name) for each in fields(part)}
            own = np.ascontiguousarray(boxes[some].swapaxes(1, 2))
            made.append(BoxedFrames(**values, boxes=own, kinds=self.kinds[some], objects=OBJECTS))
        return list(made)


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All 900 recordings (generated once, then cached) and their split by seed.

    Raises:
        RecipeError: a split other than `official`, or frames of equal counts.
    """
    if config.split != "official":
        raise RecipeError(unknown("split of moving-digits-dvs", config.split, ["official"]))
    if config.binning != "time":
        raise RecipeError(
            f"moving-digits-dvs knows the boxes at the ends of frames of equal time, got binning {config.binning!r}: use 'time'"
        )
    return make_pool(COUNTS, keep=config.cache)


def make_pool(counts: dict[str, int], *, keep: bool = True) -> tuple[BoxPool, Split]:
    """The first `counts[part]` recordings of each part."""
    key = {
        "version": VERSION,
        "counts": counts,
        "seeds": SEEDS,
        "samples": SAMPLES,
        "sensor": SENSOR.model_dump(),
        "scene": [SIZE, STEPS, STEP, CONTRAST, HEIGHTS, TRAVEL, MOST, TRIES, OVERLAP],
    }

    def build() -> Arrays:
        made = [each for part, count in counts.items() for each in generate(part, count)]
        arrays = pack(recording for recording, _, _ in made)
        arrays |= {"boxes": np.stack([boxes for _, boxes, _ in made])}
        arrays |= {"kinds": np.stack([kinds for _, _, kinds in made])}
        return arrays | {"digest": np.array(digest_arrays(arrays))}

    arrays = cached("moving-digits-dvs/events", key, build, keep=keep)
    packed, content = Packed(arrays, SIZE, SIZE), str(arrays["digest"])
    names = [f"{part}/{i:05d}" for part, count in counts.items() for i in range(count)]
    pool = BoxPool(
        names,
        packed.labels,
        CLASSES,
        (SIZE, SIZE),
        packed,
        content,
        SPAN,
        boxes=arrays["boxes"],
        kinds=arrays["kinds"],
        content=content,
    )
    bounds = np.cumsum([0, *counts.values()])
    return pool, Split(*(np.arange(first, last) for first, last in itertools.pairwise(bounds)))
