"""Spike-time networks: every neuron fires at most once, and layers map spike times to spike times.

Times are `[N, ...]`, inf = silent; there is no time axis. A rule says when a neuron fires and how that time moves with
weights and inputs: `RelPsp` (STDBP), `StdEd`, and the baselines `Mostafa`, `Goltz1`, `Goltz2`, `Comsa`, `EventProp`,
`S4NN`. Whole networks are the model `spike_time` (`rheobase.models`).
"""

from rheobase.kernels.work import Executed, counted
from rheobase.spiketime.comsa import Comsa, Pulses
from rheobase.spiketime.crossing import CrossingRule, Crossings, Reference
from rheobase.spiketime.encoding import CodingConv2d, FirstEvent, Latency, LatencyConfig
from rheobase.spiketime.eventprop import EventProp
from rheobase.spiketime.geometry import Geometry
from rheobase.spiketime.goltz import Goltz1, Goltz2
from rheobase.spiketime.layers import Conv2d, Dropout, Linear, MinPool2d
from rheobase.spiketime.mostafa import Mostafa
from rheobase.spiketime.readout import FirstSpike, WindowEnd
from rheobase.spiketime.rel_psp import RelPsp
from rheobase.spiketime.rules import Rule, RuleConfig
from rheobase.spiketime.s4nn import S4NN
from rheobase.spiketime.std_ed import StdEd

__all__ = [
    "S4NN",
    "CodingConv2d",
    "Comsa",
    "Conv2d",
    "CrossingRule",
    "Crossings",
    "Dropout",
    "EventProp",
    "Executed",
    "FirstEvent",
    "FirstSpike",
    "Geometry",
    "Goltz1",
    "Goltz2",
    "Latency",
    "LatencyConfig",
    "Linear",
    "MinPool2d",
    "Mostafa",
    "Pulses",
    "Reference",
    "RelPsp",
    "Rule",
    "RuleConfig",
    "StdEd",
    "WindowEnd",
    "counted",
]
