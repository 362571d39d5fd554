"""What each op of a program becomes in ONNX."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from rheobase.exchange.losses import ExchangeError
from rheobase.exchange.onnx_builder import Builder, Value
from rheobase.program import ranges
from rheobase.program.ir import FRAME
from rheobase.program.ops import (
    Add,
    Concat,
    Conv2d,
    Flatten,
    Gate,
    HeadMatMul,
    HeadOrPool,
    HeadSum,
    Linear,
    MultiThreshold,
    Neuron,
    Op,
    OrPool,
    Readout,
    Rescale,
    RoundedNeuron,
    StepRescale,
    SumPool,
    TimeMix,
)
from rheobase.program.ops.base import Shape


def write_ops(b: Builder) -> None:
    """All ops of the builder's program in turn.

    Raises:
        ExchangeError: an op has no form in ONNX.
    """
    program = b.program
    frames = b.reshape(b.cast("frames", np.float32), [-1, *program.input_shape])
    values = {FRAME: Value(frames, program.input_shape, np.float32)}
    for index, (op, shape, found) in enumerate(
        zip(program.ops, program.shapes(), ranges.analyse(program), strict=True)
    ):
        b.label, b.found = program.label(index), found
        if (write := WRITERS.get(type(op))) is None:
            raise ExchangeError(f"{b.label} has no form in ONNX")
        values[index] = write(b, op, shape, *(values[i] for i in op.inputs))


def _conv2d(b: Builder, op: Conv2d, shape: Shape, x: Value) -> Value:
    """A shift is a power of two in the weights, and as exact."""
    weight = b.constant(op.weight.values() << op.shift, np.float32)
    name = b.node(
        "Conv",
        b.in_float32(x, b.largest_sum(op.shift)),
        weight,
        strides=[op.stride] * 2,
        pads=[op.padding] * 4,
        dilations=[op.dilation] * 2,
        group=op.groups,
    )
    return Value(name, shape, np.float32)


def _linear(b: Builder, op: Linear, shape: Shape, x: Value) -> Value:
    weight = b.constant((op.weight.values() << op.shift).T, np.float32)
    return Value(b.node("MatMul", b.in_float32(x, b.largest_sum(op.shift)), weight), shape, np.float32)


def _sum_pool(b: Builder, op: SumPool, shape: Shape, x: Value) -> Value:
    """Ones as weights: an average would divide."""
    channels, kernel = x.shape[0], list(op.window(x.shape))
    ones = b.constant(np.ones((channels, 1, *kernel)), np.float32)
    name = b.node("Conv", b.in_float32(x, b.largest_sum()), ones, strides=kernel, group=channels)
    return Value(name, shape, np.float32)


def _or_pool(b: Builder, op: OrPool, shape: Shape, x: Value) -> Value:
    """Outside the map neither has anything."""
    name = b.node(
        "MaxPool",
        x.name,
        kernel_shape=[op.kernel] * 2,
        strides=[op.stride] * 2,
        pads=[op.padding] * 4,
    )
    return Value(name, shape, x.kind)


def _head_or_pool(b: Builder, op: HeadOrPool, shape: Shape, x: Value) -> Value:
    """The matrices as maps, channel by channel of a head as rows."""
    matrices = b.reshape(x.name, [-1, *op.matrices(shape)])
    most = _or_pool(b, op.pool, op.matrices(shape), Value(matrices, op.matrices(shape), x.kind))
    return Value(b.reshape(most.name, [-1, *shape]), shape, x.kind)


def _head_sum(b: Builder, op: HeadSum, shape: Shape, x: Value) -> Value:
    """The channels of a head as an axis that is summed."""
    kind = b.enough()
    heads = b.reshape(b.held(x, kind), [-1, op.heads, x.shape[0] // op.heads, *x.shape[1:]])
    name = b.node("ReduceSum", heads, b.constant([2], np.int64), keepdims=0)
    return Value(name, shape, kind)


def _gate(b: Builder, op: Gate, shape: Shape, gate: Value, x: Value) -> Value:
    """The channels that a gate holds for as an axis along which it is spread."""
    kind, gates = b.enough(), gate.shape[0]
    mask = b.reshape(b.held(gate, kind), [-1, gates, 1, *gate.shape[1:]])
    masked = b.node("Mul", mask, b.reshape(b.held(x, kind), [-1, gates, shape[0] // gates, *shape[1:]]))
    return Value(b.reshape(masked, [-1, *shape]), shape, kind)


def _head_matmul(b: Builder, op: HeadMatMul, shape: Shape, first: Value, second: Value) -> Value:
    """A map is `[heads, d, L]`, each head's matrix transposed: Y^T = B^T A^T."""
    kind = b.enough()
    a, c = (
        b.reshape(b.held(x, kind), [-1, op.heads, x.shape[0] // op.heads, x.shape[1] * x.shape[2]])
        for x in (first, second)
    )
    a = b.node("Transpose", a, perm=[0, 1, 3, 2]) if op.kind == "first" else a
    c = b.node("Transpose", c, perm=[0, 1, 3, 2]) if op.kind == "second" else c
    return Value(b.reshape(b.node("MatMul", c, a), [-1, *shape]), shape, kind)


def _time_mix(b: Builder, op: TimeMix, shape: Shape, x: Value) -> Value:
    """Mixed at once: each channel's triangle times `[T, N * places]`."""
    kind, steps, channels, places = b.enough(), b.program.T, op.channels, prod(shape[1:])
    whole = b.reshape(b.held(x, kind), [steps, -1, channels, places])
    flat = b.reshape(b.node("Transpose", whole, perm=[2, 0, 1, 3]), [channels, steps, -1])
    mixed = b.node("MatMul", b.constant(op.matrices[:, :steps, :steps], kind), flat)
    sums = b.node("Transpose", b.reshape(mixed, [channels, steps, -1, places]), perm=[1, 2, 0, 3])
    thresholds = op.threshold.reshape(op.steps, 1, channels, 1)[:steps]
    fired = b.node("GreaterOrEqual", sums, b.constant(thresholds, kind))
    return Value(b.reshape(b.cast(fired, np.float32), [-1, *shape]), shape, np.float32)


def _multi_threshold(b: Builder, op: MultiThreshold, shape: Shape, x: Value) -> Value:
    """The levels as an axis along which ones are summed."""
    kind, axis = b.enough(), b.constant([1], np.int64)
    levels = b.constant(op.threshold.reshape(1, op.levels, -1, *[1] * (len(shape) - 1)), kind)
    reached = b.node("GreaterOrEqual", b.node("Unsqueeze", b.held(x, kind), axis), levels)
    return Value(b.node("ReduceSum", b.cast(reached, np.float32), axis, keepdims=0), shape, np.float32)


def _flatten(b: Builder, op: Flatten, shape: Shape, x: Value) -> Value:
    return Value(b.reshape(x.name, [-1, *shape]), shape, x.kind)


def _add(b: Builder, op: Add, shape: Shape, first: Value, second: Value) -> Value:
    kind = b.enough()
    return Value(b.node("Add", b.held(first, kind), b.held(second, kind)), shape, kind)


def _concat(b: Builder, op: Concat, shape: Shape, first: Value, second: Value) -> Value:
    kind = b.enough()
    return Value(b.node("Concat", b.held(first, kind), b.held(second, kind), axis=1), shape, kind)


def _rescale(b: Builder, op: Rescale, shape: Shape, x: Value) -> Value:
    kind = b.enough()
    scaled = _gained(b, b.held(x, kind), op.gain, op.gain_shift, shape, kind)
    return Value(b.node("Add", scaled, b.by_channel(op.bias, shape, kind)), shape, kind)


def _step_rescale(b: Builder, op: StepRescale, shape: Shape, x: Value) -> Value:
    """Steps as an axis of gains and biases."""
    kind, steps = b.enough(), b.program.T
    whole = b.reshape(b.held(x, kind), [steps, -1, *shape])
    gain, bias = (
        b.constant(each.reshape(op.steps, 1, -1, *[1] * (len(shape) - 1))[:steps], kind)
        for each in (op.gain, op.bias)
    )
    scaled = b.node("Add", _shifted(b, b.node("Mul", whole, gain), op.gain_shift, kind), bias)
    return Value(b.reshape(scaled, [-1, *shape]), shape, kind)


def _gained(b: Builder, x: str, gain: Any, shift: int, shape: Shape, kind: type[Any]) -> str:
    """`floor((x * gain + 2^(shift - 1)) / 2^shift)`."""
    return _shifted(b, b.node("Mul", x, b.by_channel(gain, shape, kind)), shift, kind)


def _shifted(b: Builder, product: str, shift: int, kind: type[Any]) -> str:
    """`floor((product + 2^(shift - 1)) / 2^shift)`."""
    if shift == 0:
        return product
    half = b.node("Add", product, b.constant(1 << (shift - 1), kind))
    return b.node("Floor", b.node("Mul", half, b.constant(2.0**-shift, kind)))


def _neuron(b: Builder, op: Neuron, shape: Shape, x: Value) -> Value:
    """Step by step on `[1, N, *shape]`; the membrane starts at 0, which leaks to 0."""
    kind, steps = b.enough(), b.program.T
    current = b.held(x, kind)
    if isinstance(op, RoundedNeuron):
        current = _gained(b, current, op.gain, op.gain_shift, shape, kind)
    current = b.node("Add", current, b.by_channel(op.bias, shape, kind))
    threshold = b.by_channel(op.threshold, shape, kind)
    ends = [b.constant(end, kind) for end in (-op.saturation, op.saturation)]
    reset = None if op.v_reset is None else b.by_channel(op.v_reset, shape, kind)
    parts = _steps(b, current, shape, steps)
    spikes, kept = [], ""
    for step, part in enumerate(parts):
        v = b.node("Clip", b.node("Add", _leaked(b, op, kept, kind), part) if step else part, *ends)
        fired = b.node("GreaterOrEqual", v, threshold)
        s = b.cast(fired, np.float32)
        if op.ternary:
            down = b.node("GreaterOrEqual", b.node("Neg", v), threshold)
            s, fired = b.node("Sub", s, b.cast(down, np.float32)), b.node("Or", fired, down)
        spikes.append(s)
        level = threshold if reset is None else reset
        signed = b.node("Mul", level, b.cast(s, kind)) if op.ternary else level
        after = b.node("Sub", v, signed) if reset is None else signed
        kept = b.node("Where", fired, after, v)
        if isinstance(op, RoundedNeuron):
            kept = _rounded(b, op, kept, kind)
    joined = b.node("Concat", *spikes, axis=0)
    return Value(b.reshape(joined, [-1, *shape]), shape, np.float32)


def _steps(b: Builder, name: str, shape: Shape, steps: int) -> list[str]:
    """`[T * N, *shape]` as T tensors `[1, N, *shape]`."""
    whole = b.reshape(name, [steps, -1, *shape])
    if steps == 1:
        return [whole]
    names = [f"{whole}_{step}" for step in range(steps)]
    b.nodes.append(
        b.make_node("Split", [whole], names, name=f"split_{len(b.nodes)}", axis=0, num_outputs=steps)
    )
    return names


def _leaked(b: Builder, op: Neuron, v: str, kind: type[Any]) -> str:
    if op.leak_shift is None:
        return v
    part = b.constant(2.0**-op.leak_shift, kind)
    if op.leak_multiplier is None:
        return b.node("Sub", v, b.node("Floor", b.node("Mul", v, part)))
    product = b.node("Mul", v, b.constant(op.leak_multiplier, kind))
    return b.node("Floor", b.node("Mul", product, part))


def _rounded(b: Builder, op: RoundedNeuron, v: str, kind: type[Any]) -> str:
    """The level whose number is that of the edges not above the membrane."""
    last = b.constant([-1], np.int64)
    reached = b.node("GreaterOrEqual", b.node("Unsqueeze", v, last), b.constant(op.edges, kind))
    code = b.node("ReduceSum", b.cast(reached, np.int32), last, keepdims=0)
    return b.node("Gather", b.constant(op.levels, kind), code, axis=0)


def _readout(b: Builder, op: Readout, shape: Shape, x: Value) -> Value:
    """Each step's scores as integers, summed over the steps."""
    kind = b.enough()
    scores = b.node("Add", b.held(x, kind), b.constant(op.bias, kind))
    whole = b.reshape(b.cast(scores, np.int32), [b.program.T, -1, *shape])
    axis = b.constant(0, np.int64)
    b.nodes.append(b.make_node("CumSum", [whole, axis], ["logits"], name="logits"))
    return Value("logits", shape, kind)


WRITERS: dict[type[Op], Callable[..., Value]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    SumPool: _sum_pool,
    OrPool: _or_pool,
    HeadOrPool: _head_or_pool,
    HeadSum: _head_sum,
    Gate: _gate,
    HeadMatMul: _head_matmul,
    TimeMix: _time_mix,
    MultiThreshold: _multi_threshold,
    Flatten: _flatten,
    Add: _add,
    Concat: _concat,
    Rescale: _rescale,
    StepRescale: _step_rescale,
    Neuron: _neuron,
    RoundedNeuron: _neuron,
    Readout: _readout,
}
