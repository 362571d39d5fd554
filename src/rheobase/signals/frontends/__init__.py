"""Front ends between a recorded signal and an encoder: filters, filter banks and statistics, each with a streaming form.

`LogMel().apply(x)` on a whole signal `[L, N, C]`; `LogMel().stream()` with `push` and `finish` on one that comes in chunks,
with the same samples.
"""

from rheobase.signals.frontends.bands import EEG, Bands
from rheobase.signals.frontends.base import FrontEnd, FrontStream
from rheobase.signals.frontends.chain import Chain
from rheobase.signals.frontends.filters import BandPass, Filter, Notch
from rheobase.signals.frontends.gammatone import Gammatone
from rheobase.signals.frontends.log_mel import LogMel
from rheobase.signals.frontends.standardise import Standardise
from rheobase.signals.frontends.windows import Windows, WindowStream

__all__ = [
    "EEG",
    "BandPass",
    "Bands",
    "Chain",
    "Filter",
    "FrontEnd",
    "FrontStream",
    "Gammatone",
    "LogMel",
    "Notch",
    "Standardise",
    "WindowStream",
    "Windows",
]
