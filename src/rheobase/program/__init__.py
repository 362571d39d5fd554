"""Integer programs: the ops, their reference, ranges, file format, C99 generator, runner and verification."""

from rheobase.program import ranges, reference
from rheobase.program.ir import Program
from rheobase.program.ops import OPS, Conv2d, Flatten, Linear, Neuron, Op, Readout, SumPool
from rheobase.program.reference import Trace
from rheobase.program.storage import load, save
from rheobase.program.weight import Weight

__all__ = [
    "OPS",
    "Conv2d",
    "Flatten",
    "Linear",
    "Neuron",
    "Op",
    "Program",
    "Readout",
    "SumPool",
    "Trace",
    "Weight",
    "load",
    "ranges",
    "reference",
    "save",
]
