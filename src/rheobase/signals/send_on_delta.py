"""Send-on-delta (level-crossing sampling): a spike when the signal has moved by delta since the last one.

    s[n] = sign(x - sent) where |x - sent| >= delta;   sent = x[n] ("signal")  or  sent += delta * s[n] ("level")

with sent = x[0] at the start. With "level" the crossings are of fixed levels, as in a level-crossing converter, and the
sum of the steps is the decoder. With "signal" the receiver of a real system is sent the value too; spikes alone do not
tell it, so that form cannot be decoded.

Source: Miskowicz, "Send-on-delta concept" (2006).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.errors import DataError
from rheobase.signals import native
from rheobase.signals.encoder import EncoderBase, Samples, Spikes, StartedStream, integrate
from rheobase.signals.tae import threshold_range


class SendOnDelta(EncoderBase):
    """Send-on-delta; `reference` says what the next change is measured from."""

    name: Literal["send_on_delta"] = "send_on_delta"
    delta: float = Field(default=0.1, gt=0)
    reference: Literal["signal", "level"] = "level"

    @property
    def invertible(self) -> bool:
        """Only with fixed levels."""
        return self.reference == "level"

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """`delta`, up to the signal's range."""
        return "delta", *threshold_range(x)

    def stream(self, **given: Samples) -> "SendOnDeltaStream":
        """A stream; nothing has to be given."""
        self._wanted(given)
        return SendOnDeltaStream(self)

    def decode(self, spikes: ArrayLike, *, start: ArrayLike = 0.0, **side: Any) -> Samples:
        """The level last sent, bit for bit. Shape: spikes [L, N, C], start [N, C] -> [L, N, C]."""
        if not self.invertible:
            raise DataError(
                "send-on-delta with reference='signal' cannot be decoded from spikes; use reference='level'"
            )
        return integrate(spikes, start, self.delta)


class SendOnDeltaStream(StartedStream):
    """Send-on-delta under way: the level last sent is carried."""

    def __init__(self, config: SendOnDelta):
        super().__init__({})
        self.config = config

    def _start(self, first: Samples) -> None:
        self.sent = first.copy()

    def _run(self, x: Samples, spikes: Spikes) -> None:
        delta, jump = self.config.delta, int(self.config.reference == "signal")
        if not native.call("send_on_delta", x, *x.shape, delta, jump, self.sent, spikes):
            send_on_delta(x, self.sent, delta, jump, spikes)


def send_on_delta(x: Samples, sent: Samples, delta: float, jump: int, spikes: Spikes) -> None:
    """The encoder, plainly: what `encode.c` computes. Shape: x, spikes [L, W], sent [W]."""
    for n, value in enumerate(x):
        change = value - sent
        s = 1.0 * (change >= delta) - (change <= -delta)
        sent[:] = np.where(s != 0, value, sent) if jump else sent + delta * s
        spikes[n] = s
