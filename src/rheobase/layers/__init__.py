"""Torch's stateless layers made time-aware, and spiking blocks."""

from rheobase.layers.attention import SpikingSelfAttention
from rheobase.layers.attention.binary import BinaryAttention, HeadScale
from rheobase.layers.blocks import BasicBlock, MSBlock, PadShortcut
from rheobase.layers.concat import Concat
from rheobase.layers.delays import Delays
from rheobase.layers.dense import Dense
from rheobase.layers.fold import repeat
from rheobase.layers.input_unit import InputUnit
from rheobase.layers.reversible import HalfResidual, PlainResidual, TwoStreams
from rheobase.layers.spike_firing import SpikeFiring
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.layers.torch_layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
)

__all__ = [
    "AvgPool2d",
    "BasicBlock",
    "BatchNorm2d",
    "BinaryAttention",
    "Concat",
    "Conv2d",
    "Delays",
    "Dense",
    "Flatten",
    "Gate",
    "GlobalAvgPool2d",
    "HalfResidual",
    "HeadMatMul",
    "HeadScale",
    "HeadSum",
    "InputUnit",
    "Linear",
    "MSBlock",
    "MapSum",
    "MaxPool2d",
    "PadShortcut",
    "PlainResidual",
    "Scale",
    "SpikeFiring",
    "SpikingSelfAttention",
    "TwoStreams",
    "repeat",
]
