"""An image before a camera that makes saccades, as log-intensity frames for `simulate`.

N-MNIST was recorded so: the camera turns along the three sides of a triangle, a tenth of a second each, and
returns to where it began. Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015, section 2.
"""

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError

CORNERS = np.array([(-0.5, -0.5), (0.5, 0.0), (-0.5, 0.5), (-0.5, -0.5)])
"""The path of the image in units of the amplitude, as (y, x): an isosceles triangle."""


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
    grid = np.arange(size) - (size - 1) / 2
    y = (grid[None, :] - path[:, :1]) / zoom + (image.shape[0] - 1) / 2  # [steps, size]
    x = (grid[None, :] - path[:, 1:]) / zoom + (image.shape[1] - 1) / 2
    rows = np.maximum(0, 1 - np.abs(y[:, :, None] - np.arange(image.shape[0])))  # [steps, size, h]
    columns = np.maximum(
        0, 1 - np.abs(x[:, None, :] - np.arange(image.shape[1])[:, None])
    )  # [steps, w, size]
    return (contrast * (rows @ image @ columns)).astype(np.float32)
