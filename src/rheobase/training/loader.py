"""Batches from frames held in memory: uint8 `[N, T, C, H, W]` in, float32 `[T, N, C, H, W]` out.

Shuffling and augmentation depend on (seed, epoch) alone, so that a resumed run sees the batches it would have
seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


class Samples(Protocol):
    """What training and evaluation read; a `FrameSet` is one.

    Shape:
        frames uint8 `[N, T, C, H, W]`, labels int64 `[N]`
    """

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Counts of events."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row of `frames`."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ArrayFrames:
    """Frames and labels that come from anywhere, to train or evaluate on.

    Shape:
        frames uint8 `[N, T, C, H, W]`, labels int64 `[N]`
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def batches(
    data: Samples, batch_size: int, *, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order, the last one as small as it comes: for validation and evaluation.

    Shape:
        frames float32 `[T, N, C, H, W]`, labels int64 `[N]`
    """
    for start in range(0, len(data), batch_size):
        yield _batch(data, np.arange(start, min(start + batch_size, len(data))), device)


def shuffled_batches(
    data: Samples,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    shift: int = 0,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one training epoch in the order that (seed, epoch) decides.

    With `shift = s` all frames of a recording move together by `(dy, dx)`, each uniform in `-s..s`, zeros
    moving in. Of several processes each takes every `world_size`-th sample of a batch of `batch_size`.

    Shape:
        frames float32 `[T, N, C, H, W]`, labels int64 `[N]`
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(data))
    for step in range(steps_per_epoch(len(data), batch_size, world_size)):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        moves = rng.integers(-shift, shift, size=(len(chosen), 2), endpoint=True) if shift else None
        mine = slice(rank, None, world_size)
        yield _batch(data, chosen[mine], device, None if moves is None else moves[mine])


def steps_per_epoch(samples: int, batch_size: int, world_size: int = 1) -> int:
    """Number of training batches: a last partial one counts unless it has fewer than two samples a process.

    Batch-norm has no statistics of a single sample.

    >>> steps_per_epoch(10, 4), steps_per_epoch(9, 4), steps_per_epoch(1, 4)
    (3, 2, 1)
    """
    whole, rest = divmod(samples, batch_size)
    return whole + int(rest >= 2 * world_size or (rest > 0 and whole == 0))


def as_input(frames: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Frames as a model takes them.

    Shape:
        uint8 `[N, T, C, H, W]` -> float32 `[T, N, C, H, W]`, contiguous
    """
    tensor = torch.from_numpy(frames).to(device)  # bytes travel, floats are made where they are used
    return tensor.transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format)


def _batch(
    data: Samples, indices: Indices, device: torch.device | str, moves: NDArray[Any] | None = None
) -> tuple[Tensor, Tensor]:
    frames = np.ascontiguousarray(data.frames[indices])
    if moves is not None:
        frames = shifted(frames, moves)
    return as_input(frames, device), torch.from_numpy(data.labels[indices]).to(device)


def shifted(frames: NDArray[np.uint8], moves: NDArray[Any]) -> NDArray[np.uint8]:
    """Each recording's frames moved by its `(dy, dx)`, zeros moving in.

        out[..., y + dy, x + dx] = in[..., y, x]

    Shape:
        frames `[N, T, C, H, W]`, moves `[N, 2]`
    """
    height, width = frames.shape[-2:]
    moved = np.zeros_like(frames)
    for target, source, (dy, dx) in zip(moved, frames, moves.tolist(), strict=True):
        to_y, from_y = _spans(dy, height)
        to_x, from_x = _spans(dx, width)
        target[..., to_y, to_x] = source[..., from_y, from_x]
    return moved


def _spans(move: int, size: int) -> tuple[slice, slice]:
    """Where the kept pixels go and where they come from, along one axis."""
    kept = max(size - abs(move), 0)
    ahead, behind = slice(max(move, 0), max(move, 0) + kept), slice(max(-move, 0), max(-move, 0) + kept)
    return ahead, behind
