"""Attention without softmax, on maps `[T, N, C, H, W]` whose pixels are tokens: one kind a file.

Each file opens with its equations, has what is not a projection as a pure function on `[T, N, heads, L, d]`, and layers that are
composed of 1x1 convolutions, neurons and the leaves of `layers.tokens`, so that a trace sees nothing else.
"""

from rheobase.layers.attention.binary import BinaryAttention, HeadScale
from rheobase.layers.attention.driven import MaskedAttention, RepAttention, WideAttention, masked_attention
from rheobase.layers.attention.qk import QKAttention, qk_attention
from rheobase.layers.attention.spiking import SpikingSelfAttention, choose_order, spike_attention

__all__ = [
    "BinaryAttention",
    "HeadScale",
    "MaskedAttention",
    "QKAttention",
    "RepAttention",
    "SpikingSelfAttention",
    "WideAttention",
    "choose_order",
    "masked_attention",
    "qk_attention",
    "spike_attention",
]
