"""What a score is, and how it is spread over groups of channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.config import PruneConfig
from rheobase.compression.pruning.groups import Group
from rheobase.compression.pruning.tracing import Run, Trace


@dataclass(frozen=True, eq=False)
class Subject:
    """What a score may look at. Shape: frames `[T, N, C, H, W]`."""

    model: nn.Module
    trace: Trace
    groups: Sequence[Group]
    frames: Tensor
    run: Run
    config: PruneConfig


class Score(Protocol):
    """Ranks the channels of every group."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group."""
        ...


SCORES: dict[str, Callable[[], Score]] = {}


def rank(subject: Subject) -> list[Ranking]:
    """The rankings of the configured score, the other way round with `inverse`."""
    rankings = SCORES[subject.config.score]()(subject)
    if subject.config.inverse:
        return [Ranking(-each.score, -each.tie) for each in rankings]
    return rankings


class Mean:
    """Mean of the values that fall on each channel of a group.

    Shape: `add(positions[P], values[P], ties[P])`, positions -1 are left out; `ranking()` `[C]`.
    """

    def __init__(self, size: int) -> None:
        self.score, self.tie, self.count = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, positions: np.ndarray, values: Tensor, ties: Tensor | None = None) -> None:
        """Count one value a position."""
        inside = positions >= 0
        at = positions[inside]
        np.add.at(self.score, at, values.detach().double().cpu().numpy()[inside])
        if ties is not None:
            np.add.at(self.tie, at, ties.detach().double().cpu().numpy()[inside])
        np.add.at(self.count, at, 1)

    def ranking(self) -> Ranking:
        """The means; 0 where nothing was added."""
        count = np.maximum(self.count, 1)
        return Ranking(self.score / count, self.tie / count)

    @property
    def missing(self) -> np.ndarray:
        """Channels that no value fell on."""
        return self.count == 0


def first_axis(weight: Tensor) -> Tensor:
    """`[O, ...]` -> `[O, rest]`, in double precision."""
    return torch.as_tensor(weight).detach().double().flatten(1)
