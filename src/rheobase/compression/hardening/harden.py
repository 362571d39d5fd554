"""`harden`: the walk along a model's graph, and the rule of each layer."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from rheobase.compression.graph import name_of, trace
from rheobase.compression.hardening import delays, neurons, pools, tokens, units, weights
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Value
from rheobase.compression.lattice import Hardened
from rheobase.compression.protocols import MixesTime
from rheobase.errors import LatticeError
from rheobase.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Delays,
    Flatten,
    GlobalAvgPool2d,
    HeadScale,
    InputUnit,
    Linear,
    MaxPool2d,
    PadShortcut,
    SpikeFiring,
)
from rheobase.layers.attention.driven import TokenErode
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron, Recurrent
from rheobase.program.ir import InputType

Rule = Callable[..., Value]  # of the builder, the layer's name, the layer, and its inputs
ADDITIONS = (operator.add, operator.iadd, torch.add)
# by class or by protocol; the first that fits
ONE_INPUT: list[tuple[type, Rule]] = [
    (Conv2d, weights.weighted),
    (Linear, weights.weighted),
    (PadShortcut, weights.pad_shortcut),
    (InputUnit, units.input_unit),
    (BatchNorm2d, units.batch_norm),
    (Scale, units.scale),
    (Flatten, units.flatten),
    (Delays, delays.delays),
    (nn.Identity, units.identity),
    (Recurrent, neurons.recurrent),
    (Neuron, neurons.neuron),
    (SpikeFiring, neurons.spike_firing),
    (MixesTime, neurons.mixes_time),
    (AvgPool2d, pools.mean),
    (GlobalAvgPool2d, pools.global_mean),
    (MaxPool2d, pools.maximum),
    (MapSum, pools.map_sum),
    (HeadSum, tokens.head_sum),
    (TokenErode, tokens.token_erode),
    (HeadScale, units.head_scale),
]
TWO_INPUTS: list[tuple[type, Rule]] = [
    (Gate, tokens.gate),
    (HeadMatMul, tokens.head_matmul),
    (Concat, units.concat),
]
RULES = {1: ONE_INPUT, 2: TWO_INPUTS}


@torch.no_grad()
def harden(model: SpikingModel, input_type: InputType = "uint8") -> Hardened:
    """Hardened copy of a quantised model; the model itself is left as it is. Its frames are of `input_type`.

    Shape:
        the hardened model takes `[T, N, C, H, W]` whole numbers 0..255 (int8: -128..127) and gives integer logits `[T, N, K]`

    Raises:
        LatticeError: a layer has float weights, or is of a kind the lattice does not hold (products
            beyond 32 bits, ...); the message names layer and reason.
    """
    builder, layers = Builder(model, input_type), dict(model.named_modules())
    values: dict[fx.Node, Value] = {}
    for node in trace(model).nodes:
        if node.op == "output":
            return builder.finish(values[node.args[0]])
        if node.op == "placeholder":
            value = builder.input()
        else:
            inputs = [values[each] for each in node.args if isinstance(each, fx.Node)]
            if node.kwargs or len(inputs) != len(node.args):
                raise LatticeError(f"{name_of(node)!r} takes more than tensors: {node.args}, {node.kwargs}")
            if node.op == "call_module":
                name = str(node.target)
                value = rule(name, layers[name], len(inputs))(builder, name, layers[name], *inputs)
            elif node.op == "call_function" and node.target in ADDITIONS and len(inputs) == 2:
                value = builder.add(name_of(node), *inputs)
            else:
                raise LatticeError(
                    f"operation {name_of(node)!r} computes outside a layer, and is no addition of two tensors: it cannot be put "
                    "on the integer lattice"
                )
        values[node] = value if len(node.users) == 1 else replace(value, rows=None)
    raise LatticeError("the model returns nothing")


def rule(name: str, layer: Any, inputs: int) -> Rule:
    """What a layer of so many inputs becomes.

    Raises:
        LatticeError: the lattice has nothing like it.
    """
    for kind, found in RULES.get(inputs, []):
        if isinstance(layer, kind):
            return found
    raise LatticeError(
        f"layer {name!r} ({type(layer).__name__}) with {inputs} inputs cannot be put on the integer lattice"
    )
