"""Changes of the image: where its pixels go, in all frames and channels of a sample alike.

    shift:   out[..., y + dy, x + dx] = in[..., y, x], zeros moving in
    roll:    the same, with coordinates modulo H and W
    turn:    out[c + A (p - c)] = in[p] about the centre c, A = [[1, tan s], [0, 1]] R(r) on (x, y), R(r) the rotation by r
             (clockwise on the screen, y points down), s the shear; each pixel of the result takes its nearest one, or zero
    cutout:  zeros in a square about a centre, cut off at the border

Source: of cutout, DeVries and Taylor, arXiv 1708.04552.
"""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def shifted(frames: Frames, moves: NDArray[np.int64]) -> Frames:
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


def roll(frames: Frames, moves: NDArray[np.int64]) -> None:
    """Each sample's frames moved by its `(dy, dx)`, in place; what leaves on one side comes in on the other.

    Shape: frames `[n, T, C, H, W]`, moves `[n, 2]`.
    """
    for sample, (dy, dx) in zip(frames, moves.tolist(), strict=True):
        if dy or dx:
            sample[:] = np.roll(sample, (dy, dx), axis=(-2, -1))


def turn(frames: Frames, turns: NDArray[np.float64]) -> None:
    """Each sample's frames rotated, then sheared along x, in place, by its `(rotation, shear)` in radians.

    Shape: frames `[n, T, C, H, W]`, turns `[n, 2]`.
    """
    height, width = frames.shape[-2:]
    y, x = np.mgrid[:height, :width].reshape(2, -1) - [[(height - 1) / 2], [(width - 1) / 2]]
    for sample, (rotation, shear) in zip(frames, turns.tolist(), strict=True):
        if not (rotation or shear):
            continue
        slanted = x - np.tan(shear) * y
        column = np.cos(rotation) * slanted + np.sin(rotation) * y + (width - 1) / 2
        row = -np.sin(rotation) * slanted + np.cos(rotation) * y + (height - 1) / 2
        column, row = np.rint(column).astype(np.int64), np.rint(row).astype(np.int64)
        seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixels = sample.reshape(-1, height * width)[:, np.where(seen, row * width + column, 0)]
        sample[:] = (pixels * seen).reshape(sample.shape)


def cut_out(frames: Frames, centres: NDArray[np.float64], holes: NDArray[np.int64]) -> None:
    """Zeros, in place, in a square about each sample's centre.

    Shape: frames `[n, T, C, H, W]`, centres `[n, 2]` in parts of (H, W), holes `[n]`: the sides in pixels.
    """
    height, width = frames.shape[-2:]
    corners = (centres * (height, width)).astype(np.int64) - holes[:, None] // 2
    for sample, (y, x), hole in zip(frames, corners.tolist(), holes.tolist(), strict=True):
        sample[..., max(y, 0) : max(y + hole, 0), max(x, 0) : max(x + hole, 0)] = 0


def _spans(move: int, size: int) -> tuple[slice, slice]:
    """Where the kept pixels go and where they come from, along one axis."""
    kept = max(size - abs(move), 0)
    ahead, behind = slice(max(move, 0), max(move, 0) + kept), slice(max(-move, 0), max(-move, 0) + kept)
    return ahead, behind
