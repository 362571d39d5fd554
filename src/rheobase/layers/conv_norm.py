"""Convolution, batch-norm and neuron: the steps that spiking networks are made of, in their two orders."""

from torch import nn

from rheobase.layers.torch_layers import BatchNorm2d, Conv2d
from rheobase.neurons import NeuronConfig, build_neuron


def named(**layers: nn.Module | None) -> nn.Sequential:
    """A chain of the layers that there are, under these names."""
    chain = nn.Sequential()
    for name, layer in layers.items():
        if layer is not None:
            chain.add_module(name, layer)
    return chain


def conv_norm(
    inputs: int,
    outputs: int,
    neuron: NeuronConfig | None = None,
    *,
    kernel: int = 1,
    stride: int = 1,
    pool: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution without bias (batch-norm would take it off), batch-norm, pooling of currents, neuron; spikes go on.

        y = LIF(pool(BN(W * x)))            without `neuron`: currents go on

    The layers are called `conv`, `norm`, `pool` and `neuron`; sizes that the stride does not divide are rounded up.

    Shape: `[T, N, inputs, H, W]` -> `[T, N, outputs, ceil(H / stride), ceil(W / stride)]`.
    """
    return named(
        conv=Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        norm=BatchNorm2d(outputs),
        pool=pool,
        neuron=None if neuron is None else build_neuron(neuron),
    )


def neuron_conv_norm(
    inputs: int,
    outputs: int,
    neuron: nn.Module,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    pool: nn.Module | None = None,
) -> nn.Sequential:
    """Neuron, pooling of its spikes, convolution without bias, batch-norm; currents go on, as shortcuts of membranes add.

        y = BN(W * pool(LIF(x)))

    Shape: `[T, N, inputs, H, W]` -> `[T, N, outputs, ceil(H / stride), ceil(W / stride)]`.
    """
    return named(
        neuron=neuron,
        pool=pool,
        conv=Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        norm=BatchNorm2d(outputs),
    )
