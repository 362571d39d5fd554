"""What chance decides about each sample of a step, and the frames changed so."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import RecipeError
from rheobase.training.augment.config import AugmentConfig
from rheobase.training.augment.counts import disturbed
from rheobase.training.augment.geometry import cut_out, roll, shifted, turn
from rheobase.training.augment.policies import choose
from rheobase.training.augment.rand_augment import RandAugment, rand_augmented
from rheobase.training.augment.sequence import (
    SequenceAugment,
    SequenceDraws,
    augmented_sequence,
    draw_sequence,
)

SCALARS = {"drop", "jitter", "rand"}


@dataclass(frozen=True, eq=False)
class Draws:
    """What chance decided for each of n samples; None where it is not asked.

    Shape: moves and rolls int [n, 2] as (dy, dx); turns float [n, 2] as (rotation, shear) in radians; flips and swaps
    (of polarity) bool [n]; centres float [n, 2] in [0, 1), in parts of (H, W); holes int [n], sides in pixels; areas
    float [n], of the image, instead of sides; seeds int [n], of what happens to events.
    """

    moves: NDArray[np.int64] | None = None
    rolls: NDArray[np.int64] | None = None
    turns: NDArray[np.float64] | None = None
    flips: NDArray[np.bool_] | None = None
    swaps: NDArray[np.bool_] | None = None
    centres: NDArray[np.float64] | None = None
    holes: NDArray[np.int64] | None = None
    areas: NDArray[np.float64] | None = None
    seeds: NDArray[np.int64] | None = None
    image_seeds: NDArray[np.int64] | None = None
    drop: float = 0.0
    jitter: float = 0.0
    rand: RandAugment | None = None
    sequence: SequenceDraws | None = None

    def of(self, rows: NDArray[np.int64]) -> "Draws":
        """Those of some of the samples."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "sequence"}
        return Draws(
            **{
                name: value if name in SCALARS or value is None else value[rows]
                for name, value in values.items()
            },
            sequence=None if self.sequence is None else self.sequence.of(rows),
        )


def draw(config: AugmentConfig, count: int, rng: np.random.Generator) -> Draws:
    """Draws for `count` samples; what a configuration does not ask for takes nothing from the stream."""

    def pixels(most: int) -> NDArray[np.int64] | None:
        return rng.integers(-most, most, size=(count, 2), endpoint=True) if most else None

    moves = pixels(config.shift)
    flips = rng.random(count) < 0.5 if config.flip else None
    centres = rng.random((count, 2)) if config.cutout else None
    holes = np.full(count, config.cutout) if config.cutout else None
    rolls, turns, areas = pixels(config.roll), None, None
    if config.rotate or config.shear:
        turns = rng.uniform(-1, 1, (count, 2)) * np.deg2rad([config.rotate, config.shear])
    swaps = rng.random(count) < config.polarity_flip if config.polarity_flip else None
    if config.policy is not None:
        chosen = choose(config.policy, count, rng)
        rolls = chosen.rolls if rolls is None else rolls
        turns = chosen.turns if turns is None else turns
        if config.policy == "wide":
            moves, areas, centres = chosen.moves, chosen.areas, rng.random((count, 2))
    seeds = rng.integers(1 << 62, size=count) if config.drop or config.time_jitter else None
    image_seeds = rng.integers(1 << 62, size=count) if config.rand.changes else None
    return Draws(
        moves,
        rolls,
        turns,
        flips,
        swaps,
        centres,
        holes,
        areas,
        seeds,
        image_seeds,
        config.drop,
        config.time_jitter,
        config.rand if config.rand.changes else None,
        sequence=None if config.sequence == SequenceAugment() else draw_sequence(config.sequence, count, rng),
    )


def augmented(frames: NDArray[Any], draws: Draws) -> NDArray[Any]:
    """Frames changed as drawn; those given may be changed in place.

    Shape: frames `[n, T, C, H, W]`.

    Raises:
        RecipeError: polarities are to be swapped, and the frames have not two channels; or `rand`, and they are no images.
    """
    if draws.image_seeds is not None and draws.rand is not None:
        frames = rand_augmented(frames, draws.image_seeds, draws.rand)
    if draws.moves is not None:
        frames = shifted(frames, draws.moves)
    if draws.rolls is not None:
        roll(frames, draws.rolls)
    if draws.turns is not None:
        turn(frames, draws.turns)
    if draws.flips is not None:
        frames[draws.flips] = frames[draws.flips, ..., ::-1]
    if draws.swaps is not None:
        if frames.shape[2] != 2:
            raise RecipeError(
                f"augment.polarity_flip swaps ON and OFF, and these frames have {frames.shape[2]} channels; "
                "leave it out"
            )
        frames[draws.swaps] = frames[draws.swaps, :, ::-1]
    if draws.centres is not None:
        cut_out(frames, draws.centres, _sides(draws, frames.shape[-2:]))
    if draws.seeds is not None:
        for sample, seed in zip(frames, draws.seeds, strict=True):
            sample[:] = disturbed(sample, np.random.default_rng(seed), drop=draws.drop, jitter=draws.jitter)
    return frames if draws.sequence is None else augmented_sequence(frames, draws.sequence)


def _sides(draws: Draws, size: tuple[int, ...]) -> NDArray[np.int64]:
    """Of the holes, in pixels: as given, or the roots of areas."""
    if draws.holes is not None:
        return draws.holes
    areas = np.zeros(0) if draws.areas is None else draws.areas
    return np.rint(np.sqrt(areas * size[0] * size[1])).astype(np.int64)
