"""Modules of a hardened model: integers held in float32, every value below 2^24 and therefore exact.

Each module computes what the op of the same name in `rheobase.program` computes. Integers in float32 add and multiply exactly
as long as no magnitude reaches 2^24, in any order of summation, so a hardened model and the integer program agree bit for bit.
Currents of neurons with rounded membranes may pass 2^24; they stay below 2^31 and are float64 until the membrane is clipped.
Sums that may pass 2^24 (`wide` modules) are float64 too, until a `LatticeRescale` brings them below it.
"""

from rheobase.compression.lattice.base import EXACT, LatticeFiring, LatticeModule, held
from rheobase.compression.lattice.delay import LatticeDelay
from rheobase.compression.lattice.hardened import Hardened, LatticeReadout
from rheobase.compression.lattice.joins import LatticeAdd, LatticeConcat, LatticeRescale, shifted_product
from rheobase.compression.lattice.multi_threshold import LatticeMultiThreshold
from rheobase.compression.lattice.neurons import LatticeBack, LatticeNeuron, LatticeRoundedNeuron, Sum
from rheobase.compression.lattice.pools import LatticeFlatten, LatticeOrPool, LatticeSumPool
from rheobase.compression.lattice.tokens import (
    LatticeGate,
    LatticeHeadMatMul,
    LatticeHeadOrPool,
    LatticeHeadSum,
    LatticeTimeMix,
)
from rheobase.compression.lattice.weights import IntegerWeight, LatticeConv2d, LatticeLinear

__all__ = [
    "EXACT",
    "Hardened",
    "IntegerWeight",
    "LatticeAdd",
    "LatticeBack",
    "LatticeConcat",
    "LatticeConv2d",
    "LatticeDelay",
    "LatticeFiring",
    "LatticeFlatten",
    "LatticeGate",
    "LatticeHeadMatMul",
    "LatticeHeadOrPool",
    "LatticeHeadSum",
    "LatticeLinear",
    "LatticeModule",
    "LatticeMultiThreshold",
    "LatticeNeuron",
    "LatticeOrPool",
    "LatticeReadout",
    "LatticeRescale",
    "LatticeRoundedNeuron",
    "LatticeSumPool",
    "LatticeTimeMix",
    "Sum",
    "held",
    "shifted_product",
]
