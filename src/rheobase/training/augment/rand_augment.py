"""RandAugment on still images: a few changes, drawn uniformly from a list, of a strength that is a number from 0 to 10.

    strength s = clip(N(magnitude, deviation), 0, 10) / 10; signs are drawn; each change happens with probability `share`

    geometry   rotate 30 s degrees | shear in x or y by .3 s | translate in x or y by .45 s of the side; black moves in
    intensity  auto-contrast | equalise | invert | posterise to 4 - 4 s bits | solarise above 256 (1 - s) |
               add 110 s to pixels below 128 | colour, contrast, brightness, sharpness times 1 +- .9 s

Pillow does the changes. Images have one or three channels; colour needs three.

Source: Cubuk et al., "RandAugment", arXiv 1909.13719; strengths grow with s, as in the recipes of spiking transformers.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from pydantic import Field

from rheobase.config import Config
from rheobase.errors import RecipeError

Change = Callable[[Image.Image, float, float], Image.Image]
"""Of an image, by a strength in [0, 1] and a sign."""


class RandAugment(Config):
    """How many changes an image takes (0: none at all), and how strong they are."""

    changes: int = Field(default=0, ge=0)
    magnitude: float = Field(default=9.0, ge=0, le=10)
    deviation: float = Field(default=0.5, ge=0)
    share: float = Field(default=0.5, gt=0, le=1)


def rand_augmented(
    frames: NDArray[np.uint8], seeds: NDArray[np.int64], config: RandAugment
) -> NDArray[np.uint8]:
    """Each sample's image changed as its seed says.

    Shape: frames `[n, 1, C, H, W]`, C 1 or 3; seeds int64 `[n]`.
    Raises:
        RecipeError: the frames are no still images of one or three channels.
    """
    _, T, C, _, _ = frames.shape
    if T != 1 or C not in (1, 3) or frames.dtype != np.uint8:
        raise RecipeError(
            f"augment.rand changes still images of 1 or 3 channels, and these frames have {T} steps of {C} channels "
            f"({frames.dtype}); use augment.policy for events"
        )
    changed = np.empty_like(frames)
    for target, source, seed in zip(changed, frames, seeds.tolist(), strict=True):
        image = Image.fromarray(source[0, 0] if C == 1 else source[0].transpose(1, 2, 0))
        pixels = np.asarray(_changed(image, np.random.default_rng(seed), config))
        target[0] = pixels[None] if C == 1 else pixels.transpose(2, 0, 1)
    return changed


def _changed(image: Image.Image, rng: np.random.Generator, config: RandAugment) -> Image.Image:
    known = list(CHANGES) if image.mode == "RGB" else [name for name in CHANGES if name != "colour"]
    for name in rng.choice(known, config.changes):
        strength = float(np.clip(rng.normal(config.magnitude, config.deviation), 0, 10)) / 10
        sign = 1.0 if rng.random() < 0.5 else -1.0
        if rng.random() < config.share:
            image = CHANGES[name](image, strength, sign)
    return image


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _translate(image: Image.Image, x: float, y: float) -> Image.Image:
    return _affine(image, (1, 0, x * image.width, 0, 1, y * image.height))


def _solarise_add(image: Image.Image, strength: float, sign: float) -> Image.Image:
    add = round(110 * strength)
    table = [min(255, value + add) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def _enhance(
    kind: Callable[[Image.Image], ImageEnhance._Enhance], image: Image.Image, strength: float, sign: float
) -> Image.Image:
    return kind(image).enhance(1 + 0.9 * strength * sign)


CHANGES: dict[str, Change] = {
    "auto-contrast": lambda image, s, sign: ImageOps.autocontrast(image),
    "equalise": lambda image, s, sign: ImageOps.equalize(image),
    "invert": lambda image, s, sign: ImageOps.invert(image),
    "rotate": lambda image, s, sign: image.rotate(30 * s * sign, Image.Resampling.BILINEAR),
    "posterise": lambda image, s, sign: ImageOps.posterize(image, max(1, round(4 - 4 * s))),
    "solarise": lambda image, s, sign: ImageOps.solarize(image, round(256 * (1 - s))),
    "solarise-add": _solarise_add,
    "colour": partial(_enhance, ImageEnhance.Color),
    "contrast": partial(_enhance, ImageEnhance.Contrast),
    "brightness": partial(_enhance, ImageEnhance.Brightness),
    "sharpness": partial(_enhance, ImageEnhance.Sharpness),
    "shear x": lambda image, s, sign: _affine(image, (1, 0.3 * s * sign, 0, 0, 1, 0)),
    "shear y": lambda image, s, sign: _affine(image, (1, 0, 0, 0.3 * s * sign, 1, 0)),
    "translate x": lambda image, s, sign: _translate(image, 0.45 * s * sign, 0),
    "translate y": lambda image, s, sign: _translate(image, 0, 0.45 * s * sign),
}
