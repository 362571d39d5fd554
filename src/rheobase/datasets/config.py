"""Which data set, which split, and how its recordings become frames."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rheobase.config import Config
from rheobase.datasets.signal_config import SignalConfig


class DataConfig(Config):
    """Everything that decides the frames a network sees.

    `root` is where raw data lives (else `$RHEOBASE_DATA`); `folder` is the user's own data for the data set `folder`: a
    folder with one sub-folder a class, or a CSV of paths and labels. `train_size` keeps that many training recordings,
    in the proportions of the classes and always the same ones; `size` puts the events on a sensor of `size` x `size`
    pixels; `seed` draws the split of `folder` and nothing else. `background_filter` and `refractory_filter` take noise
    from recordings before they are binned, in ticks (see `events.denoise`). Still images are seen whole at each of the
    `T` steps: they take none of these options. Of signals, T is the steps of a training sample (`signal.pool` samples each).
    """

    name: str
    T: int = Field(default=4, ge=1)
    binning: Literal["time", "count"] = "time"
    split: str = "official"
    train_size: int | None = Field(default=None, ge=1)
    size: int | None = Field(default=None, ge=1)
    background_filter: int | None = Field(default=None, ge=0)
    refractory_filter: int | None = Field(default=None, ge=0)
    root: Path | None = None
    folder: Path | None = None
    seed: int = Field(default=0, ge=0)
    cache: bool = True
    signal: SignalConfig = SignalConfig()
    """Front end and encoder, of data sets of signals."""
