"""Encoders from signals to spikes and back. NumPy only; nothing here knows of networks.

`create_encoder(name)` or a class such as `TAE` is a frozen configuration: `encode(x)`, `stream()`, `decode(spikes)`.
`tune` finds the threshold for a target, `read_signal` opens files.
"""

from rheobase.signals.bsa import BSA
from rheobase.signals.build import ENCODERS, Encoder, create_encoder
from rheobase.signals.direct import Direct
from rheobase.signals.encoder import Code, EncoderBase, Stream
from rheobase.signals.hsa import HSA
from rheobase.signals.latency import Latency
from rheobase.signals.moving_window import MovingWindow
from rheobase.signals.phase import Phase
from rheobase.signals.quality import snr, spike_rate
from rheobase.signals.rate import Rate
from rheobase.signals.read import Signal, read_signal
from rheobase.signals.receptive_fields import ReceptiveFields
from rheobase.signals.scale import Scaling, difference_threshold, pool
from rheobase.signals.send_on_delta import SendOnDelta
from rheobase.signals.step_forward import StepForward
from rheobase.signals.storage import Encoded, load_encoded, save_encoded
from rheobase.signals.tae import TAE
from rheobase.signals.temporal_contrast import TemporalContrast
from rheobase.signals.tune import Measured, measure, tune

__all__ = [
    "BSA",
    "ENCODERS",
    "HSA",
    "TAE",
    "Code",
    "Direct",
    "Encoded",
    "Encoder",
    "EncoderBase",
    "Latency",
    "Measured",
    "MovingWindow",
    "Phase",
    "Rate",
    "ReceptiveFields",
    "Scaling",
    "SendOnDelta",
    "Signal",
    "StepForward",
    "Stream",
    "TemporalContrast",
    "create_encoder",
    "difference_threshold",
    "load_encoded",
    "measure",
    "pool",
    "read_signal",
    "save_encoded",
    "snr",
    "spike_rate",
    "tune",
]
