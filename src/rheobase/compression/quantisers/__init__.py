"""Weight quantisers, one method a file; see `base` for what they share."""

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase
from rheobase.compression.quantisers.build import (
    QuantiserConfig,
    build_quantiser,
    list_quantisers,
    quantiser_config,
    widths,
)
from rheobase.compression.quantisers.bwn import BWN, BWNConfig
from rheobase.compression.quantisers.dorefa import DoReFa, DoReFaConfig
from rheobase.compression.quantisers.libra import Libra, LibraConfig
from rheobase.compression.quantisers.lsq import LSQ, LSQConfig
from rheobase.compression.quantisers.max_abs import MaxAbs, MaxAbsConfig
from rheobase.compression.quantisers.mint import MINT, MINTConfig
from rheobase.compression.quantisers.rescaw import ReScaW, ReScaWConfig
from rheobase.compression.quantisers.shared import Shared, SharedConfig
from rheobase.compression.quantisers.standardised_sign import StandardisedSign, StandardisedSignConfig
from rheobase.compression.quantisers.ternary import Ternary, TernaryConfig
from rheobase.compression.quantisers.uniform import Uniform, UniformConfig

__all__ = [
    "BWN",
    "LSQ",
    "MINT",
    "BWNConfig",
    "DoReFa",
    "DoReFaConfig",
    "LSQConfig",
    "Libra",
    "LibraConfig",
    "MINTConfig",
    "MaxAbs",
    "MaxAbsConfig",
    "Quantiser",
    "QuantiserBase",
    "QuantiserConfig",
    "ReScaW",
    "ReScaWConfig",
    "Shared",
    "SharedConfig",
    "StandardisedSign",
    "StandardisedSignConfig",
    "Ternary",
    "TernaryConfig",
    "Uniform",
    "UniformConfig",
    "build_quantiser",
    "list_quantisers",
    "quantiser_config",
    "widths",
]
