"""Policies: each sample takes exactly one change, drawn uniformly from a list.

    nda        roll +-5 px | rotate +-30 degrees | shear +-30 degrees
    nda_small  roll +-3 px | rotate +-15 degrees | shear +-15 degrees
    wide       nothing | shear +-0.3 rad | shift in x +-5 px | shift in y +-5 px | rotate +-30 degrees |
               cutout of a square of 0.1 to 11 % of the image

Sources: `nda`, `nda_small`, Li et al., "Neuromorphic Data Augmentation", ECCV 2022 (for CIFAR10-DVS and N-Caltech101);
`wide`, the recipes of transformers on CIFAR10-DVS (there "SNNAugmentWide"), which flip half of the samples besides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.training.augment.config import Policy

NDA = {"nda": (5, 30.0), "nda_small": (3, 15.0)}
"""Pixels and degrees."""
WIDE_SHIFT, WIDE_TURN, WIDE_SHEAR, WIDE_AREA = 5, 30.0, 0.3, (0.001, 0.11)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What a policy drew for each of n samples; a sample's other changes are none (0, or an area of 0).

    Shape: moves and rolls int [n, 2] as (dy, dx); turns float [n, 2] as (rotation, shear) in radians; areas float [n].
    """

    moves: NDArray[np.int64]
    rolls: NDArray[np.int64]
    turns: NDArray[np.float64]
    areas: NDArray[np.float64]


def choose(policy: Policy, count: int, rng: np.random.Generator) -> Chosen:
    """One change for each of `count` samples."""
    found = Chosen(
        np.zeros((count, 2), np.int64), np.zeros((count, 2), np.int64), np.zeros((count, 2)), np.zeros(count)
    )
    even = rng.uniform(-1, 1, count)
    if policy == "wide":
        kind = rng.integers(6, size=count)
        pixels = rng.integers(-WIDE_SHIFT, WIDE_SHIFT, size=count, endpoint=True)
        found.turns[:, 1] = np.where(kind == 1, WIDE_SHEAR * even, 0)
        found.moves[:, 1] = np.where(kind == 2, pixels, 0)
        found.moves[:, 0] = np.where(kind == 3, pixels, 0)
        found.turns[:, 0] = np.where(kind == 4, np.deg2rad(WIDE_TURN) * even, 0)
        found.areas[:] = np.where(kind == 5, rng.uniform(*WIDE_AREA, count), 0)
        return found
    most, degrees = NDA[policy]
    kind = rng.integers(3, size=count)
    rolls = rng.integers(-most, most, size=(count, 2), endpoint=True)
    found.rolls[:] = np.where((kind == 0)[:, None], rolls, 0)
    found.turns[:, 0] = np.where(kind == 1, np.deg2rad(degrees) * even, 0)
    found.turns[:, 1] = np.where(kind == 2, np.deg2rad(degrees) * even, 0)
    return found
