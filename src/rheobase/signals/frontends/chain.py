"""Front ends one after another."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from rheobase.signals.encoder import Samples
from rheobase.signals.frontends.bands import Bands
from rheobase.signals.frontends.base import FrontEnd, FrontStream
from rheobase.signals.frontends.filters import BandPass, Notch
from rheobase.signals.frontends.gammatone import Gammatone
from rheobase.signals.frontends.log_mel import LogMel
from rheobase.signals.frontends.standardise import Standardise

Stage = Annotated[LogMel | Gammatone | BandPass | Notch | Bands | Standardise, Field(discriminator="name")]


class Chain(FrontEnd):
    """Every stage takes what the one before puts out.

    Raises:
        ValidationError: there is no stage.
    """

    name: Literal["chain"] = "chain"
    stages: tuple[Stage, ...] = Field(min_length=1)

    def stream(self) -> "ChainStream":
        """All stages under way."""
        return ChainStream([stage.stream() for stage in self.stages])


class ChainStream(FrontStream):
    """Stages under way; when one finishes, the next gets its rest before it finishes itself."""

    def __init__(self, streams: list[FrontStream]) -> None:
        super().__init__()
        self.streams = streams

    def _prepare(self, items: int, channels: int) -> None:
        """Every stage prepares itself."""

    def _push(self, x: Samples) -> Samples:
        for stream in self.streams:
            x = stream.push(x)
        return x

    def _last(self) -> Samples:
        rest = self.streams[0].finish()
        for stream in self.streams[1:]:
            rest = np.concatenate([stream.push(rest), stream.finish()])
        return rest
