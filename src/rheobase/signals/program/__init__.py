"""Signal encoders in integers: from 16-bit samples to a network's frames, as NumPy and as the C that equals it.

`integer_coding(coding)` is the integer form of a `rheobase.signals.coding.Coding`; `CompiledCoding` its C run here,
`write_encoder` its C as files. `feed` (packages) and `on_target` stand on `rheobase.targets` too and are imported by name.
"""

from rheobase.signals.program.bands import IntegerBands, integer_bands
from rheobase.signals.program.c99 import generate, write_encoder
from rheobase.signals.program.chain import IntegerCoding, integer_coding
from rheobase.signals.program.log_mel import IntegerLogMel, integer_log_mel
from rheobase.signals.program.runner import CompiledCoding
from rheobase.signals.program.tae import IntegerTAE, integer_tae

__all__ = [
    "CompiledCoding",
    "IntegerBands",
    "IntegerCoding",
    "IntegerLogMel",
    "IntegerTAE",
    "generate",
    "integer_bands",
    "integer_coding",
    "integer_log_mel",
    "integer_tae",
    "write_encoder",
]
