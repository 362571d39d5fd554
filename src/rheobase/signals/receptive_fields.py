"""Gaussian receptive fields: a population of neurons, each tuned to a value, fires the earlier the closer it is.

    r_i = exp(-(u - mu_i)^2 / (2 sigma^2)),  mu_i = (2 i - 3) / (2 (M - 2)),  i = 1..M,  sigma = 1 / (beta (M - 2))
    t_i = round((T - 1) * (1 - r_i));  responses below `silent` do not fire

The logarithms of two responses differ by a straight line in u, so the two that fire first give the value back:
u = (mu_i + mu_j) / 2 + sigma^2 (ln r_i - ln r_j) / (mu_i - mu_j), up to the rounding of times.

Source: Bohte, Kok, La Poutre, "Error-backpropagation in temporally encoded networks" (2002).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.frames import FrameEncoder
from rheobase.signals.latency import one_spike


class ReceptiveFields(FrameEncoder):
    """Gaussian receptive fields: every channel becomes `fields` lines, neighbours in the last axis."""

    name: Literal["receptive_fields"] = "receptive_fields"
    steps: int = Field(default=16, ge=2)
    fields: int = Field(default=8, ge=3)
    beta: float = Field(default=1.5, gt=0)
    silent: float = Field(default=0.1, ge=0, lt=1)

    @property
    def lines(self) -> int:
        """One for each field."""
        return self.fields

    @property
    def centres(self) -> Samples:
        """Where the fields are tuned to, in units of u. Shape: [M]."""
        return (2 * np.arange(1, self.fields + 1) - 3) / (2 * (self.fields - 2))

    @property
    def sigma(self) -> float:
        """Width of every field, in units of u."""
        return 1 / (self.beta * (self.fields - 2))

    def frames(self, x: Samples) -> Spikes:
        """At most one spike a field. Shape: [L, N, C] -> [L, T, N, C*M]."""
        response = np.exp(-((self.unit(x)[..., None] - self.centres) ** 2) / (2 * self.sigma**2))
        time = np.where(response >= self.silent, (self.steps - 1) * (1 - response), np.inf)
        return one_spike(time.reshape(*x.shape[:2], x.shape[2] * self.fields), self.steps)

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """From the two fields that fire first. Shape: spikes [L*T, N, C*M] -> [L, N, C]."""
        frames = self.by_sample(spikes)
        time = np.where(frames.any(axis=1), frames.argmax(axis=1), self.steps)
        time = time.reshape(*time.shape[:2], time.shape[2] // self.fields, self.fields)  # [L, N, C, M]
        first, second = np.moveaxis(np.argsort(time, axis=-1, kind="stable")[..., :2], -1, 0)
        a, b = (np.take_along_axis(time, i[..., None], -1)[..., 0] for i in (first, second))
        # A response rounded to 0 has no logarithm; half a step is what it may have been.
        log_a, log_b = (np.log(np.maximum(1 - t / (self.steps - 1), 0.5 / (self.steps - 1))) for t in (a, b))
        mu_a, mu_b = self.centres[first], self.centres[second]
        u = (mu_a + mu_b) / 2 + self.sigma**2 * (log_a - log_b) / (mu_a - mu_b)
        u = np.where(b < self.steps, u, mu_a)  # one alone: its centre
        return self.value(np.clip(np.where(a < self.steps, u, 0.5), 0.0, 1.0))
