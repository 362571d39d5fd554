"""ONNX files: a program unrolled over its T steps, exact in float32 and float64.

Input `frames` of the program's type, uint8 or int8, `[T, N, C, H, W]`, any N; output `logits` int32 `[T, N, K]`, the
running class scores after each step.
Layers without memory see all steps at once, as `[T * N, ...]`; only neurons are unrolled.

Integers are held in float32 as long as no integer met in an op reaches 2^24, else in float64, exact below 2^53; sums of
weights must stay in float32, as ONNX Runtime convolves nothing else. Floors, comparisons and selections are exact in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.exchange.losses import ExchangeError
from rheobase.files import atomic_write
from rheobase.program import ranges
from rheobase.program.ir import FRAME, Program
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
from rheobase.program.reference import check_frames

OPSET, IR_VERSION = 18, 9


def export_onnx(program: Program, path: Path) -> Path:
    """Write a program as an ONNX file for its own number of steps.

    Raises:
        ExchangeError: an op has no form in ONNX, or sums of weights are beyond exact float32; the message names it.
        ProgramError: the program is not valid.
        OSError: the file cannot be written.
    """
    atomic_write(Path(path), to_onnx(program).SerializeToString())
    return Path(path)


def to_onnx(program: Program) -> Any:
    """A program as an ONNX model; see `export_onnx`."""
    onnx = _package("onnx")
    program.validate()
    builder = _Builder(program)
    builder.build()
    graph = onnx.helper.make_graph(
        builder.nodes,
        program.name,
        [
            onnx.helper.make_tensor_value_info(
                "frames",
                getattr(onnx.TensorProto, program.input_type.upper()),
                [program.T, "N", *program.input_shape],
            )
        ],
        [
            onnx.helper.make_tensor_value_info(
                "logits", onnx.TensorProto.INT32, [program.T, "N", program.classes]
            )
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in builder.constants.items()],
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="rheobase"
    )
    facts = {"rheobase_digest": program.digest(), "logit_scale": repr(program.logit_scale)}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    return model


def run_onnx(path: Path, program: Program, frames: NDArray[Any]) -> NDArray[np.int32]:
    """Running logits of an exported program in ONNX Runtime: `np.cumsum` of the reference's over time.

    Shape: the program's `input_type` `[T, N, C, H, W]` to int32 `[T, N, K]`, T that of the program.
    Raises:
        DataError: frames of another type or shape.
        ExchangeError: ONNX Runtime is not installed, or the frames have another T.
    """
    runtime = _package("onnxruntime")
    frames = check_frames(program, frames)
    if len(frames) != program.T:
        raise ExchangeError(f"{path} was written for T={program.T}, the frames have {len(frames)} steps")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"frames": frames})
    return logits


def _package(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ExchangeError(f"ONNX files need the package {name}: pip install 'rheobase[onnx]'") from None


@dataclass(frozen=True)
class _Value:
    """A tensor `[T * N, *shape]` of the model, and the float that holds it."""

    name: str
    shape: Shape
    kind: type[np.floating[Any]]


class _Builder:
    """Collects the nodes and constants of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.make_node = _package("onnx").helper.make_node
        self.types = {
            np.float32: _package("onnx").TensorProto.FLOAT,
            np.float64: _package("onnx").TensorProto.DOUBLE,
            np.int32: _package("onnx").TensorProto.INT32,
        }
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.label = ""
        self.found = ranges.Range("", 0, 0, 0, "")

    def build(self) -> None:
        """All ops in turn."""
        program = self.program
        frames = self.reshape(self.cast("frames", np.float32), [-1, *program.input_shape])
        values = {FRAME: _Value(frames, program.input_shape, np.float32)}
        for index, (op, shape, found) in enumerate(
            zip(program.ops, program.shapes(), ranges.analyse(program), strict=True)
        ):
            self.label, self.found = program.label(index), found
            if (write := WRITERS.get(type(op))) is None:
                raise ExchangeError(f"{self.label} has no form in ONNX")
            values[index] = write(self, op, shape, *(values[i] for i in op.inputs))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output and return that."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: Any, kind: type[Any]) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array, dtype=kind)
        return name

    def by_channel(self, values: Any, shape: Shape, kind: type[Any]) -> str:
        """A constant, one value a channel of a map of `shape`."""
        return self.constant(np.asarray(values).reshape(-1, *[1] * (len(shape) - 1)), kind)

    def cast(self, name: str, kind: type[Any]) -> str:
        """A tensor in another type."""
        return self.node("Cast", name, to=self.types[kind])

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """A tensor in another shape."""
        return self.node("Reshape", name, self.constant(shape, np.int64))

    def held(self, value: _Value, kind: type[Any]) -> str:
        """A value in the float that an op computes in."""
        return value.name if value.kind == kind else self.cast(value.name, kind)

    def enough(self) -> type[np.floating[Any]]:
        """The float that holds every integer of the op at hand."""
        largest = max(self.found.widest, self.found.product)
        return np.float32 if largest < ranges.FLOAT32_EXACT else np.float64

    def in_float32(self, x: _Value, largest: int) -> str:
        """The input of a sum that must not pass 2^24.

        Raises:
            ExchangeError: it can.
        """
        if largest >= ranges.FLOAT32_EXACT:
            raise ExchangeError(
                f"{self.label} can reach {largest}, but ONNX Runtime sums weights in float32, which is exact only below "
                f"2^24 = {ranges.FLOAT32_EXACT}; use fewer weight bits or smaller counts"
            )
        return self.held(x, np.float32)

    def largest_sum(self, shift: int = 0) -> int:
        """Largest partial sum of weights, before its shift."""
        return max(-self.found.low, self.found.high) >> shift


def _conv2d(b: _Builder, op: Conv2d, shape: Shape, x: _Value) -> _Value:
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
    return _Value(name, shape, np.float32)


def _linear(b: _Builder, op: Linear, shape: Shape, x: _Value) -> _Value:
    weight = b.constant((op.weight.values() << op.shift).T, np.float32)
    return _Value(b.node("MatMul", b.in_float32(x, b.largest_sum(op.shift)), weight), shape, np.float32)


def _sum_pool(b: _Builder, op: SumPool, shape: Shape, x: _Value) -> _Value:
    """Ones as weights: an average would divide."""
    channels, kernel = x.shape[0], list(op.window(x.shape))
    ones = b.constant(np.ones((channels, 1, *kernel)), np.float32)
    name = b.node("Conv", b.in_float32(x, b.largest_sum()), ones, strides=kernel, group=channels)
    return _Value(name, shape, np.float32)


def _or_pool(b: _Builder, op: OrPool, shape: Shape, x: _Value) -> _Value:
    """Outside the map neither has anything."""
    name = b.node(
        "MaxPool",
        x.name,
        kernel_shape=[op.kernel] * 2,
        strides=[op.stride] * 2,
        pads=[op.padding] * 4,
    )
    return _Value(name, shape, x.kind)


def _head_or_pool(b: _Builder, op: HeadOrPool, shape: Shape, x: _Value) -> _Value:
    """The matrices as maps, channel by channel of a head as rows."""
    matrices = b.reshape(x.name, [-1, *op.matrices(shape)])
    most = _or_pool(b, op.pool, op.matrices(shape), _Value(matrices, op.matrices(shape), x.kind))
    return _Value(b.reshape(most.name, [-1, *shape]), shape, x.kind)


def _head_sum(b: _Builder, op: HeadSum, shape: Shape, x: _Value) -> _Value:
    """The channels of a head as an axis that is summed."""
    kind = b.enough()
    heads = b.reshape(b.held(x, kind), [-1, op.heads, x.shape[0] // op.heads, *x.shape[1:]])
    name = b.node("ReduceSum", heads, b.constant([2], np.int64), keepdims=0)
    return _Value(name, shape, kind)


def _gate(b: _Builder, op: Gate, shape: Shape, gate: _Value, x: _Value) -> _Value:
    """The channels that a gate holds for as an axis along which it is spread."""
    kind, gates = b.enough(), gate.shape[0]
    mask = b.reshape(b.held(gate, kind), [-1, gates, 1, *gate.shape[1:]])
    masked = b.node("Mul", mask, b.reshape(b.held(x, kind), [-1, gates, shape[0] // gates, *shape[1:]]))
    return _Value(b.reshape(masked, [-1, *shape]), shape, kind)


def _head_matmul(b: _Builder, op: HeadMatMul, shape: Shape, first: _Value, second: _Value) -> _Value:
    """A map is `[heads, d, L]`, each head's matrix transposed: Y^T = B^T A^T."""
    kind = b.enough()
    a, c = (
        b.reshape(b.held(x, kind), [-1, op.heads, x.shape[0] // op.heads, x.shape[1] * x.shape[2]])
        for x in (first, second)
    )
    a = b.node("Transpose", a, perm=[0, 1, 3, 2]) if op.kind == "first" else a
    c = b.node("Transpose", c, perm=[0, 1, 3, 2]) if op.kind == "second" else c
    return _Value(b.reshape(b.node("MatMul", c, a), [-1, *shape]), shape, kind)


def _time_mix(b: _Builder, op: TimeMix, shape: Shape, x: _Value) -> _Value:
    """Mixed at once: each channel's triangle times `[T, N * places]`."""
    kind, steps, channels, places = b.enough(), b.program.T, op.channels, prod(shape[1:])
    whole = b.reshape(b.held(x, kind), [steps, -1, channels, places])
    flat = b.reshape(b.node("Transpose", whole, perm=[2, 0, 1, 3]), [channels, steps, -1])
    mixed = b.node("MatMul", b.constant(op.matrices[:, :steps, :steps], kind), flat)
    sums = b.node("Transpose", b.reshape(mixed, [channels, steps, -1, places]), perm=[1, 2, 0, 3])
    thresholds = op.threshold.reshape(op.steps, 1, channels, 1)[:steps]
    fired = b.node("GreaterOrEqual", sums, b.constant(thresholds, kind))
    return _Value(b.reshape(b.cast(fired, np.float32), [-1, *shape]), shape, np.float32)


def _multi_threshold(b: _Builder, op: MultiThreshold, shape: Shape, x: _Value) -> _Value:
    """The levels as an axis along which ones are summed."""
    kind, axis = b.enough(), b.constant([1], np.int64)
    levels = b.constant(op.threshold.reshape(1, op.levels, -1, *[1] * (len(shape) - 1)), kind)
    reached = b.node("GreaterOrEqual", b.node("Unsqueeze", b.held(x, kind), axis), levels)
    return _Value(b.node("ReduceSum", b.cast(reached, np.float32), axis, keepdims=0), shape, np.float32)


def _flatten(b: _Builder, op: Flatten, shape: Shape, x: _Value) -> _Value:
    return _Value(b.reshape(x.name, [-1, *shape]), shape, x.kind)


def _add(b: _Builder, op: Add, shape: Shape, first: _Value, second: _Value) -> _Value:
    kind = b.enough()
    return _Value(b.node("Add", b.held(first, kind), b.held(second, kind)), shape, kind)


def _concat(b: _Builder, op: Concat, shape: Shape, first: _Value, second: _Value) -> _Value:
    kind = b.enough()
    return _Value(b.node("Concat", b.held(first, kind), b.held(second, kind), axis=1), shape, kind)


def _rescale(b: _Builder, op: Rescale, shape: Shape, x: _Value) -> _Value:
    kind = b.enough()
    scaled = _gained(b, b.held(x, kind), op.gain, op.gain_shift, shape, kind)
    return _Value(b.node("Add", scaled, b.by_channel(op.bias, shape, kind)), shape, kind)


def _step_rescale(b: _Builder, op: StepRescale, shape: Shape, x: _Value) -> _Value:
    """Steps as an axis of gains and biases."""
    kind, steps = b.enough(), b.program.T
    whole = b.reshape(b.held(x, kind), [steps, -1, *shape])
    gain, bias = (
        b.constant(each.reshape(op.steps, 1, -1, *[1] * (len(shape) - 1))[:steps], kind)
        for each in (op.gain, op.bias)
    )
    scaled = b.node("Add", _shifted(b, b.node("Mul", whole, gain), op.gain_shift, kind), bias)
    return _Value(b.reshape(scaled, [-1, *shape]), shape, kind)


def _gained(b: _Builder, x: str, gain: Any, shift: int, shape: Shape, kind: type[Any]) -> str:
    """`floor((x * gain + 2^(shift - 1)) / 2^shift)`."""
    return _shifted(b, b.node("Mul", x, b.by_channel(gain, shape, kind)), shift, kind)


def _shifted(b: _Builder, product: str, shift: int, kind: type[Any]) -> str:
    """`floor((product + 2^(shift - 1)) / 2^shift)`."""
    if shift == 0:
        return product
    half = b.node("Add", product, b.constant(1 << (shift - 1), kind))
    return b.node("Floor", b.node("Mul", half, b.constant(2.0**-shift, kind)))


def _neuron(b: _Builder, op: Neuron, shape: Shape, x: _Value) -> _Value:
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
    return _Value(b.reshape(joined, [-1, *shape]), shape, np.float32)


def _steps(b: _Builder, name: str, shape: Shape, steps: int) -> list[str]:
    """`[T * N, *shape]` as T tensors `[1, N, *shape]`."""
    whole = b.reshape(name, [steps, -1, *shape])
    if steps == 1:
        return [whole]
    names = [f"{whole}_{step}" for step in range(steps)]
    b.nodes.append(
        b.make_node("Split", [whole], names, name=f"split_{len(b.nodes)}", axis=0, num_outputs=steps)
    )
    return names


def _leaked(b: _Builder, op: Neuron, v: str, kind: type[Any]) -> str:
    if op.leak_shift is None:
        return v
    part = b.constant(2.0**-op.leak_shift, kind)
    if op.leak_multiplier is None:
        return b.node("Sub", v, b.node("Floor", b.node("Mul", v, part)))
    product = b.node("Mul", v, b.constant(op.leak_multiplier, kind))
    return b.node("Floor", b.node("Mul", product, part))


def _rounded(b: _Builder, op: RoundedNeuron, v: str, kind: type[Any]) -> str:
    """The level whose number is that of the edges not above the membrane."""
    last = b.constant([-1], np.int64)
    reached = b.node("GreaterOrEqual", b.node("Unsqueeze", v, last), b.constant(op.edges, kind))
    code = b.node("ReduceSum", b.cast(reached, np.int32), last, keepdims=0)
    return b.node("Gather", b.constant(op.levels, kind), code, axis=0)


def _readout(b: _Builder, op: Readout, shape: Shape, x: _Value) -> _Value:
    """Each step's scores as integers, summed over the steps."""
    kind = b.enough()
    scores = b.node("Add", b.held(x, kind), b.constant(op.bias, kind))
    whole = b.reshape(b.cast(scores, np.int32), [b.program.T, -1, *shape])
    axis = b.constant(0, np.int64)
    b.nodes.append(b.make_node("CumSum", [whole, axis], ["logits"], name="logits"))
    return _Value("logits", shape, kind)


WRITERS: dict[type[Op], Callable[..., _Value]] = {
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
