"""Attention without softmax, on maps `[T, N, C, H, W]` whose pixels are tokens: one kind a file.

Each file opens with its equations, has them as pure functions on `[T, N, heads, L, d]`, and as layers that are composed of 1x1
convolutions, neurons and the leaves of `layers.tokens`, so that a trace sees nothing else.
"""

from rheobase.layers.attention.spiking import SpikingSelfAttention, choose_order, spike_attention

__all__ = ["SpikingSelfAttention", "choose_order", "spike_attention"]
