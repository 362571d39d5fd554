"""Where saccadic attention looks: what `gaze.npz` holds, as a record, and its figures in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.numbers import percent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class GazeSample:
    """One sample and what each block looks at in it.

    Shape: frames `[T, C, H, W]`, or `[1, C, H, W]` of an image; looks, the share of heads that do, `[T, h, w]` a block.
    """

    label: str
    frames: Array
    looks: list[Array]


@dataclass(frozen=True, eq=False)
class Gaze:
    """Gates of B blocks over all test samples, and those of a few of them.

    `passing` `[B, T]` is the share of gates that open at each step, `lit` and `dark` `[B]` that where a patch holds something and
    where it is empty (NaN: none is), `mismatch` `[B]` the share that the decoupled rule decides otherwise.
    """

    blocks: list[str]
    passing: Array
    lit: Array
    dark: Array
    mismatch: Array
    samples: list[GazeSample]

    @property
    def events(self) -> bool:
        """Whether frames are of events, else of images."""
        return bool(self.samples) and self.samples[0].frames.shape[1] == 2

    def __post_init__(self) -> None:
        for sample in self.samples:
            steps = {len(looks) for looks in sample.looks} | {self.passing.shape[1]}
            if len(sample.looks) != len(self.blocks) or len(steps) > 1:
                raise DataError(
                    f"gaze: every sample needs {len(self.blocks)} blocks of {self.passing.shape[1]} steps, got "
                    f"{[list(looks.shape) for looks in sample.looks]}"
                )


def read_gaze(path: Path, classes: Sequence[str]) -> Gaze | None:
    """The record in a run folder's `gaze.npz`; None where there is no such file."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        found = dict(file)
    blocks = [str(name) for name in found["layers"]]
    return Gaze(
        blocks,
        found["passing"],
        found["lit"],
        found["dark"],
        found["mismatch"],
        [
            GazeSample(
                str(classes[int(label)]),
                found["frames"][s],
                [found[f"looks_{i}"][s] for i in range(len(blocks))],
            )
            for s, label in enumerate(found["labels"])
        ],
    )


def in_words(found: Gaze) -> str:
    """How many tokens pass, whether attention follows what is to be seen, and what the decoupled rule would change."""
    words = f"{percent(found.passing.mean())} of the gates open"
    if found.events:
        words += f": {percent(found.lit.mean())} of those at patches with events, {percent(found.dark.mean())} at empty ones"
    return f"{words}. The decoupled rule for inference would decide {percent(found.mismatch.mean())} of them otherwise."
