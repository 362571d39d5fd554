"""Rate coding: every step of a sample fires with a probability that grows with its value.

    P(s = 1) = u  ("bernoulli")   or   1 - exp(-u)  ("poisson": a Poisson process of rate u fires within the step)

The decoder inverts the share of steps that fired; its error falls with 1/sqrt(T).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals.encoder import Samples, Spikes, Stream
from rheobase.signals.frames import FrameEncoder, FrameStream


class Rate(FrameEncoder):
    """Rate coding; the draws are those of `seed`, in the order of samples, steps, items, channels."""

    name: Literal["rate"] = "rate"
    steps: int = Field(default=32, ge=1)
    process: Literal["bernoulli", "poisson"] = "bernoulli"
    seed: int = Field(default=0, ge=0)

    def stream(self, **given: Samples) -> Stream:
        """A stream; the random state is carried."""
        self._wanted(given)
        return RateStream(self)

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """Estimate from counts. Shape: spikes [L*T, N, C] -> [L, N, C]."""
        share = self.by_sample(spikes).mean(axis=1)
        if self.process == "poisson":
            share = np.minimum(-np.log1p(-np.minimum(share, 1 - 0.5 / self.steps)), 1.0)
        return self.value(share)


class RateStream(FrameStream):
    """Rate coding under way."""

    config: Rate

    def __init__(self, config: Rate):
        super().__init__(config)
        self.random = np.random.default_rng(config.seed)

    def _frames(self, x: Samples) -> Spikes:
        u = self.config.unit(x)[:, None]
        chance = u if self.config.process == "bernoulli" else -np.expm1(-u)
        draws = self.random.random((len(x), self.config.steps, *x.shape[1:]))
        return (draws < chance).astype(np.int8)
