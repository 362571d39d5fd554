"""Trained spike-time networks as integer programs: times in ticks, weights in 8 bits, C99 that runs event by event.

`lower(model)` puts a model of the rules ReL-PSP or STD-ED on a time grid; `reference.run` says what its program
computes, `write_c` writes it as C, `CompiledProgram` runs that C here, `Learner` learns the last layer on the device.
"""

from rheobase.spiketime.program.c99 import write_c
from rheobase.spiketime.program.ir import Encoder, Layer, Pool, Program, Readout
from rheobase.spiketime.program.learner import Learner
from rheobase.spiketime.program.lower import lower
from rheobase.spiketime.program.reference import Trace
from rheobase.spiketime.program.runner import CompiledLearner, CompiledProgram

__all__ = [
    "CompiledLearner",
    "CompiledProgram",
    "Encoder",
    "Layer",
    "Learner",
    "Pool",
    "Program",
    "Readout",
    "Trace",
    "lower",
    "write_c",
]
