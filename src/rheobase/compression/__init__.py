"""Fewer bits: quantise a model's weights, fine-tune, and harden it onto the integer lattice.

`quantise_(model, config)` works in place; `harden(model)` gives the model whose every number is an integer.
`search_bits` finds the width of each layer under a budget of bytes; `account` counts the bytes of a program.
"""

from rheobase.compression.accounting import Bytes, account, published_bytes, weight_bytes
from rheobase.compression.code_usage import code_counts, code_entropy, code_usage, code_usages
from rheobase.compression.hardening import harden
from rheobase.compression.lattice import Hardened
from rheobase.compression.quantise import QuantConfig, quantise_, quantisers, set_progress
from rheobase.compression.quantisers import (
    BWN,
    LSQ,
    MINT,
    BWNConfig,
    DoReFa,
    DoReFaConfig,
    Libra,
    LibraConfig,
    LSQConfig,
    MaxAbs,
    MaxAbsConfig,
    MINTConfig,
    Quantiser,
    QuantiserConfig,
    ReScaW,
    ReScaWConfig,
    StandardisedSign,
    StandardisedSignConfig,
    Ternary,
    TernaryConfig,
    Uniform,
    UniformConfig,
    build_quantiser,
    list_quantisers,
    quantiser_config,
)
from rheobase.compression.rounding import through_roundings
from rheobase.compression.search import BitSearch, search_bits

__all__ = [
    "BWN",
    "LSQ",
    "MINT",
    "BWNConfig",
    "BitSearch",
    "Bytes",
    "DoReFa",
    "DoReFaConfig",
    "Hardened",
    "LSQConfig",
    "Libra",
    "LibraConfig",
    "MINTConfig",
    "MaxAbs",
    "MaxAbsConfig",
    "QuantConfig",
    "Quantiser",
    "QuantiserConfig",
    "ReScaW",
    "ReScaWConfig",
    "StandardisedSign",
    "StandardisedSignConfig",
    "Ternary",
    "TernaryConfig",
    "Uniform",
    "UniformConfig",
    "account",
    "build_quantiser",
    "code_counts",
    "code_entropy",
    "code_usage",
    "code_usages",
    "harden",
    "list_quantisers",
    "published_bytes",
    "quantise_",
    "quantiser_config",
    "quantisers",
    "search_bits",
    "set_progress",
    "through_roundings",
    "weight_bytes",
]
