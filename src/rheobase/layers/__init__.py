"""Torch's stateless layers made time-aware, and spiking blocks."""

from rheobase.layers.attention import SpikingSelfAttention
from rheobase.layers.blocks import MSBlock
from rheobase.layers.fold import repeat
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
    "BatchNorm2d",
    "Conv2d",
    "Flatten",
    "GlobalAvgPool2d",
    "Linear",
    "MSBlock",
    "MaxPool2d",
    "SpikingSelfAttention",
    "repeat",
]
