"""Convolution, batch-norm and (mostly) a neuron: the step that spiking networks are made of."""

from torch import nn

from rheobase.layers.torch_layers import BatchNorm2d, Conv2d
from rheobase.neurons import NeuronConfig, build_neuron


def named(**layers: nn.Module) -> nn.Sequential:
    """A chain of layers under these names."""
    chain = nn.Sequential()
    for name, layer in layers.items():
        chain.add_module(name, layer)
    return chain


def conv_norm(
    inputs: int,
    outputs: int,
    neuron: NeuronConfig | None = None,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    pool: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution without bias (batch-norm would take it off), batch-norm, a pooling, and the neuron.

        y = LIF(BN(W * x))            `neuron=None`: BN(W * x)

    The layers are called `conv`, `norm`, `pool`, `neuron`; sizes that the stride does not divide are rounded up.

    Shape: `[T, N, inputs, H, W]` -> `[T, N, outputs, ceil(H / stride), ceil(W / stride)]`.
    """
    chain = named(
        conv=Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        norm=BatchNorm2d(outputs),
    )
    if pool is not None:
        chain.add_module("pool", pool)
    if neuron is not None:
        chain.add_module("neuron", build_neuron(neuron))
    return chain
