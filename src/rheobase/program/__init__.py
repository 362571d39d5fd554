"""Integer programs: the ops, their reference, ranges, file format, C99 generator, runner and verification."""

from rheobase.program import ranges, reference
from rheobase.program.c99 import write_c
from rheobase.program.ir import Program
from rheobase.program.ops import (
    OPS,
    Add,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Gate,
    HeadMatMul,
    HeadOrPool,
    HeadSum,
    Linear,
    MultiThreshold,
    Neuron,
    Op,
    OrPool,
    Readout,
    RecurrentNeuron,
    RecurrentRoundedNeuron,
    Rescale,
    RoundedNeuron,
    StepRescale,
    SumPool,
    TimeMix,
)
from rheobase.program.reference import Trace
from rheobase.program.runner import CompiledProgram
from rheobase.program.sizes import Sizes, measure
from rheobase.program.storage import load, save
from rheobase.program.verify import Verification, compare, verify
from rheobase.program.weight import Weight

__all__ = [
    "OPS",
    "Add",
    "CompiledProgram",
    "Concat",
    "Conv2d",
    "Delay",
    "Flatten",
    "Gate",
    "HeadMatMul",
    "HeadOrPool",
    "HeadSum",
    "Linear",
    "MultiThreshold",
    "Neuron",
    "Op",
    "OrPool",
    "Program",
    "Readout",
    "RecurrentNeuron",
    "RecurrentRoundedNeuron",
    "Rescale",
    "RoundedNeuron",
    "Sizes",
    "StepRescale",
    "SumPool",
    "TimeMix",
    "Trace",
    "Verification",
    "Weight",
    "compare",
    "load",
    "measure",
    "ranges",
    "reference",
    "save",
    "verify",
    "write_c",
]
