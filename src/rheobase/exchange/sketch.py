"""A network as real numbers and five kinds of node: what programs, float models and exchange formats have in common.

Nodes stand in forward order and name what they read by its place; -1 is the frame. `from_program` is here, `from_model`
(which needs torch) has a file of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.exchange.losses import ExchangeError, Loss
from rheobase.program import ranges
from rheobase.program.ir import Program
from rheobase.program.ops import Conv2d, Flatten, Linear, Neuron, Op, Readout, RoundedNeuron, SumPool
from rheobase.program.ops.base import Shape

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """`shape` is that of one step's output."""

    name: str
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted(Node):
    """Convolution `[Cout, Cin / groups, kh, kw]` or matrix `[K, F]`, and a bias `[Cout]`."""

    weight: Array
    bias: Array
    stride: int = 1
    padding: int = 0
    groups: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Node):
    """Windows of `kernel` = stride, without padding: their sum, or their mean."""

    kernel: tuple[int, int]
    average: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Flat(Node):
    """Channel, height, width to one axis, in this order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Node):
    """Elementwise sum of all inputs."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Fire(Node):
    """Neurons: h = keep * v + I; s = 1[h >= threshold] (strict: >); v = h, and v_reset after a spike.

    `v_reset` None: v = h - threshold after a spike. `threshold`, `v_reset`: `[C]`.
    """

    keep: float
    threshold: Array
    v_reset: Array | None
    strict: bool = False
    counted: bool = True  # neurons of the network, not a stand-in for another operation


@dataclass(frozen=True, eq=False)
class Sketch:
    """The last node gives the logits of a step. `losses`: what these nodes leave out of the network.

    `rounds`: weights that are not integers any more, rounded to float32, could change a spike.
    """

    input_shape: tuple[int, int, int]
    nodes: list[Node]
    losses: list[Loss] = field(default_factory=list)
    rounds: bool = False

    def readers(self, index: int) -> list[int]:
        """Places of the nodes that read a node."""
        return [i for i, node in enumerate(self.nodes) if index in node.inputs]

    def weighted_before(self, index: int) -> list[int]:
        """The weighted nodes whose sum a node reads and nobody else does.

        Raises:
            ExchangeError: something else feeds the node, or somebody else reads it too.
        """
        found = []
        for source in self.nodes[index].inputs:
            node = self.nodes[source] if source >= 0 else None
            if isinstance(node, Sum) and len(self.readers(source)) == 1:
                found += self.weighted_before(source)
            elif isinstance(node, Weighted) and len(self.readers(source)) == 1:
                found.append(source)
            else:
                what = "the frame" if node is None else f"{node.name!r}"
                raise ExchangeError(
                    f"{self.nodes[index].name!r} reads {what}, where only weights of its own could take up a factor or bias"
                )
        return found


def from_program(program: Program) -> Sketch:
    """The nodes of a program, in its integers; thresholds lie halfway below, so that no rounding of weights meets them.

    Raises:
        ExchangeError: an op that has no node.
        ProgramError: the program is not valid.
    """
    program.validate()
    shapes = program.shapes()
    nodes: list[Node] = []
    losses: list[Loss] = []
    biases: dict[int, Array] = {}
    places: dict[int, int] = {-1: -1}
    for index, op in enumerate(program.ops):
        common: dict[str, Any] = {
            "name": op.name or f"{type(op).__name__.lower()}{index}",
            "inputs": tuple(places[i] for i in op.inputs),
            "shape": shapes[index],
        }
        if isinstance(op, Readout):
            biases[index] = op.bias.astype(float)
            places[index] = places[op.inputs[0]]
            continue
        source = op.inputs[0]
        nodes.append(
            _node(program.label(index), op, shapes[source] if source >= 0 else program.input_shape, common)
        )
        places[index] = len(nodes) - 1
        if isinstance(op, Neuron):
            biases[index] = op.bias.astype(float)
            losses += _neuron_losses(program, index, op)
    sketch = Sketch(program.input_shape, nodes, losses, _rounds(program))
    for index, bias in biases.items():
        _place_bias(sketch, program.ops[index], places[index], bias)
    if not ranges.float32_exact(program):
        losses.append(Loss(program.name, "integers pass 2^24, where float32 rounds them"))
    return sketch


def _node(label: str, op: Op, shape: Shape, common: dict[str, Any]) -> Node:
    """The node of an op that reads a map of `shape`."""
    if isinstance(op, SumPool):
        return Pool(kernel=op.window(shape), average=False, **common)
    if (make := MAKERS.get(type(op))) is None:
        raise ExchangeError(f"{label} has no form outside of programs")
    return make(op, common)


def _rounds(program: Program) -> bool:
    """Whether errors of float32 could add up to 1/2, the distance of integer membranes to thresholds, within T steps.

    A sum of n products, each of its factors and each partial sum off by 2^-24, is off by (n + 3) 2^-24 sum |w x|, and a sum
    of |w x| is at most twice the widest integer of its op.
    """
    analysis = ranges.analyse(program)
    for op, found in zip(program.ops, analysis, strict=True):
        weight = getattr(op, "weight", None)
        if weight is not None:
            terms = (math.prod(weight.shape[1:]) + 3) * program.T
            if 2 * program.T * found.widest * terms * 2.0**-24 >= 0.5:
                return True
    return False


def _place_bias(sketch: Sketch, op: Op, place: int, bias: Array) -> None:
    """Neurons and readouts elsewhere have no bias: the weights before them take it, after a neuron's gains."""
    nodes = sketch.nodes
    first, *others = [place] if isinstance(op, Readout) else sketch.weighted_before(place)
    node = nodes[first]
    if not isinstance(node, Weighted):
        raise ExchangeError(f"{op.name!r} reads {node.name!r}, where only weights could take up its bias")
    if isinstance(op, RoundedNeuron):
        gain = op.gain.astype(np.float64) * 2.0**-op.gain_shift
        for each in (first, *others):
            nodes[each] = scaled(nodes[each], gain)
    node = nodes[first]
    assert isinstance(node, Weighted)
    nodes[first] = replace(node, bias=node.bias + bias)


def scaled(node: Node, factor: Array | float) -> Weighted:
    """Weights and bias times a factor, one for all or one a channel."""
    assert isinstance(node, Weighted)
    factor = np.broadcast_to(np.asarray(factor, float), node.bias.shape)
    column = (-1, *[1] * (node.weight.ndim - 1))
    return replace(node, weight=node.weight * factor.reshape(column), bias=node.bias * factor)


def _conv2d(op: Any, common: dict[str, Any]) -> Node:
    weight = op.weight.values().astype(float) * 2.0**op.shift
    bias = np.zeros(weight.shape[0])
    return Weighted(
        weight=weight, bias=bias, stride=op.stride, padding=op.padding, groups=op.groups, **common
    )


def _linear(op: Any, common: dict[str, Any]) -> Node:
    weight = op.weight.values().astype(float) * 2.0**op.shift
    return Weighted(weight=weight, bias=np.zeros(weight.shape[0]), **common)


def _neuron(op: Any, common: dict[str, Any]) -> Node:
    reset = None if op.v_reset is None else np.broadcast_to(np.asarray(op.v_reset, float), op.threshold.shape)
    return Fire(keep=keep(op), threshold=op.threshold - 0.5, v_reset=reset, strict=True, **common)


def keep(op: Neuron) -> float:
    """The part of a membrane that a step keeps, without its rounding."""
    if op.leak_shift is None:
        return 1.0
    multiplier = (1 << op.leak_shift) - 1 if op.leak_multiplier is None else op.leak_multiplier
    return float(multiplier * 2.0**-op.leak_shift)


def _neuron_losses(program: Program, index: int, op: Neuron) -> list[Loss]:
    """What real membranes without ends do otherwise."""
    what = []
    if op.leak_shift is not None and keep(op) not in (0.0, 1.0):
        what.append("the leak is not rounded to integers")
    if isinstance(op, RoundedNeuron):
        what.append(f"membranes of {op.bits} bits are not rounded to their levels")
    elif _saturates(program, index, op):
        what.append(f"membranes do not saturate at {op.saturation}")
    return [Loss(program.label(index), each) for each in what]


def _saturates(program: Program, index: int, op: Neuron) -> bool:
    """Whether a membrane could pass its saturation with an effect within T steps."""
    found = ranges.analyse(program)[op.inputs[0]]
    low = program.T * min(0, found.low + int(op.bias.min()))
    high = program.T * max(0, found.high + int(op.bias.max())) if op.v_reset is None else 0
    reset = 0 if op.v_reset is None else int(np.min(op.v_reset))
    return (
        low + min(0, reset) < -op.saturation
        or high > op.saturation
        or int(op.threshold.max()) > op.saturation
    )


def _flatten(op: Any, common: dict[str, Any]) -> Node:
    return Flat(**common)


MAKERS: dict[type[Op], Callable[[Any, dict[str, Any]], Node]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    Flatten: _flatten,
    Neuron: _neuron,
    RoundedNeuron: _neuron,
}
