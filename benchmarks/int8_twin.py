"""The int8 network of one pass with the topology of a program: what a spiking program is timed against.

Convolutions and linear layers have the program's shapes and 8-bit weights and activations, a ReLU stands where neurons
were, and time is gone. Weights are random: the time of a dense network does not depend on them. Two peers: torch's quantised
convolutions (fbgemm) and plain C in the way of CMSIS-NN (int8_network.c), one thread.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.native import compile_shared
from rheobase.program import Conv2d, Flatten, Linear, Neuron, Program, Readout, SumPool

TORCH, C = "torch int8, one pass", "CMSIS-NN-style C int8, one pass"


def torch_twin(program: Program) -> Callable[[], Tensor]:
    """One pass of torch's quantised layers over a channel-last image."""
    from torch.ao.nn.intrinsic.quantized import ConvReLU2d
    from torch.ao.nn.quantized import Linear as Int8Linear

    torch.backends.quantized.engine = "fbgemm"
    layers: list[nn.Module] = []
    for op in program.ops:
        if isinstance(op, Conv2d):
            out, channels, size, _ = op.weight.shape
            conv = ConvReLU2d(channels, out, size, op.stride, op.padding)
            real = torch.randn(op.weight.shape) * (2 / (size * size * channels)) ** 0.5
            conv.set_weight_bias(torch.quantize_per_tensor(real, 0.01, 0, torch.qint8), torch.zeros(out))
            conv.scale, conv.zero_point = 0.05, 0
            layers.append(conv)
        elif isinstance(op, SumPool):
            layers.append(nn.AvgPool2d(op.kernel) if op.kernel else nn.AdaptiveAvgPool2d(1))
        elif isinstance(op, Flatten):
            layers.append(nn.Flatten())
        elif isinstance(op, Linear):
            out, features = op.weight.shape
            layers.append(Int8Linear(features, out))
        else:
            check(op)
    network = nn.Sequential(*layers)
    image = torch.quantize_per_tensor(torch.rand(1, *program.input_shape), 0.01, 0, torch.quint8)
    image = image.contiguous(memory_format=torch.channels_last)
    return lambda: network(image)


def c_twin(program: Program, seed: int = 0) -> Callable[[], np.ndarray]:
    """One pass of the C of int8_network.c, which knows 3x3 convolutions with padding 1 and 2x2 pooling of square maps."""
    flags = ("-std=gnu11", "-O3", "-march=native")
    c = ctypes.CDLL(str(compile_shared([Path(__file__).with_name("int8_network.c")], flags, "int8_network")))
    rng = np.random.default_rng(seed)
    widest = max(op.weight.shape[1] for op in program.ops if isinstance(op, Conv2d))
    columns = np.zeros(2 * 9 * widest, np.int16)
    steps: list[Callable[[], None]] = []
    channels, height, width = program.input_shape
    x = rng.integers(0, 128, (height, width, channels), dtype=np.int8)
    kept = [x, columns]  # what the calls point to

    def call(function: Callable[..., None], *given: object) -> None:
        pointers = [each.ctypes if isinstance(each, np.ndarray) else each for each in given]
        steps.append(lambda: function(*pointers))

    for op in program.ops:
        if isinstance(op, Conv2d):
            size, channels = x.shape[1:]
            out = op.weight.shape[0]
            if op.weight.shape[2:] != (3, 3) or (op.padding, op.stride, op.groups) != (1, 1, 1) or out % 2:
                raise RuntimeError(f"int8_network.c has no {op}")
            weights = rng.integers(-127, 128, (out, 9 * channels), dtype=np.int8)
            bias, y = np.zeros(out, np.int32), np.zeros((size, size, out), np.int8)
            scale = (1 << 31) - 1, 9 + (channels > 2) * 3
            call(c.conv3x3_s8, x, weights, bias, y, size, channels, out, *scale, columns)
        elif isinstance(op, SumPool):
            size, channels = x.shape[1:]
            if op.kernel != 2:
                raise RuntimeError(f"int8_network.c has no {op}")
            y = np.zeros((size // 2, size // 2, channels), np.int8)
            weights = bias = y
            call(c.avgpool2_s8, x, y, size, channels)
        elif isinstance(op, Linear):
            out = op.weight.shape[0]
            weights, y = rng.integers(-127, 128, (out, x.size), dtype=np.int8), np.zeros(out, np.int32)
            bias = y
            call(c.linear_s8, x, weights, y, x.size, out)
        else:
            check(op)
            continue
        kept += [weights, bias, y]
        x = y

    def run() -> np.ndarray:
        for step in steps:
            step()
        return kept[-1]

    return run


def check(op: object) -> None:
    """Raises RuntimeError for an op that a network without time has no layer for."""
    if not isinstance(op, (Flatten, Neuron, Readout)):
        raise RuntimeError(f"the int8 twin has no layer for {type(op).__name__}")
