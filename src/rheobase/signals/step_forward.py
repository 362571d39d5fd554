"""Step-forward coding: a base follows the signal in steps of one threshold.

    s[n] = 1[x > b + th] - 1[x < b - th];   b += th * s[n];   b = x[0], s[0] = 0

The decoder's output is the base. |x - b| <= th as long as the signal moves by at most th a sample.

Source: Kasabov et al., "Evolving spatio-temporal data machines" (2016); Petro et al., "Selection and optimization of
temporal spike encoding methods" (2020).
"""

from typing import Any, Literal

from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals import native
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, StartedStream, integrate
from rheobase.signals.tae import threshold_range


class StepForward(EncoderBase):
    """Step-forward coding with a fixed threshold."""

    name: Literal["step_forward"] = "step_forward"
    threshold: float = Field(default=0.1, gt=0)

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`threshold`, up to the signal's range."""
        return "threshold", *threshold_range(x)

    def stream(self, **given: Samples) -> "StepForwardStream":
        """A stream; nothing has to be given."""
        self._wanted(given)
        return StepForwardStream(self)

    def decode(self, spikes: ArrayLike, *, start: ArrayLike = 0.0, **side: Any) -> Samples:
        """The encoder's base, bit for bit. Shape: spikes [L, N, C], start [N, C] -> [L, N, C]."""
        return integrate(spikes, start, self.threshold)


class StepForwardStream(StartedStream):
    """Step-forward under way: the base is carried."""

    def __init__(self, config: StepForward):
        super().__init__({})
        self.config = config

    def _start(self, first: Samples) -> None:
        self.base = first.copy()

    def _run(self, x: Samples, spikes: Spikes) -> None:
        if not native.call("step_forward", x, *x.shape, self.config.threshold, self.base, spikes):
            step_forward(x, self.base, self.config.threshold, spikes)


def step_forward(x: Samples, base: Samples, threshold: float, spikes: Spikes) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: x, spikes [L, W], base [W]."""
    for n, value in enumerate(x):
        s = 1.0 * (value > base + threshold) - (value < base - threshold)
        base += threshold * s
        spikes[n] = s
