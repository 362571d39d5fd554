"""The neuron scan: surrogate derivatives, a plain torch reference, a fused C kernel compiled on first use."""

from rheobase.kernels.gradients import EventGradient
from rheobase.kernels.membranes import (
    MEMBRANES,
    Membrane,
    MembraneBase,
    SquatMembrane,
    TanhMembrane,
    UniformMembrane,
)
from rheobase.kernels.reference import membrane_trace, scan_reference
from rheobase.kernels.scan import neuron_scan
from rheobase.kernels.sparse import sparse_backward
from rheobase.kernels.surrogates import (
    SURROGATES,
    Atan,
    PiecewiseQuadratic,
    Rectangular,
    Sigmoid,
    Surrogate,
    SurrogateBase,
    Triangular,
    spike,
)
from rheobase.kernels.work import Executed, counted

__all__ = [
    "MEMBRANES",
    "SURROGATES",
    "Atan",
    "EventGradient",
    "Executed",
    "Membrane",
    "MembraneBase",
    "PiecewiseQuadratic",
    "Rectangular",
    "Sigmoid",
    "SquatMembrane",
    "Surrogate",
    "SurrogateBase",
    "TanhMembrane",
    "Triangular",
    "UniformMembrane",
    "counted",
    "membrane_trace",
    "neuron_scan",
    "scan_reference",
    "sparse_backward",
    "spike",
]
