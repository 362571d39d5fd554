"""An image before a camera that moves, as log-intensity frames for `simulate`.

N-MNIST was recorded in three saccades: the camera turns along the sides of a triangle, a tenth of a second each, and
returns to where it began. CIFAR10-DVS was recorded in closed loops: the image moves smoothly along the sides of a
diamond, again and again.

Sources: Orchard et al., Frontiers in Neuroscience 9:437, 2015, section 2; Li et al., "CIFAR10-DVS: An Event-Stream
Dataset for Object Classification", Frontiers in Neuroscience 11:309, 2017.
"""

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError

CORNERS = np.array([(-0.5, -0.5), (0.5, 0.0), (-0.5, 0.5), (-0.5, -0.5)])
"""The path of the image in units of the amplitude, as (y, x): an isosceles triangle."""
LOOP = np.array([(0.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)])
"""Likewise: a diamond."""


def saccade_path(steps: int, amplitude: float) -> NDArray[np.float64]:
    """Where the image is at each of `steps` instants, the three sides taking equal time.

    Shape: [steps, 2], rows (y, x) in pixels.

    Raises:
        DataError: fewer than four instants, which cannot show three sides.
    """
    if steps < 4:
        raise DataError(f"three saccades need at least 4 instants; got {steps}")
    at = np.linspace(0, 3, steps)
    return np.stack([np.interp(at, np.arange(4), CORNERS[:, axis]) for axis in (0, 1)], axis=1) * amplitude


def loop_path(steps: int, amplitude: float, loops: int = 1) -> NDArray[np.float64]:
    """Where an image is that moves along a diamond, at `steps` instants of `loops` rounds; all sides take equal time.

    It begins and ends at the centre's left, `amplitude` pixels from it, and passes above, right of and below it.

    Shape: [steps, 2], rows (y, x) in pixels.

    Raises:
        DataError: fewer than five instants a round, which cannot show four sides.
    """
    if steps < 4 * loops + 1 or loops < 1:
        raise DataError(f"{loops} rounds of four sides need at least {4 * loops + 1} instants; got {steps}")
    at = np.linspace(0, 4 * loops, steps) % 4
    return np.stack([np.interp(at, np.arange(5), LOOP[:, axis]) for axis in (0, 1)], axis=1) * amplitude


def saccade_frames(
    image: NDArray[np.floating],
    size: int,
    *,
    steps: int = 49,
    amplitude: float = 3.0,
    zoom: float = 1.0,
    contrast: float = 1.0,
) -> NDArray[np.float32]:
    """The image, enlarged by `zoom` and moved along the saccades: `L = contrast * image(position)`.

    `image` is a log intensity relative to the background, which is 0; between pixels it is bilinear.

    Shape: image: [h, w]; the result: [steps, size, size].

    Raises:
        DataError: the image is not two-dimensional, or too few steps.
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or zoom <= 0:
        raise DataError(
            f"an image [h, w] and a zoom above 0 are needed; got shape {image.shape}, zoom {zoom}"
        )
    path = saccade_path(steps, amplitude)
    return (contrast * moved_frames(image[None], size, path, zoom)[0]).astype(np.float32)


def moved_frames(
    images: NDArray[np.floating], size: int, path: NDArray[np.floating], zoom: float
) -> NDArray[np.floating]:
    """Images enlarged by `zoom` and moved along a path, on `size` x `size` pixels; bilinear, 0 beyond their borders.

    Shape: images [B, h, w], path [steps, 2] as (y, x) in pixels of the view; the result [B, steps, size, size].
    """
    height, width = images.shape[1:]
    grid = np.arange(size) - (size - 1) / 2
    y = (grid[None, :] - path[:, :1]) / zoom + (height - 1) / 2  # [steps, size]
    x = (grid[None, :] - path[:, 1:]) / zoom + (width - 1) / 2
    rows = np.maximum(0, 1 - np.abs(y[:, :, None] - np.arange(height)))  # [steps, size, h]
    columns = np.maximum(0, 1 - np.abs(x[:, None, :] - np.arange(width)[:, None]))  # [steps, w, size]
    return rows.astype(images.dtype) @ images[:, None] @ columns.astype(images.dtype)
