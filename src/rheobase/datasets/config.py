"""Which data set, which split, and how its recordings become frames."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rheobase.config import Config


class DataConfig(Config):
    """Everything that decides the frames a network sees.

    `root` is where raw data lives (else `$RHEOBASE_DATA`); `folder` is the user's own data for the data set
    `folder`. `train_size` keeps that many training recordings, in the proportions of the classes and always
    the same ones; `size` puts the events on a sensor of `size` x `size` pixels; `seed` draws the split of
    `folder` and nothing else. Still images are seen whole at each of the `T` steps: they take no `binning` or `size`.
    """

    name: str
    T: int = Field(default=4, ge=1)
    binning: Literal["time", "count"] = "time"
    split: str = "official"
    train_size: int | None = Field(default=None, ge=1)
    size: int | None = Field(default=None, ge=1)
    root: Path | None = None
    folder: Path | None = None
    seed: int = Field(default=0, ge=0)
    cache: bool = True
