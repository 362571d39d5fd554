"""The options of pruning."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from rheobase.config import Config
from rheobase.errors import unknown

ScoreName = Literal["svs", "sca", "hrank", "l1", "slimming", "random"]
SCORE_NAMES: tuple[ScoreName, ...] = ("svs", "sca", "hrank", "l1", "slimming", "random")
Scope = Literal["global", "layer"]


class PruneConfig(Config):
    """How many channels go, and how they are ranked.

    `ratio` is the share of channels to remove; of C channels `floor(C (1 - ratio) + 1e-9)` stay. `scope`: `layer` takes
    that share of every group of channels, `global` ranks all channels of the network together, each score divided by
    its group's mean (`normalise="max"`: by its largest; `"none"`: as it is). With `global` no group falls below `min_keep` of
    its channels; one channel always stays. `overrides` gives the groups whose layers match a name pattern a ratio of their
    own, last match first; such groups leave the global ranking. `iterations > 1` reaches the ratio in as many equal
    factors (see `prune_iteratively`).

    `svs_tolerance`: singular values above it count, `None` is the matrix-rank tolerance. `batch` recordings run at a
    time while channels are scored. `seed` is that of the random score. `inverse` removes the highest scores in place of the
    lowest: a control experiment, which should do harm.
    """

    score: ScoreName = "svs"
    ratio: float = 0.5
    scope: Scope = "layer"
    overrides: dict[str, float] = Field(default_factory=dict)
    normalise: Literal["mean", "max", "none"] = "mean"
    min_keep: float = Field(default=0.1, ge=0, le=1)
    iterations: int = Field(default=1, ge=1)
    svs_tolerance: float | None = Field(default=1e-6, ge=0)
    batch: int = Field(default=128, ge=1)
    seed: int = 0
    inverse: bool = False

    @field_validator("score", mode="before")
    @classmethod
    def _known(cls, score: object) -> object:
        if isinstance(score, str) and score not in SCORE_NAMES:
            raise ValueError(unknown("score", score, SCORE_NAMES))
        return score

    @model_validator(mode="after")
    def _shares(self) -> Self:
        for where, ratio in {"ratio": self.ratio, **self.overrides}.items():
            if not 0 <= ratio < 1:
                raise ValueError(
                    f"{where}: {ratio:g} cannot be a pruning ratio; it is the share of channels to remove, "
                    "0 (none) or more and below 1, such as 0.5"
                )
        return self
