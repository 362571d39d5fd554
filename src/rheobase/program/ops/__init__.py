"""The ops of a program, one file each."""

from rheobase.program.ops.add import Add
from rheobase.program.ops.base import Bounds, Firing, Op, Work
from rheobase.program.ops.concat import Concat
from rheobase.program.ops.conv2d import Conv2d
from rheobase.program.ops.delay import Delay
from rheobase.program.ops.flatten import Flatten
from rheobase.program.ops.gate import Gate
from rheobase.program.ops.head_matmul import HeadMatMul
from rheobase.program.ops.head_or_pool import HeadOrPool
from rheobase.program.ops.head_sum import HeadSum
from rheobase.program.ops.linear import Linear
from rheobase.program.ops.multi_threshold import MultiThreshold
from rheobase.program.ops.neuron import Neuron
from rheobase.program.ops.or_pool import OrPool
from rheobase.program.ops.readout import Readout
from rheobase.program.ops.recurrent import RecurrentNeuron, RecurrentRoundedNeuron
from rheobase.program.ops.rescale import Rescale
from rheobase.program.ops.rounded_neuron import RoundedNeuron
from rheobase.program.ops.step_rescale import StepRescale
from rheobase.program.ops.sum_pool import SumPool
from rheobase.program.ops.time_mix import TimeMix

OPS: dict[str, type[Op]] = {
    op.__name__: op
    for op in (
        Conv2d,
        Linear,
        SumPool,
        OrPool,
        Flatten,
        Delay,
        Add,
        Concat,
        HeadSum,
        HeadOrPool,
        Gate,
        HeadMatMul,
        Rescale,
        StepRescale,
        Neuron,
        RoundedNeuron,
        RecurrentNeuron,
        RecurrentRoundedNeuron,
        MultiThreshold,
        TimeMix,
        Readout,
    )
}

__all__ = [
    "OPS",
    "Add",
    "Bounds",
    "Concat",
    "Conv2d",
    "Delay",
    "Firing",
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
    "Readout",
    "RecurrentNeuron",
    "RecurrentRoundedNeuron",
    "Rescale",
    "RoundedNeuron",
    "StepRescale",
    "SumPool",
    "TimeMix",
    "Work",
]
