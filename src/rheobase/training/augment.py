"""Changes of training frames: all T frames of a sample change together, by draws that (seed, epoch) decides.

In the order in which they are applied:

    shift:   out[..., y + dy, x + dx] = in[..., y, x], (dy, dx) uniform in -s..s, zeros moving in
             (a random crop of the image padded by s)
    flip:    out[..., y, x] = in[..., y, W - 1 - x] with probability 1/2
    cutout:  zeros in a square of side c about a centre that is uniform over the pixels, cut off at the border

Source: of cutout, DeVries and Taylor, arXiv 1708.04552.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.training.recipe import AugmentConfig


@dataclass(frozen=True, eq=False)
class Draws:
    """What chance decided for each of n samples; None where it is not asked.

    Shape: moves int [n, 2] as (dy, dx); flips bool [n]; centres float [n, 2] in [0, 1), in parts of (H, W).
    """

    moves: NDArray[np.int64] | None = None
    flips: NDArray[np.bool_] | None = None
    centres: NDArray[np.float64] | None = None
    hole: int = 0

    def of(self, rows: NDArray[np.int64]) -> "Draws":
        """Those of some of the samples."""
        return Draws(
            moves=None if self.moves is None else self.moves[rows],
            flips=None if self.flips is None else self.flips[rows],
            centres=None if self.centres is None else self.centres[rows],
            hole=self.hole,
        )


def draw(config: AugmentConfig, count: int, rng: np.random.Generator) -> Draws:
    """Draws for `count` samples; what a configuration does not ask for takes nothing from the stream."""
    s = config.shift
    return Draws(
        moves=rng.integers(-s, s, size=(count, 2), endpoint=True) if s else None,
        flips=rng.random(count) < 0.5 if config.flip else None,
        centres=rng.random((count, 2)) if config.cutout else None,
        hole=config.cutout,
    )


def augmented(frames: NDArray[np.uint8], draws: Draws) -> NDArray[np.uint8]:
    """Frames changed as drawn; those given may be changed in place.

    Shape: frames `[n, T, C, H, W]`.
    """
    if draws.moves is not None:
        frames = shifted(frames, draws.moves)
    if draws.flips is not None:
        frames[draws.flips] = frames[draws.flips, ..., ::-1]
    if draws.centres is not None:
        cut_out(frames, draws.centres, draws.hole)
    return frames


def shifted(frames: NDArray[np.uint8], moves: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each sample's frames moved by its `(dy, dx)`, zeros moving in.

    Shape: frames `[n, T, C, H, W]`, moves `[n, 2]`.
    """
    height, width = frames.shape[-2:]
    moved = np.zeros_like(frames)
    for target, source, (dy, dx) in zip(moved, frames, moves.tolist(), strict=True):
        to_y, from_y = _spans(dy, height)
        to_x, from_x = _spans(dx, width)
        target[..., to_y, to_x] = source[..., from_y, from_x]
    return moved


def cut_out(frames: NDArray[np.uint8], centres: NDArray[np.float64], hole: int) -> None:
    """Zeros, in place, in a square of side `hole` about each sample's centre.

    Shape: frames `[n, T, C, H, W]`, centres `[n, 2]`.
    """
    height, width = frames.shape[-2:]
    pixels = (centres * (height, width)).astype(np.int64) - hole // 2
    for sample, (y, x) in zip(frames, pixels.tolist(), strict=True):
        sample[..., max(y, 0) : max(y + hole, 0), max(x, 0) : max(x + hole, 0)] = 0


def _spans(move: int, size: int) -> tuple[slice, slice]:
    """Where the kept pixels go and where they come from, along one axis."""
    kept = max(size - abs(move), 0)
    ahead, behind = slice(max(move, 0), max(move, 0) + kept), slice(max(-move, 0), max(-move, 0) + kept)
    return ahead, behind
