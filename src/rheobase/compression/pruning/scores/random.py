"""Random scores: the floor that every other score has to beat."""

import numpy as np

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.scores.base import Subject


class Random:
    """Uniform numbers drawn with the configuration's seed; the same for the same network."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group."""
        generator = np.random.default_rng(subject.config.seed)
        return [Ranking(generator.random(group.size), np.zeros(group.size)) for group in subject.groups]
