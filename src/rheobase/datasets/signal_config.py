"""How recorded signals become the spikes that a network sees."""

from pydantic import Field, PositiveInt

from rheobase.config import Config
from rheobase.signals import TAE, Encoder
from rheobase.signals.coding import Front


class SignalConfig(Config):
    """Front end, scaling, encoder and steps, in this order.

    `front` None is that of the data set. Each channel is scaled to [-1, 1] by percentiles of the training part, and the
    encoder's threshold tuned to `rate` spikes a sample on it (None: the threshold is as given; codes of values have none).
    With the encoder `direct` (`steps` 1) networks see the scaled signal itself, in units of 1/64 and cut at ±127/64. Encoders of
    k steps a sample (`rate`, `latency`, `phase`) make k steps of each, which `data.T` counts. `pool` steps become one: spikes
    are added and cut to ±1, analog values averaged.
    """

    front: Front | None = None
    encoder: Encoder = TAE()
    rate: float | None = Field(default=0.3, gt=0, le=1)
    pool: PositiveInt = 1
