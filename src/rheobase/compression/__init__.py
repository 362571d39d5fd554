"""Fewer bits: quantise a model's weights, fine-tune, and harden it onto the integer lattice.

`quantise_(model, config)` works in place; `harden(model)` gives the model whose every number is an integer.
"""

from rheobase.compression.harden import harden
from rheobase.compression.lattice import Hardened
from rheobase.compression.quantise import QuantConfig, code_usages, quantise_, quantisers
from rheobase.compression.rescaw import ReScaW, ReScaWConfig, code_usage

__all__ = [
    "Hardened",
    "QuantConfig",
    "ReScaW",
    "ReScaWConfig",
    "code_usage",
    "code_usages",
    "harden",
    "quantise_",
    "quantisers",
]
