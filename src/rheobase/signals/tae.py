"""Threshold-adaptive encoding: step-forward coding whose step grows on slopes and shrinks when it is quiet.

    s[n] = 1[x > b + th] - 1[x < b - th]
    b   += th * s[n]                                       (the decoder does the same: b is its output)
    th   = min(th * alpha, th_max)  where s[n] = s[n-1] != 0,  else  max(th / alpha, th_min)

with b = x[0], th = th0 and s[0] = 0. A run of equal spikes means that the base lags, so the step grows.

Source: after "Ternary spike-based neuromorphic signal processing system", Neural Networks 187 (2025). The paper's
update law was not available; this one is a reconstruction, and results are not the paper's.
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from rheobase.errors import DataError
from rheobase.signals import native
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, StartedStream, as_spikes, row


class TAE(EncoderBase):
    """Threshold-adaptive encoding. alpha = 1 is step-forward coding.

    `th_min` None is th0, `th_max` None is 16 th0. Smaller `th_min` makes the coder hunt in quiet parts.
    `base_mode="send_on_delta"`: the base jumps to x[n] at a spike. `th_mode="amplitude"`: the threshold is
    `amplitude_gain * m + th_min` with the running mean `m += amplitude_decay * (|x| - m)`. Neither can be decoded.
    """

    name: Literal["tae"] = "tae"
    th0: float = Field(default=0.1, gt=0)
    alpha: float = Field(default=1.2, ge=1)
    th_min: float | None = Field(default=None, gt=0)
    th_max: float | None = Field(default=None, gt=0)
    base_mode: Literal["step", "send_on_delta"] = "step"
    th_mode: Literal["run", "amplitude"] = "run"
    amplitude_gain: float = Field(default=0.1, ge=0)
    amplitude_decay: float = Field(default=0.01, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.least <= self.th0 <= self.most:
            raise ValueError(
                f"th_min <= th0 <= th_max is needed; got {self.least:g}, {self.th0:g}, {self.most:g}"
            )
        return self

    @property
    def least(self) -> float:
        """The smallest threshold."""
        return self.th0 if self.th_min is None else self.th_min

    @property
    def most(self) -> float:
        """The largest threshold."""
        return 16 * self.th0 if self.th_max is None else self.th_max

    @property
    def invertible(self) -> bool:
        """Only where base and threshold follow from the spikes alone."""
        return self.base_mode == "step" and self.th_mode == "run"

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`th0`, up to the signal's range."""
        return "th0", *threshold_range(x)

    def stream(self, **given: Samples) -> "TAEStream":
        """A stream; nothing has to be given."""
        self._wanted(given)
        return TAEStream(self)

    def decode(self, spikes: ArrayLike, *, start: ArrayLike = 0.0, **side: Any) -> Samples:
        """The encoder's base at every sample, bit for bit. Shape: spikes [L, N, C], start [N, C] -> [L, N, C]."""
        if not self.invertible:
            raise DataError(
                f"TAE with base_mode={self.base_mode!r}, th_mode={self.th_mode!r} cannot be decoded from spikes: base or "
                "threshold follow the signal itself; use base_mode='step', th_mode='run'"
            )
        codes = as_spikes(spikes)
        x = np.zeros(codes.shape)
        if codes.size == 0:
            return x
        x[0] = row(start, "start", codes.shape)
        lanes = (len(codes) - 1, x[0].size)
        state, s, rest = begin(self, x[0].reshape(-1)), codes[1:].reshape(lanes), x[1:].reshape(lanes)
        constants = (self.alpha, self.least, self.most)
        if not native.call("tae_decode", s, *s.shape, *constants, state, rest):
            tae_decode(s, state, *constants, rest)
        return x


class TAEStream(StartedStream):
    """TAE under way: base, last spike and threshold are carried."""

    def __init__(self, config: TAE):
        super().__init__({})
        self.config = config

    def _start(self, first: Samples) -> None:
        self.state = begin(self.config, first)

    def _run(self, x: Samples, spikes: Spikes) -> None:
        c = self.config
        follow, jump = c.th_mode == "amplitude", c.base_mode == "send_on_delta"
        constants = (c.alpha, c.least, c.most, c.amplitude_gain, c.amplitude_decay, int(follow), int(jump))
        if not native.call("tae", x, *x.shape, *constants, self.state, spikes):
            tae(x, self.state, *constants, spikes)


def begin(config: TAE, first: Samples) -> Samples:
    """State after the first sample: base, last spike, threshold (or running mean of |x|). `[W] -> [3, W]`."""
    level = np.abs(first) if config.th_mode == "amplitude" else np.full_like(first, config.th0)
    return np.stack([first, np.zeros_like(first), level])


def tae(
    x: Samples,
    state: Samples,
    alpha: float,
    least: float,
    most: float,
    gain: float,
    decay: float,
    follow: int,
    jump: int,
    spikes: Spikes,
) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: x, spikes [L, W], state [3, W]."""
    base, last, level = state
    for n, value in enumerate(x):
        if follow:
            level += decay * (np.abs(value) - level)
        threshold = gain * level + least if follow else level
        s = 1.0 * (value > base + threshold) - (value < base - threshold)
        base[:] = np.where(s != 0, value, base) if jump else base + threshold * s
        if not follow:
            level[:] = adapt(level, s * last > 0, alpha, least, most)
        last[:] = s
        spikes[n] = s


def tae_decode(s: Spikes, state: Samples, alpha: float, least: float, most: float, x: Samples) -> None:
    """The decoder, plainly. Shape: s, x [L, W], state [3, W]."""
    base, last, threshold = state
    for n, spike in enumerate(s):
        base += threshold * spike
        threshold[:] = adapt(threshold, spike * last > 0, alpha, least, most)
        last[:] = spike
        x[n] = base


def adapt(threshold: Samples, again: np.ndarray, alpha: float, least: float, most: float) -> Samples:
    """Grow where a spike repeats the one before, else shrink. Shape: [W]."""
    return np.where(again, np.minimum(threshold * alpha, most), np.maximum(threshold / alpha, least))


def threshold_range(x: Samples) -> tuple[float, float]:
    """Thresholds that can matter for `x`: from a hundred-thousandth of its range to all of it."""
    span = float(np.ptp(x)) if x.size else 0.0
    span = span or 1.0
    return 1e-5 * span, span
