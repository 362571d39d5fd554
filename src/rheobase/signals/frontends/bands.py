"""A bank of band-pass filters: each channel becomes one channel a band, after the channel itself if wanted."""

from typing import Literal

import numpy as np
from pydantic import Field, PositiveFloat

from rheobase.signals.encoder import Samples
from rheobase.signals.frontends.base import FrontEnd, FrontStream
from rheobase.signals.frontends.filters import BandPass

EEG = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 60.0))
"""Delta, theta, alpha, beta and gamma, Hz."""


class Bands(FrontEnd):
    """Butterworth bands, by default those of EEG; `raw` keeps the signal itself as the first channel.

    Shape: [L, N, C] -> [L, N, C * B], the B signals of a channel beside one another.
    Raises:
        ValidationError: a band does not lie in `0 < low < high < sampling / 2` (raised when the filters are made).
    """

    name: Literal["bands"] = "bands"
    sampling: float = Field(gt=0)
    edges: tuple[tuple[PositiveFloat, PositiveFloat], ...] = EEG
    order: int = Field(default=2, ge=1, le=8)
    raw: bool = True

    def filters(self) -> list[BandPass]:
        """The filter of each band."""
        return [
            BandPass(sampling=self.sampling, low=low, high=high, order=self.order) for low, high in self.edges
        ]

    def stream(self) -> "BandsStream":
        """All filters beside one another."""
        return BandsStream(self)


class BandsStream(FrontStream):
    """The filters under way."""

    def __init__(self, config: Bands) -> None:
        super().__init__()
        self.raw = config.raw
        self.filters = [each.stream() for each in config.filters()]

    def _prepare(self, items: int, channels: int) -> None:
        """Every filter prepares itself."""

    def _push(self, x: Samples) -> Samples:
        bands = [x] if self.raw else []
        bands += [each.push(x) for each in self.filters]
        return np.stack(bands, -1).reshape(*x.shape[:2], x.shape[2] * len(bands))
