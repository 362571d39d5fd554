"""Batches from frames held in memory: bytes `[N, T, C, H, W]` in, float32 `[T, N, C, H, W]` out.

Bytes are uint8, or int8 where counts have a sign. Labels are `[N]`, or by step `[N, T]` with -1 where a step has none.

Shuffling and augmentation depend on (seed, epoch) alone, so that a resumed run sees the batches it would have
seen. Frames that only repeat along time (a still image: stride 0) are gathered, augmented, sent and made floats
once, and reach the model as `layers.repeat` of one image.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rheobase.errors import RecipeError
from rheobase.layers import repeat
from rheobase.training.augment import (
    AugmentConfig,
    Draws,
    Mix,
    augmented,
    draw,
    draw_mix,
    mixed,
    mixed_labels,
)

Indices = NDArray[np.int64]


class Samples(Protocol):
    """What training and evaluation read; a `FrameSet` is one.

    Shape:
        frames uint8 or int8 `[N, T, C, H, W]`, labels int64 `[N]` or `[N, T]`
    """

    @property
    def frames(self) -> NDArray[Any]:
        """Counts of events, or spikes of either sign."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row of `frames`, or of each of its steps."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ArrayFrames:
    """Frames and labels that come from anywhere, to train or evaluate on.

    Shape:
        frames uint8 or int8 `[N, T, C, H, W]`, labels int64 `[N]` or `[N, T]`
    """

    frames: NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Part:
    """What one process takes of one micro-batch of a step.

    `indices` are rows of the data, `draws` how each is augmented, `blend` what is mixed into it;
    `mine` where they stand among the `size` rows that all
    processes take, and `of` the rows of the whole step.
    """

    indices: Indices
    draws: Draws
    mine: slice
    size: int
    of: int
    blend: "Blend | None" = None


@dataclass(frozen=True, eq=False)
class Blend:
    """The rows of the data that are mixed into others, how each is augmented before, and the mixture."""

    indices: Indices
    draws: Draws
    mix: Mix


def batches(
    data: Samples, batch_size: int, *, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order, the last one as small as it comes: for validation and evaluation.

    Shape:
        frames float32 `[T, N, C, H, W]`, labels int64 `[N]` or `[N, T]`
    """
    for start in range(0, len(data), batch_size):
        rows = np.arange(start, min(start + batch_size, len(data)))
        yield as_input(gathered(data, rows), device), torch.from_numpy(data.labels[rows]).to(device)


def shuffled_batches(
    data: Samples,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    augment: AugmentConfig | None = None,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one training epoch in the order that (seed, epoch) decides.

    Of several processes each takes every `world_size`-th sample of a batch of `batch_size`.

    Shape:
        frames float32 `[T, N, C, H, W]`, labels int64 `[N]` or `[N, T]`
    """
    steps = plan(
        len(data), batch_size, seed=seed, epoch=epoch, augment=augment, rank=rank, world_size=world_size
    )
    for (part,) in steps:
        frames, labels = part_of(data, part)
        yield as_input(frames, device), labels.to(device)


def plan(
    samples: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    augment: AugmentConfig | None = None,
    accumulate: int = 1,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[list[Part]]:
    """The steps of an epoch, each as the micro-batches that process `rank` takes part in.

    A step's samples, in the order that (seed, epoch) decides, are cut into micro-batches of nearly equal
    length, of which each process takes every `world_size`-th sample; in the last step that may be none.
    """
    augment = augment or AugmentConfig()
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(samples)
    for step in range(steps_per_epoch(samples, batch_size)):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        draws = draw(augment, len(chosen), rng)
        mix = draw_mix(augment, len(chosen), rng)
        count = math.ceil(len(chosen) * accumulate / batch_size)
        parts = []
        for rows in np.array_split(np.arange(len(chosen)), count):
            own = rows[rank::world_size]
            mine = slice(rank, None, world_size)
            blend = None
            if mix is not None:
                partners = mix.partners[own]
                blend = Blend(chosen[partners], draws.of(partners), mix.of(own))
            parts.append(Part(chosen[own], draws.of(own), mine, len(rows), len(chosen), blend))
        yield parts


def prefetched(
    data: Samples, steps: Iterator[list[Part]], *, workers: int = 1, device: torch.device | str = "cpu"
) -> Iterator[list[tuple[Tensor, Tensor, Part]]]:
    """Frames and labels of each step's micro-batches, gathered ahead of time by `workers` threads.

    The order is that of `steps`, whatever the number of threads, each of which is one step ahead. Frames
    stay bytes until they are on the device, and travel from pinned memory to a CUDA one.

    Shape:
        frames float32 `[T, n, C, H, W]`, labels int64 `[n]` or `[n, T]`
    """
    pin = torch.device(device).type == "cuda"

    def gather(parts: list[Part]) -> list[tuple[Tensor, Tensor]]:
        found = [part_of(data, part) for part in parts]
        return [(_once(torch.Tensor.pin_memory, x), y.pin_memory()) for x, y in found] if pin else found

    def ready(parts: list[Part], found: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor, Part]]:
        return [
            (as_input(frames, device), labels.to(device, non_blocking=pin), part)
            for part, (frames, labels) in zip(parts, found, strict=True)
        ]

    if not workers:
        for parts in steps:
            yield ready(parts, gather(parts))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rheobase-loader")
    ahead: deque[tuple[list[Part], Future[list[tuple[Tensor, Tensor]]]]] = deque()
    try:
        for parts in steps:
            ahead.append((parts, pool.submit(gather, parts)))
            if len(ahead) > workers:
                earlier, future = ahead.popleft()
                yield ready(earlier, future.result())
        while ahead:
            earlier, future = ahead.popleft()
            yield ready(earlier, future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches in an epoch: a last batch of one sample is left out, unless it is the only one.

    Batch-norm finds no variance in a single sample of a single pixel.

    >>> steps_per_epoch(10, 4), steps_per_epoch(9, 4), steps_per_epoch(1, 4)
    (3, 2, 1)
    """
    whole, rest = divmod(samples, batch_size)
    return whole + int(rest >= 2 or (rest > 0 and whole == 0))


def as_input(frames: Tensor | NDArray[Any], device: torch.device | str = "cpu") -> Tensor:
    """Frames as a model takes them: bytes travel, floats are made where they are used.

    Frames that only repeat along time do so in the result too (`layers.repeat`).

    Shape:
        bytes `[N, T, C, H, W]` -> float32 `[T, N, C, H, W]`, contiguous where it does not repeat
    """
    tensor = torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames
    T = tensor.shape[1]
    if _repeats(tensor):
        tensor = tensor[:, :1]
    tensor = tensor.to(device, non_blocking=True)
    x = tensor.transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format)
    return x if len(x) == T else repeat(x[0], T)


def part_of(data: Samples, part: Part) -> tuple[Tensor, Tensor]:
    """Frames and labels of a part, augmented and mixed: NumPy's work alone, which any thread may do.

    Shape:
        uint8 `[n, T, C, H, W]`, int64 `[n]`
    """
    labels = data.labels[part.indices]
    if part.blend is not None:
        others = data.labels[part.blend.indices]
        height, width = data.frames.shape[-2:]
        labels = mixed_labels(labels, others, part.blend.mix, (height, width))
    return gathered(data, part.indices, part.draws, part.blend), torch.from_numpy(labels)


def gathered(
    data: Samples, indices: Indices, draws: Draws | None = None, blend: Blend | None = None
) -> Tensor:
    """Rows of the data, augmented as drawn, and mixed.

    Frames that only repeat along time do so in the result too.

    Shape:
        bytes `[n, T, C, H, W]`

    Raises:
        RecipeError: the draws are about events, and the frames are still images.
    """
    T = data.frames.shape[1]
    still = T > 1 and data.frames.strides[1] == 0
    source = data.frames[:, :1] if still else data.frames
    if still and draws is not None and draws.seeds is not None:
        raise RecipeError(
            "augment.drop and augment.time_jitter are about events, and the data has still images; leave them out"
        )
    frames = augmented(np.take(source, indices, axis=0), draws or Draws())
    if blend is not None:
        frames = mixed(frames, augmented(np.take(source, blend.indices, axis=0), blend.draws), blend.mix)
    tensor = torch.from_numpy(frames)
    return tensor.expand(-1, T, -1, -1, -1) if still else tensor


def _repeats(frames: Tensor) -> bool:
    """Whether frames `[N, T, ...]` are one in memory, seen T times."""
    return frames.shape[1] > 1 and frames.stride(1) == 0


def _once(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """`function` of the frames; of one step where they only repeat."""
    return function(frames[:, :1]).expand_as(frames) if _repeats(frames) else function(frames)
