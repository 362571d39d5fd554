"""From scores to the channels that stay: one ranking over all groups, or one for each.

    layer:   of U units of a group, floor(U (1 - ratio) + 1e-9) stay
    global:  units go from the lowest score up until floor(total (1 - ratio) + 1e-9) channels are left

A unit is one channel; where rows must keep equal numbers (attention heads) it is one channel of every row: the lowest of
each row go together, then the second lowest, so that every head chooses its own. Ties go by the tie value, then by index:
the later channel goes first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from rheobase.compression.pruning.config import PruneConfig
from rheobase.compression.pruning.groups import Group
from rheobase.errors import RecipeError, unknown


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a score says of the channels of one group; a higher `score` stays, equal ones go by `tie`.

    Shape: both `[C]`.
    """

    score: np.ndarray
    tie: np.ndarray


@dataclass(frozen=True)
class _Unit:
    """Channels of one group that go at once, with the key they are ranked by: lowest first."""

    group: int
    channels: tuple[int, ...]
    key: tuple[float, float, int]


def keep_count(count: int, ratio: float) -> int:
    """`floor(count (1 - ratio) + 1e-9)`: with the small number, 10 channels at ratio 0.9 keep 1 and not 0."""
    return math.floor(count * (1 - ratio) + 1e-9)


def choose(
    groups: Sequence[Group],
    rankings: Sequence[Ranking],
    config: PruneConfig,
    *,
    ratio_scale: float = 1.0,
    original: dict[str, int] | None = None,
) -> list[tuple[int, ...]]:
    """Indices of the channels that stay, by group.

    `original`: channels of each group before any pruning, which ratios refer to; `ratio_scale = i/n` asks for step i of n
    of an iterative schedule: `1 - (1 - ratio)^(i/n)`.

    Raises:
        RecipeError: a pattern of `overrides` matches no layer.
    """
    original = original or {}
    before = [original.get(group.name, group.size) for group in groups]
    own = ratios(groups, config)
    units = [
        _units(i, group, ranking) for i, (group, ranking) in enumerate(zip(groups, rankings, strict=True))
    ]
    together = [i for i in range(len(groups)) if config.scope == "global" and own[i] is None]
    removed: list[set[int]] = [set() for _ in groups]
    for i in range(len(groups)):
        if i not in together:
            ratio = config.ratio if (given := own[i]) is None else given
            spare = groups[i].size - keep_count(before[i], _step(ratio, ratio_scale))
            _remove(units[i], spare, groups, [1] * len(groups), removed)
    if together:
        left = keep_count(sum(before[i] for i in together), _step(config.ratio, ratio_scale))
        ranked = [unit for i in together for unit in _normalised(units[i], rankings[i], config)]
        floors = [max(1, math.ceil(count * config.min_keep - 1e-9)) for count in before]
        _remove(ranked, sum(groups[i].size for i in together) - left, groups, floors, removed)
    return [
        tuple(i for i in range(group.size) if i not in gone)
        for group, gone in zip(groups, removed, strict=True)
    ]


def _step(ratio: float, scale: float) -> float:
    return ratio if scale == 1 else 1 - (1 - ratio) ** scale


def _remove(
    units: list[_Unit], spare: int, groups: Sequence[Group], floors: list[int], removed: list[set[int]]
) -> None:
    """Put units from the lowest up into `removed` while at most `spare` channels go and the floors hold."""
    for unit in sorted(units, key=lambda unit: unit.key):
        group = groups[unit.group]
        gone = removed[unit.group] | set(unit.channels)
        empty_row = any(set(row) <= gone for row in group.rows)
        if len(unit.channels) <= spare and group.size - len(gone) >= floors[unit.group] and not empty_row:
            removed[unit.group] = gone
            spare -= len(unit.channels)


def _units(index: int, group: Group, ranking: Ranking) -> list[_Unit]:
    def key(channel: int) -> tuple[float, float, int]:
        return (float(ranking.score[channel]), float(ranking.tie[channel]), -channel)

    in_rows = {channel for row in group.rows for channel in row}
    units = [
        _Unit(index, (channel,), key(channel))
        for channel in range(group.size)
        if group.free[channel] and channel not in in_rows
    ]
    orders = [sorted(row, key=key) for row in group.rows]
    for lowest in zip(*orders, strict=True):
        keys = [key(channel) for channel in lowest]
        mean = (float(np.mean([k[0] for k in keys])), float(np.mean([k[1] for k in keys])), -min(lowest))
        units.append(_Unit(index, tuple(lowest), mean))
    return units


def _normalised(units: list[_Unit], ranking: Ranking, config: PruneConfig) -> list[_Unit]:
    """Units with their scores divided by the group's mean or maximum: scores of different layers compare then."""
    scale = {"mean": ranking.score.mean(), "max": ranking.score.max(), "none": 1.0}[config.normalise]
    scale = float(scale) if scale > 0 else 1.0
    return [_Unit(u.group, u.channels, (u.key[0] / scale, *u.key[1:])) for u in units]


def ratios(groups: Sequence[Group], config: PruneConfig) -> list[float | None]:
    """The ratio that `overrides` gives each group, None where no pattern matches one of its layers.

    Raises:
        RecipeError: a pattern matches no layer.
    """
    chosen: list[float | None] = [None] * len(groups)
    for pattern, ratio in config.overrides.items():
        matched = [i for i, g in enumerate(groups) if any(fnmatchcase(layer, pattern) for layer in g.layers)]
        if not matched:
            raise RecipeError(
                unknown("layer pattern", pattern, [layer for g in groups for layer in g.layers])
            )
        for i in matched:
            chosen[i] = ratio
    return chosen
