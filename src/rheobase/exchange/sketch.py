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
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import (
    Add,
    Conv2d,
    Flatten,
    HeadSum,
    Linear,
    MultiThreshold,
    Neuron,
    Op,
    OrPool,
    Readout,
    RecurrentNeuron,
    RecurrentRoundedNeuron,
    Rescale,
    RoundedNeuron,
    SumPool,
)
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
    dilation: int = 1


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


def own_weights(nodes: list[Node], source: int, shape: Shape, shared: bool) -> int:
    """The weights that a node alone reads, so that they can take up its bias and factors: those at `source`, or new ones.

    New ones are the identity, one weight a channel: where the source is a sum, a pool, spikes, or read by others too.
    """
    node = nodes[source] if source >= 0 else None
    if isinstance(node, Weighted) and not shared:
        return source
    name = "frame" if node is None else node.name
    ones = np.ones(shape[0])
    nodes.append(by_channel(ones, 0 * ones, name=f"{name}.identity", inputs=(source,), shape=shape))
    return len(nodes) - 1


def by_channel(gain: Array, bias: Array, **common: Any) -> Weighted:
    """`y[c] = gain[c] * x[c] + bias[c]` as a convolution of 1x1 by channel, or as a diagonal matrix."""
    if len(common["shape"]) == 1:
        return Weighted(weight=np.diag(gain), bias=bias, **common)
    return Weighted(weight=gain.reshape(-1, 1, 1, 1), bias=bias, groups=len(gain), **common)


def put_or_pool(
    nodes: list[Node],
    source: int,
    channels: int,
    shape: Shape,
    name: str,
    kernel: int,
    stride: int,
    padding: int,
) -> None:
    """The OR of windows of spikes: their sum, and neurons that forget and fire at any."""
    ones = np.ones((channels, 1, kernel, kernel))
    zeros = np.zeros(channels)
    window: dict[str, Any] = {"stride": stride, "padding": padding, "groups": channels}
    nodes.append(
        Weighted(weight=ones, bias=zeros, name=f"{name}.sum", inputs=(source,), shape=shape, **window)
    )
    inputs = (len(nodes) - 1,)
    nodes.append(
        Fire(
            keep=0.0,
            threshold=zeros + 0.5,
            v_reset=zeros,
            strict=True,
            counted=False,
            name=name,
            inputs=inputs,
            shape=shape,
        )
    )


def from_program(program: Program) -> Sketch:
    """The nodes of a program, in its integers; thresholds lie halfway below, so that no rounding of weights meets them.

    Raises:
        ExchangeError: an op that has no node.
        ProgramError: the program is not valid.
    """
    program.validate()
    shapes, kinds, readers = program.shapes(), program.kinds(), program.readers()
    analysis = ranges.analyse(program)
    nodes: list[Node] = []
    losses: list[Loss] = []
    places = {FRAME: -1}
    for index, op in enumerate(program.ops):
        inputs = tuple(places[i] for i in op.inputs)
        first = op.inputs[0]
        shape = program.input_shape if first == FRAME else shapes[first]
        common: dict[str, Any] = {
            "name": op.name or f"{type(op).__name__.lower()}{index}",
            "inputs": inputs,
            "shape": shapes[index],
        }
        if isinstance(op, Neuron | Readout):
            shared = first == FRAME or readers[first] != [index]
            place = own_weights(nodes, inputs[0], shape, shared)
            nodes[place] = _biased(nodes[place], op)
            if isinstance(op, RecurrentNeuron | RecurrentRoundedNeuron):
                raise ExchangeError(
                    f"{program.label(index)} takes back its own spikes, which neurons outside of programs do not"
                )
            if isinstance(op, Neuron):
                if op.ternary:
                    raise ExchangeError(
                        f"{program.label(index)} fires -1 too (ternary), which neurons outside of programs do not"
                    )
                nodes.append(_neuron(op, common | {"inputs": (place,)}))
                losses += _neuron_losses(common["name"], op, analysis[first], program.T)
        elif isinstance(op, MultiThreshold):
            raise ExchangeError(
                f"{program.label(index)} fires integers up to {op.levels}, which neurons outside of programs do not"
            )
        elif isinstance(op, OrPool):
            if kinds[index] != "events":
                raise ExchangeError(
                    f"{program.label(index)} takes the maximum of currents or signed events, which formats of spikes cannot say"
                )
            put_or_pool(
                nodes, inputs[0], shape[0], shapes[index], common["name"], op.kernel, op.stride, op.padding
            )
            if first == FRAME or analysis[first].high > 1:
                losses.append(
                    Loss(
                        common["name"],
                        "of the counts in a window it is told whether there are any, not the largest",
                    )
                )
        elif isinstance(op, HeadSum):
            ones = np.ones((op.heads, shape[0] // op.heads, 1, 1))
            nodes.append(Weighted(weight=ones, bias=np.zeros(op.heads), groups=op.heads, **common))
        elif isinstance(op, SumPool):
            nodes.append(Pool(kernel=op.window(shape), average=False, **common))
        elif (make := MAKERS.get(type(op))) is not None:
            nodes.append(make(op, common))
            if isinstance(op, Rescale) and bool((op.gain % (1 << op.gain_shift)).any()):
                losses.append(Loss(common["name"], "products are not rounded to integers"))
        else:
            raise ExchangeError(f"{program.label(index)} has no form outside of programs")
        places[index] = len(nodes) - 1
    if _rounded_sums(program):
        losses.append(Loss(program.name, "integers pass 2^24, where float32 rounds them"))
    return Sketch(program.input_shape, nodes, losses, _rounds(program))


def _rounded_sums(program: Program) -> bool:
    """Whether sums of weights can pass 2^24; products by gains are no integers here."""
    analysis = zip(program.ops, ranges.analyse(program), strict=True)
    return any(found.widest >= ranges.FLOAT32_EXACT for op, found in analysis if hasattr(op, "weight"))


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


def _biased(node: Node, op: Neuron | Readout) -> Weighted:
    """Neurons and readouts elsewhere have no bias, and no gains: the weights before them take them up."""
    gain = op.gain.astype(float) * 2.0**-op.gain_shift if isinstance(op, RoundedNeuron) else 1.0
    found = scaled(node, gain)
    return replace(found, bias=found.bias + op.bias)


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
        weight=weight,
        bias=bias,
        stride=op.stride,
        padding=op.padding,
        groups=op.groups,
        dilation=op.dilation,
        **common,
    )


def _linear(op: Any, common: dict[str, Any]) -> Node:
    weight = op.weight.values().astype(float) * 2.0**op.shift
    return Weighted(weight=weight, bias=np.zeros(weight.shape[0]), **common)


def _add(op: Any, common: dict[str, Any]) -> Node:
    return Sum(**common)


def _rescale(op: Any, common: dict[str, Any]) -> Node:
    return by_channel(op.gain * 2.0**-op.gain_shift, op.bias.astype(float), **common)


def _flatten(op: Any, common: dict[str, Any]) -> Node:
    return Flat(**common)


MAKERS: dict[type[Op], Callable[[Any, dict[str, Any]], Node]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    Flatten: _flatten,
    Add: _add,
    Rescale: _rescale,
}


def _neuron(op: Neuron, common: dict[str, Any]) -> Fire:
    reset = None if op.v_reset is None else np.broadcast_to(np.asarray(op.v_reset, float), op.threshold.shape)
    return Fire(
        keep=keep(op), threshold=op.threshold.astype(np.float64) - 0.5, v_reset=reset, strict=True, **common
    )


def keep(op: Neuron) -> float:
    """The part of a membrane that a step keeps, without its rounding."""
    if op.leak_shift is None:
        return 1.0
    multiplier = (1 << op.leak_shift) - 1 if op.leak_multiplier is None else op.leak_multiplier
    return float(multiplier * 2.0**-op.leak_shift)


def _neuron_losses(name: str, op: Neuron, current: ranges.Range, steps: int) -> list[Loss]:
    """What real membranes without ends do otherwise."""
    what = []
    if op.leak_shift is not None and keep(op) not in (0.0, 1.0):
        what.append("the leak is not rounded to integers")
    if isinstance(op, RoundedNeuron):
        what.append(f"membranes of {op.bits} bits are not rounded to their levels")
    elif _saturates(op, current, steps):
        what.append(f"membranes do not saturate at {op.saturation}")
    return [Loss(name, each) for each in what]


def _saturates(op: Neuron, current: ranges.Range, steps: int) -> bool:
    """Whether a membrane could pass its saturation with an effect within so many steps."""
    low = steps * min(0, current.low + int(op.bias.min()))
    high = steps * max(0, current.high + int(op.bias.max())) if op.v_reset is None else 0
    reset = 0 if op.v_reset is None else int(np.min(op.v_reset))
    beyond = low + min(0, reset) < -op.saturation or high > op.saturation
    return beyond or int(op.threshold.max()) > op.saturation
