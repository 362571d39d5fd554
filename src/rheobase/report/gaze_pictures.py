"""What each block of saccadic attention looks at, drawn over the frames."""

from dataclasses import dataclass

import numpy as np

from rheobase.evenly import evenly
from rheobase.report.gaze import Gaze
from rheobase.report.pixels import frame_pictures, veil

_BLOCKS, _STEPS = 3, 8  # of a sample that are drawn


@dataclass(frozen=True)
class Row:
    """What one block looks at, a picture to lay over the frame of each step."""

    block: str
    veils: list[str]


@dataclass(frozen=True)
class Pictures:
    """One sample: its frames, and the rows of some of the blocks."""

    label: str
    shape: tuple[int, int]
    steps: list[int]
    frames: list[str]
    rows: list[Row]


def pictures(found: Gaze) -> list[Pictures]:
    """At most three blocks and eight steps of each sample, the first and the last among them."""
    steps, blocks = evenly(found.passing.shape[1], _STEPS).tolist(), evenly(len(found.blocks), _BLOCKS)
    return [
        Pictures(
            label=sample.label,
            shape=(sample.frames.shape[3], sample.frames.shape[2]),
            steps=[step + 1 for step in steps],
            frames=frame_pictures(sample.frames[np.minimum(steps, len(sample.frames) - 1)]),
            rows=[Row(found.blocks[i], [veil(sample.looks[i][step]) for step in steps]) for i in blocks],
        )
        for sample in found.samples
    ]
