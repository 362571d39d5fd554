"""Spiking neurons: pure functions over `[T, N, ...]`, modules of the same names, literature presets."""

from rheobase.kernels import (
    Atan,
    EventGradient,
    Membrane,
    PiecewiseQuadratic,
    Rectangular,
    Sigmoid,
    SquatMembrane,
    Surrogate,
    TanhMembrane,
    Triangular,
    UniformMembrane,
)
from rheobase.neurons.build import build_neuron
from rheobase.neurons.config import AdaptiveThreshold, NeuronConfig
from rheobase.neurons.if_ import IF, if_
from rheobase.neurons.lif import LIF, lif
from rheobase.neurons.neuron import Neuron
from rheobase.neurons.plif import PLIF, plif
from rheobase.neurons.presets import PRESETS, preset
from rheobase.neurons.recurrent import Recurrent

__all__ = [
    "IF",
    "LIF",
    "PLIF",
    "PRESETS",
    "AdaptiveThreshold",
    "Atan",
    "EventGradient",
    "Membrane",
    "Neuron",
    "NeuronConfig",
    "PiecewiseQuadratic",
    "Rectangular",
    "Recurrent",
    "Sigmoid",
    "SquatMembrane",
    "Surrogate",
    "TanhMembrane",
    "Triangular",
    "UniformMembrane",
    "build_neuron",
    "if_",
    "lif",
    "plif",
    "preset",
]
