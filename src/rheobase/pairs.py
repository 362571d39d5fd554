"""Paired comparison: the same seed with and without a method, so that what seeds share cancels."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Gain(NamedTuple):
    """Mean and sample standard deviation of paired differences, and in how many of `pairs` they are positive."""

    mean: float
    spread: float
    positive: int
    pairs: int


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, which is 0 for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def gain(before: Sequence[float], after: Sequence[float]) -> Gain:
    """`after - before`, pair by pair.

    Raises:
        ValueError: the two are empty or of different length.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if not differences:
        raise ValueError("no pairs to compare")
    mean, spread = mean_spread(differences)
    return Gain(mean, spread, sum(d > 0 for d in differences), len(differences))
