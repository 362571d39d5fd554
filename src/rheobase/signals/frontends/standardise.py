"""Z-scores: `(x - mean) / deviation`, channel by channel, of statistics that are known in advance."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, PositiveFloat

from rheobase.errors import DataError
from rheobase.signals.encoder import Samples, as_samples
from rheobase.signals.frontends.base import FrontEnd, FrontStream


class Standardise(FrontEnd):
    """Mean 0 and deviation 1 for each channel of the data it was fitted on.

    Fit on training data, never on each recording: its amplitude may be what tells classes apart.
    """

    name: Literal["standardise"] = "standardise"
    mean: tuple[float, ...] = Field(min_length=1)
    deviation: tuple[PositiveFloat, ...] = Field(min_length=1)

    @classmethod
    def fit(cls, x: ArrayLike) -> Self:
        """Mean and deviation over time and batch; 1 for a channel that does not change. Shape: x [L, N, C].

        Raises:
            DataError: there are no samples.
        """
        samples = as_samples(x)
        if not samples.size:
            raise DataError("z-scores are fitted on samples; got none")
        deviation = samples.std((0, 1))
        deviation[deviation == 0] = 1.0
        return cls(mean=tuple(samples.mean((0, 1)).tolist()), deviation=tuple(deviation.tolist()))

    def stream(self) -> "StandardiseStream":
        """Nothing is carried."""
        return StandardiseStream(self)


class StandardiseStream(FrontStream):
    """Z-scores, sample by sample."""

    def __init__(self, config: Standardise) -> None:
        super().__init__()
        self.mean, self.deviation = np.array(config.mean), np.array(config.deviation)

    def _prepare(self, items: int, channels: int) -> None:
        if not channels == len(self.mean) == len(self.deviation):
            raise DataError(
                f"fitted on {len(self.mean)} means and {len(self.deviation)} deviations, the signal has {channels} channels"
            )

    def _push(self, x: Samples) -> Samples:
        return (x - self.mean) / self.deviation
