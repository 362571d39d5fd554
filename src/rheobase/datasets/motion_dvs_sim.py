"""motion-dvs-sim: simulated event data whose class is a motion, not a shape.

A textured shape of random sign moves before the camera in one of eleven ways; a single frame does not tell
which. The log-intensity image is `mask * (0.35 s + 0.8 texture)` on 64x64 pixels, `s` = +-1 at random, seen
on 32x32 pixels at 64 instants. Its distribution is symmetric under negation, so polarity alone does not give
a direction away, and each direction is the exact time reversal of its opposite. Everything a recording needs
comes from a generator seeded with `[seed, index]`, so the first `n` recordings are the same however many are
made.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from rheobase.datasets.binned import EventPool
from rheobase.datasets.cache import Arrays, cached, digest_arrays
from rheobase.datasets.config import DataConfig
from rheobase.datasets.packed import Packed, pack
from rheobase.datasets.split import Split
from rheobase.errors import RecipeError, unknown
from rheobase.events import Recording, Sensor, simulate_batch

CLASSES = (
    *("left", "right", "up", "down", "clockwise", "counter-clockwise", "approach", "recede"),
    *("wave", "zigzag", "still"),
)
REVERSED = {"left": "right", "up": "down", "counter-clockwise": "clockwise", "recede": "approach"}
"""Each of these is its partner played backwards."""

VERSION = 2
"""Raised when the scenes or motions change, so that what was cached before is not used."""
SCENE, VIEW, STEPS = 64, 32, 64
STEP = 5000
"""Microseconds between two instants."""
SENSOR = Sensor(threshold=0.18, mismatch=0.03, minimum=0.05, refractory=0.0, noise_rate=0.001, settled=True)
SEEDS = {"train": 1, "validation": 2, "test": 3}
COUNTS = {"train": 2000, "validation": 500, "test": 1000}
SPAN = (0, (STEPS - 1) * STEP)
"""The ticks that a recording lies in: frames of equal time divide these."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Scene:
    """What chance decides before anything moves; angles in radians.

    `distance` is in pixels of the view. `offset`, in pixels of the image, is the point that the view is centred
    on and that turning and zooming are about, so a shape off that point also swings round it.
    """

    image: Floats
    scale: float
    angle: float
    offset: tuple[float, float]
    distance: float
    amplitude: float
    vertical: float


def generate(seed: int, count: int, *, batch: int = 50) -> Iterator[Recording]:
    """The first `count` recordings of a seed; recording `i` has the class `i % 11`: prefixes are balanced."""
    for first in range(0, count, batch):
        indices = range(first, min(first + batch, count))
        rngs = [np.random.default_rng([seed, index]) for index in indices]
        labels = [index % len(CLASSES) for index in indices]
        frames = np.stack(
            [render(CLASSES[label], draw_scene(rng)) for label, rng in zip(labels, rngs, strict=True)]
        )
        yield from simulate_batch(frames, SENSOR, rngs, step=STEP, labels=labels)


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random textured shape, its pose and the size of its motion."""
    texture = gaussian_filter(rng.standard_normal((SCENE, SCENE)), rng.uniform(1.5, 3.0), mode="wrap")
    texture /= np.abs(texture).max()
    radius, shape, sign = rng.uniform(14, 20), rng.integers(3), rng.choice((-1.0, 1.0))
    y, x = np.abs(np.mgrid[:SCENE, :SCENE] - (SCENE - 1) / 2)
    inside = (x * x + y * y <= radius * radius, np.maximum(x, y) <= radius, x + y <= radius)[shape]
    mask = gaussian_filter(inside.astype(np.float64), 1.0)
    amplitude = rng.uniform(0.7, 1.3)
    return Scene(
        image=mask * (0.35 * sign + 0.8 * texture),
        scale=rng.uniform(0.45, 0.65),
        angle=rng.uniform(0, 2 * np.pi),
        offset=(rng.uniform(-3, 3), rng.uniform(-3, 3)),
        distance=rng.uniform(7, 11) * amplitude,
        amplitude=amplitude,
        vertical=rng.choice((-1.0, 1.0)),
    )


def render(motion: str, scene: Scene) -> NDArray[np.float32]:
    """The log intensities a motion shows the camera.

    Shape: [64, 32, 32].
    """
    if motion in REVERSED:
        return np.ascontiguousarray(render(REVERSED[motion], scene)[::-1])
    u = np.linspace(0, 1, STEPS)
    zero = np.zeros(STEPS)
    dx, dy, turn, zoom, contrast = zero, zero, zero, zero + 1, zero + 1
    swing = 0.35 * scene.distance * np.sin(4 * np.pi * u)  # two periods
    if motion == "right":
        dx = scene.distance * (u - 0.5)
    elif motion == "down":
        dy = scene.distance * (u - 0.5)
    elif motion == "clockwise":
        turn = 2.2 * scene.amplitude * u
    elif motion == "approach":
        zoom = 0.75 + 0.6 * scene.amplitude * u
    elif motion == "wave":
        dx = swing
    elif motion == "zigzag":
        dx, dy = swing, scene.vertical * scene.distance * (u - 0.5)
    else:
        contrast = 1 + 0.35 * np.sin(6 * np.pi * u)  # still: three periods
    return _view(scene, dx, dy, turn, zoom, contrast)


def _view(
    scene: Scene, dx: Floats, dy: Floats, turn: Floats, zoom: Floats, contrast: Floats
) -> NDArray[np.float32]:
    """The image turned clockwise and zoomed about its offset, moved by `(dx, dy)`, at the pixels of the view (bilinear)."""
    shape = (STEPS, VIEW, VIEW)
    grid = np.arange(VIEW) - (VIEW - 1) / 2
    x = grid[None, None, :] - dx[:, None, None]
    y = grid[None, :, None] - dy[:, None, None]
    angle = (scene.angle + turn)[:, None, None]
    size = (scene.scale * zoom)[:, None, None]
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    column, row = ((SCENE - 1) / 2 + offset for offset in scene.offset)
    rows = np.broadcast_to(cosine * y - sine * x + row, shape)  # y points down: this turns clockwise
    columns = np.broadcast_to(cosine * x + sine * y + column, shape)
    seen = map_coordinates(scene.image, np.stack([rows, columns]), order=1, mode="constant")
    return (seen * contrast[:, None, None]).astype(np.float32)


def load(config: DataConfig) -> tuple[EventPool, Split]:
    """All 3,500 recordings (generated once, then cached) and their split by seed.

    Raises:
        RecipeError: a split other than `official`.
    """
    if config.split != "official":
        raise RecipeError(unknown("split of motion-dvs-sim", config.split, ["official"]))
    return make_pool(COUNTS, keep=config.cache)


def make_pool(counts: dict[str, int], *, keep: bool = True) -> tuple[EventPool, Split]:
    """The first `counts[part]` recordings of each part."""
    key = {"motion": VERSION, "counts": counts, "seeds": SEEDS, "sensor": SENSOR.model_dump(), "step": STEP}

    def build() -> Arrays:
        made = pack(recording for part, seed in SEEDS.items() for recording in generate(seed, counts[part]))
        return made | {"digest": np.array(digest_arrays(made))}

    arrays = cached("motion-dvs-sim/events", key, build, keep=keep)
    packed = Packed(arrays, VIEW, VIEW)
    content = str(arrays["digest"])
    names = [f"{part}/{i:05d}" for part in SEEDS for i in range(counts[part])]
    pool = EventPool(
        names, packed.labels, CLASSES, (VIEW, VIEW), packed, raw=content, content=content, span=SPAN
    )
    bounds = np.cumsum([0, *(counts[part] for part in SEEDS)])
    return pool, Split(*(np.arange(first, last) for first, last in itertools.pairwise(bounds)))
