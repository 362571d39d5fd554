"""Random programs, and an independent slow interpreter of them in plain Python loops."""

import contextlib
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from rheobase.errors import ProgramError
from rheobase.program import (
    Add,
    Concat,
    Conv2d,
    Delay,
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
    Program,
    Readout,
    RecurrentNeuron,
    RecurrentRoundedNeuron,
    Rescale,
    RoundedNeuron,
    StepRescale,
    SumPool,
    TimeMix,
    Weight,
)
from rheobase.program.ir import VERSION
from rheobase.program.ops import Firing

STEPS_OFFSETS = {1: (2, -1), 2: (2, -3), 4: (2, -15), 8: (1, -128)}


def weight(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Weight:
    codes = rng.integers(0, 1 << bits, shape, dtype=np.uint8)
    return Weight(codes, bits, *STEPS_OFFSETS[bits])


def neuron(rng: np.random.Generator, channels: int, kind: str, scale: int, **fields: Any) -> Neuron:
    reset = {"soft": None, "hard": int(rng.integers(-3, 1)), "each": rng.integers(-5, 5, channels)}[kind]
    threshold = rng.integers(1, max(2, 3 * scale), channels)
    bias = rng.integers(-scale, scale + 1, channels)
    return Neuron(threshold, bias, v_reset=reset, **fields)


def rounded_neuron(
    rng: np.random.Generator, channels: int, scale: int, bits: int, **fields: Any
) -> RoundedNeuron:
    """Any number of levels with 0 anywhere among them, gains of both signs (0 too), edges anywhere, some of them equal."""
    count = int(rng.integers(2, (1 << bits) + 1))
    step = 1 + 4 * scale // count
    levels = np.cumsum(rng.integers(1, 2 * step + 1, count))
    levels -= levels[rng.integers(0, count)]
    edges = np.sort(rng.integers(levels[0] - step, levels[-1] + step, count - 1))
    fields = {"saturation": int(np.abs(levels).max()) + int(rng.integers(0, 8 * scale))} | fields
    return RoundedNeuron(
        rng.integers(1, max(2, 3 * scale), channels),
        rng.integers(-scale, scale + 1, channels),
        gain=rng.integers(-40, 41, channels),
        gain_shift=int(rng.integers(0, 8)),
        levels=levels,
        edges=edges,
        bits=bits,
        **fields,
    )


def recurrent_neuron(
    rng: np.random.Generator,
    channels: int,
    weight_bits: int,
    *,
    ternary: bool = False,
    rounded: bool = False,
    reset: int | None = None,
    scale: int = 12,
    saturation: int | None = None,
    **fields: Any,
) -> RecurrentNeuron | RecurrentRoundedNeuron:
    """Gains of both signs; with `rounded`, four levels."""
    common: dict[str, Any] = {
        "threshold": rng.integers(1, scale + 1, channels).astype(np.int32),
        "bias": rng.integers(-3, 4, channels).astype(np.int32),
        "leak_shift": int(rng.integers(1, 3)),
        "v_reset": reset,
        "ternary": ternary,
        "weight": weight(rng, (channels, channels), weight_bits),
        "back_gain": rng.integers(-50, 200, channels).astype(np.int32),
        "back_shift": int(rng.integers(0, 8)),
        "name": "back",
    } | fields
    if not rounded:
        return RecurrentNeuron(**common, saturation=saturation or 200)
    return RecurrentRoundedNeuron(
        **common,
        bits=2,
        saturation=saturation or 200,
        gain=rng.integers(1, 20, channels).astype(np.int32),
        gain_shift=3,
        levels=np.array([-9, 0, 6, 14], np.int32),
        edges=np.array([-4, 3, 11], np.int32),
    )


def multi_threshold(
    rng: np.random.Generator, channels: int, levels: int, scale: int, **fields: Any
) -> MultiThreshold:
    """Thresholds of either sign that rise or stay."""
    threshold = np.sort(rng.integers(-scale, 3 * scale, (levels, channels)), axis=0)
    return MultiThreshold(threshold.ravel().astype(np.int32), levels, **fields)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Up to two convolutions with any stride, padding, bits, reset and leak; pooling; linear layers; any input size."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape: tuple[int, ...] = tuple(draw(st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6))))
    start = shape
    ops: list[Op] = []

    def add(op: Op) -> None:
        nonlocal shape
        shape = op.output_shape(shape)
        ops.append(op)

    def fire(scale: int) -> None:
        shift = draw(st.sampled_from([None, 0, 1, 2, 5]))
        leak: dict[str, Any] = {"leak_shift": shift}
        if shift is not None and draw(st.booleans()):
            leak["leak_multiplier"] = draw(st.integers(0, 1 << shift))
        if (bits := draw(st.sampled_from([None, 2, 4, 8]))) is not None:
            reset = draw(st.sampled_from([None, 0, -1]))
            add(rounded_neuron(rng, shape[0], scale, bits, v_reset=reset, **leak))
            return
        saturation = draw(st.sampled_from([20, 1000, 32767]))
        add(
            neuron(
                rng,
                shape[0],
                draw(st.sampled_from(["soft", "hard", "each"])),
                scale,
                **leak,
                saturation=saturation,
                bits=draw(st.sampled_from([16, 32])),
            )
        )

    if draw(st.booleans()):
        add(SumPool(2))
    for _ in range(draw(st.integers(0, 2))):
        bits = draw(st.sampled_from([1, 2, 4, 8]))
        kernel = draw(st.integers(1, min(3, shape[1], shape[2])))
        out = draw(st.integers(1, 11))
        shift = draw(st.integers(0, 3))
        add(
            Conv2d(
                weight(rng, (out, shape[0], kernel, draw(st.integers(1, min(3, shape[2])))), bits),
                draw(st.integers(1, 3)),
                draw(st.integers(0, 2)),
                shift,
            )
        )
        fire(4 << (bits + shift))
        pools: list[int | None] = [1, None] if min(shape[1:]) < 2 else [1, 2, None]
        if (pool := draw(st.sampled_from(pools))) != 1:
            add(SumPool(pool))
    add(Flatten())
    if draw(st.booleans()):
        add(Linear(weight(rng, (draw(st.integers(1, 19)), shape[0]), draw(st.sampled_from([1, 2, 4, 8])))))
        fire(8)
    add(Linear(weight(rng, (draw(st.integers(1, 12)), shape[0]), draw(st.sampled_from([1, 2, 4, 8]))), 1))
    add(Readout(rng.integers(-9, 10, shape[0])))
    return Program("random", start, draw(st.integers(1, 4)), ops, {}, 0.5, VERSION)  # type: ignore[arg-type]


@st.composite
def graphs(draw: st.DrawFn, signals: bool = False) -> Program:
    """Any op on any value there is: residual joins of spikes and of currents, groups, pools, convolutions of currents.

    `signals` adds what networks for signals need: delays, recurrence, ternary spikes and int8 frames.

    What nobody reads in the end is pooled and goes through a linear layer of its own; the sum of these is the logits.
    """
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    start: tuple[int, ...] = tuple(draw(st.tuples(st.integers(1, 4), st.integers(2, 5), st.integers(2, 5))))
    ops: list[Op] = []
    frame = draw(st.sampled_from(["uint8", "int8"])) if signals else "uint8"
    known: dict[int, tuple[str, tuple[int, ...]]] = {-1: ("signed" if frame == "int8" else "events", start)}

    def add(op: Op) -> int:
        ops.append(op)
        kinds, shapes = zip(*(known[i] for i in op.inputs), strict=True)
        known[len(ops) - 1] = (op.output_kind(*kinds), op.output_shape(*shapes))
        return len(ops) - 1

    def conv(source: int) -> int:
        kind, (channels, height, width) = known[source]
        groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        out = channels if draw(st.booleans()) else groups * draw(st.integers(1, 3))
        kernel = draw(st.integers(1, min(3, height, width)))
        bits = draw(st.sampled_from([1, 2] if kind == "current" else [1, 2, 4, 8]))
        same = {"stride": 1, "padding": kernel // 2}
        place = (
            same
            if draw(st.booleans())
            else {"stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 1))}
        )
        w = weight(rng, (out, channels // groups, kernel, kernel), bits)
        if kernel > 1 and draw(st.booleans()):
            dilation = draw(st.integers(2, 3))
            place |= {"dilation": dilation, "padding": dilation * (kernel // 2) + draw(st.integers(0, 1))}
        return add(Conv2d(w, shift=draw(st.integers(0, 2)), groups=groups, inputs=(source,), **place))

    def rescale(source: int) -> int:
        channels, shift = known[source][1][0], draw(st.sampled_from([0, 1, 3, 12, 30]))
        top = 40 << min(shift, 20)
        gain, bias = rng.integers(-top, top + 1, channels), rng.integers(-30, 31, channels)
        kind = draw(st.sampled_from(["each", "alone", "by_step"]))
        if kind == "alone":  # a shift
            gain, bias, shift = np.full(channels, 1 << draw(st.integers(0, 6))), 0 * bias, 0
        if kind == "by_step":
            steps = draw(st.integers(3, 4))
            gain, bias = (
                rng.integers(-end, end + 1, steps * channels) for end in (int(np.abs(gain).max()), 30)
            )
            return add(StepRescale(gain, bias, shift, steps=steps, inputs=(source,)))
        return add(Rescale(gain, bias, shift, inputs=(source,)))

    def fire(source: int) -> int:
        channels = known[source][1][0]
        if draw(st.sampled_from([False, False, False, True])):
            return count_levels(source)
        leak: dict[str, Any] = {"leak_shift": draw(st.sampled_from([None, 1])), "inputs": (source,)}
        if signals:
            leak["ternary"] = draw(st.booleans())
            if np.prod(known[source][1][1:]) == 1 and draw(st.booleans()):
                bits, rounded = draw(st.sampled_from([1, 2, 4, 8])), draw(st.booleans())
                width = {} if rounded else {"bits": 32}
                made = recurrent_neuron(
                    rng,
                    channels,
                    bits,
                    rounded=rounded,
                    reset=draw(st.sampled_from([None, 0, 2])),
                    **leak | width,
                )
                return add(made)
        if draw(st.booleans()):
            return add(rounded_neuron(rng, channels, 40, draw(st.sampled_from([2, 4, 8])), **leak))
        return add(
            neuron(rng, channels, draw(st.sampled_from(["soft", "hard", "each"])), 40, bits=32, **leak)
        )

    def count_levels(source: int) -> int:
        levels = draw(st.sampled_from([1, 2, 4, 9, 255]))
        return add(multi_threshold(rng, known[source][1][0], levels, 40, inputs=(source,)))

    def join(source: int) -> int:
        twins = [i for i, value in known.items() if value == known[source]]
        return add(Add(inputs=(draw(st.sampled_from(twins)), source)))

    def concat(source: int) -> int:
        kind, (_, *size) = known[source]
        fits = [i for i, (k, (_, *s)) in known.items() if (k, s) == (kind, size)]
        return add(Concat(inputs=(draw(st.sampled_from(fits)), source)))

    def pool(source: int) -> int:
        _, (_, height, width) = known[source]
        size = draw(st.integers(1, min(height, width)))
        if draw(st.booleans()):
            return add(
                OrPool(size, draw(st.integers(1, 2)), draw(st.integers(0, size // 2)), inputs=(source,))
            )
        return add(SumPool(draw(st.sampled_from([size, None])), inputs=(source,)))

    def some_heads(*channels: int) -> int:
        return draw(st.sampled_from([g for g in range(1, 5) if all(c % g == 0 for c in channels)]))

    def head_sum(source: int) -> int:
        return add(HeadSum(some_heads(known[source][1][0]), inputs=(source,)))

    def head_or_pool(source: int) -> int:
        heads = some_heads(known[source][1][0])
        return add(HeadOrPool(heads, draw(st.sampled_from([1, 3, 3, 5])), inputs=(source,)))

    def gate(source: int) -> int:
        _, (channels, *size) = known[source]
        fits = [
            i for i, (_, (c, *s)) in known.items() if channels % c == 0 and (s == size or s in ([1, 1], [1]))
        ]
        return add(Gate(inputs=(draw(st.sampled_from(fits)), source)))

    def matmul(source: int) -> int:
        kind = draw(st.sampled_from(["none", "first", "second"]))
        pairs = []
        for other in known:
            for order in {(source, other), (other, source)}:
                for heads in (1, 2, 3):
                    with contextlib.suppress(ProgramError):
                        HeadMatMul(heads, kind).output_shape(*(known[i][1] for i in order))
                        pairs.append((heads, order))
        if not pairs:
            return source
        heads, order = draw(st.sampled_from(sorted(pairs)))
        return add(HeadMatMul(heads, kind, inputs=order))

    def time_mix(source: int) -> int:
        steps, channels = draw(st.integers(3, 4)), known[source][1][0]
        mixing = rng.integers(-9, 40, draw(st.sampled_from([1, channels])) * steps * (steps + 1) // 2)
        return add(TimeMix(mixing, rng.integers(-9, 300, steps * channels), steps, inputs=(source,)))

    def delay(source: int) -> int:
        delays = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True))
        return add(Delay(np.array(delays), inputs=(source,)))

    heads = [head_sum, head_or_pool, gate, matmul, matmul, time_mix, concat]
    past = [delay] if signals else []
    moves = {
        "events": [conv, conv, rescale, join, pool, count_levels, *heads, *past],
        "signed": [conv, conv, rescale, join, pool, count_levels, *heads, *past],
        "current": [fire, fire, fire, conv, rescale, join, pool, *heads, *past],
    }
    for _ in range(draw(st.integers(2, 9))):
        source = draw(st.sampled_from(list(known)[-4:]))
        draw(st.sampled_from(moves[known[source][0]]))(source)
    classes = draw(st.integers(1, 5))
    unread = set(range(len(ops))) - {i for op in ops for i in op.inputs}
    logits = []
    for source in sorted(unread) or [-1]:  # nothing where no two values went together
        flat = add(Flatten(inputs=(source,)))
        if known[flat][0] == "current":
            flat = fire(flat)
        logits.append(add(Linear(weight(rng, (classes, known[flat][1][0]), 4), inputs=(flat,))))
    total = logits[0]
    for other in logits[1:]:
        total = add(Add(inputs=(other, total)))
    add(Readout(rng.integers(-9, 10, classes), inputs=(total,)))
    program = Program("graph", start, draw(st.integers(1, 3)), ops, input_type=frame)  # type: ignore[arg-type]
    try:
        program.validate()
    except ProgramError as error:
        assert "beyond" in str(error), error  # a range that 32 bits cannot hold: no such program
        assume(False)
    return program


def residual_program(**fields: Any) -> Program:
    """Every join once: spikes on currents, currents on currents, counts on counts, a depthwise convolution, OrPool."""
    rng = np.random.default_rng(11)
    ops = [
        Conv2d(weight(rng, (6, 2, 3, 3), 8), padding=1, name="stem"),
        Rescale(rng.integers(-900, 900, 6), rng.integers(-9, 9, 6), 8, name="stem.rescale"),
        neuron(rng, 6, "hard", 60, name="lif1"),
        Conv2d(weight(rng, (6, 1, 3, 3), 2), padding=1, groups=6, name="depthwise"),
        Rescale(rng.integers(10, 90, 6), rng.integers(-9, 9, 6), 2),
        Add(inputs=(1, 4), name="currents"),
        rounded_neuron(rng, 6, 60, 4, leak_shift=1, name="lif2"),
        Add(inputs=(2, 6), name="counts"),
        OrPool(3, 2, 1),
        Conv2d(weight(rng, (5, 6, 1, 1), 4), stride=2, shift=3, inputs=(5,), name="of_a_current"),
        Rescale(np.full(5, 3), np.zeros(5, int), 5),
        Conv2d(weight(rng, (5, 6, 1, 1), 4), shift=1, inputs=(8,)),
        Add(inputs=(10, 11)),
        neuron(rng, 5, "soft", 60, leak_shift=2, name="lif3"),
        Flatten(),
        Linear(weight(rng, (3, 80), 4)),
        Readout(np.array([1, 0, -1])),
    ]
    return Program(**{"name": "residual", "input_shape": (2, 8, 8), "T": 3, "ops": ops} | fields)


def frames_for(program: Program, samples: int, seed: int, steps: int | None = None) -> np.ndarray:
    """Sparse counts, a few of them at an end of their range."""
    rng = np.random.default_rng(seed)
    shape = (steps or program.T, samples, *program.input_shape)
    counts = rng.poisson(0.5, shape) + 255 * (rng.random(shape) < 0.02)
    if program.input_type == "int8":
        counts *= rng.choice((-1, 1), shape)
    ends = np.iinfo(program.input_type)
    return counts.clip(ends.min, ends.max).astype(program.input_type)


def small_program(bits: int = 4, **fields: Any) -> Program:
    """Two convolutions, a pooling and a head: every op once, channels that fill no byte."""
    rng = np.random.default_rng(7)
    ops = [
        Conv2d(weight(rng, (5, 2, 3, 3), bits), padding=1, name="features.0"),
        neuron(rng, 5, "soft", 4 << bits, leak_shift=1),
        SumPool(2),
        Conv2d(weight(rng, (9, 5, 3, 3), bits), stride=2, padding=1, shift=2),
        neuron(rng, 9, "hard", 8 << bits),
        Flatten(),
        Linear(weight(rng, (3, 36), bits)),
        Readout(np.array([1, 0, -1])),
    ]
    return Program(
        **{"name": "small", "input_shape": (2, 8, 8), "T": 3, "ops": ops, "metadata": {"seed": 7}} | fields
    )


def signal_program(**fields: Any) -> Program:
    """Signed frames, every delay there can be, ternary neurons of either kind, signed sums and pools."""
    rng = np.random.default_rng(5)
    ops = [
        Delay(np.array([0, 2, 3]), name="delays1"),
        Conv2d(weight(rng, (6, 6, 3, 1), 2), name="dense1"),
        neuron(rng, 6, "hard", 40, leak_shift=3, ternary=True, name="ternary1"),
        Delay(np.array([4, 1]), name="delays2"),
        SumPool(2, name="pooled"),
        Conv2d(weight(rng, (6, 12, 1, 1), 4), name="dense2"),
        rounded_neuron(rng, 6, 30, 2, leak_shift=1, ternary=True, name="ternary2"),
        SumPool(2, inputs=(2,)),
        Add(inputs=(6, 7), name="sum"),
        Rescale(np.full(6, 5), np.zeros(6, int), 1),
        neuron(rng, 6, "soft", 5, ternary=True, name="ternary3"),
        Flatten(),
        Linear(weight(rng, (3, 6), 4)),
        Readout(np.array([1, 0, -1])),
    ]
    common = {"name": "signal", "input_shape": (2, 5, 2), "T": 6, "input_type": "int8"}
    return Program(**common | {"ops": ops} | fields)


@st.composite
def signal_programs(draw: st.DrawFn) -> Program:
    """Chains and joins of delays, sums of signed events, and neurons of two or three values."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape: tuple[int, ...] = (draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 2)))
    start, ops = shape, []

    def add(op: Op) -> None:
        nonlocal shape
        shape = op.output_shape(*[shape] * op.arity)
        ops.append(op)

    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            add(Delay(np.array(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)))))
        kernel = draw(st.integers(1, shape[1]))
        bits = draw(st.sampled_from([1, 2, 4]))
        add(Conv2d(weight(rng, (draw(st.integers(1, 5)), shape[0], kernel, 1), bits)))
        leak: dict[str, Any] = {
            "leak_shift": draw(st.sampled_from([None, 1, 3])),
            "ternary": draw(st.booleans()),
        }
        if draw(st.booleans()):
            reset = draw(st.sampled_from([None, 0, -1]))
            add(
                rounded_neuron(
                    rng, shape[0], 4 << bits, draw(st.sampled_from([2, 4, 8])), v_reset=reset, **leak
                )
            )
        else:
            add(neuron(rng, shape[0], draw(st.sampled_from(["soft", "hard", "each"])), 4 << bits, **leak))
        if draw(st.booleans()):
            ops.append(Add(inputs=(len(ops) - 1, len(ops) - 1)))
        if draw(st.booleans()):
            add(SumPool(None))
    add(Flatten())
    if draw(st.booleans()):
        add(Delay(np.array([3, 0])))
    add(Linear(weight(rng, (2, shape[0]), 4)))
    add(Readout(rng.integers(-9, 10, 2)))
    kind = draw(st.sampled_from(["int8", "uint8"]))
    return Program("signals", start, draw(st.integers(1, 7)), ops, input_type=kind)  # type: ignore[arg-type]


def rounded_program(bits: int, channels: int = 5, **fields: Any) -> Program:
    """Codes that fill no byte: an odd number of neurons in the convolution and in the linear layer."""
    rng = np.random.default_rng(bits)
    ops = [
        Conv2d(weight(rng, (channels, 2, 3, 3), 4), padding=1, name="features.0"),
        rounded_neuron(rng, channels, 60, bits, leak_shift=1),
        SumPool(None),
        Flatten(),
        Linear(weight(rng, (11, channels), 1)),
        rounded_neuron(rng, 11, 60, bits, v_reset=0),
        Linear(weight(rng, (3, 11), 8)),
        Readout(np.array([1, 0, -1])),
    ]
    return Program(**{"name": "rounded", "input_shape": (2, 7, 5), "T": 4, "ops": ops} | fields)


def slow(program: Program, frames: np.ndarray) -> tuple[list[list[Any]], list[list[list[int]]]]:
    """Spikes and step logits of one sample `[T, C, H, W]`, by Python integers and loops that share nothing with rheobase."""
    membranes: dict[int, dict[Any, int]] = {i: {} for i in range(len(program.ops))}
    spikes: list[list[Any]] = [[] for op in program.ops if isinstance(op, Firing)]
    logits = []
    for frame in frames.tolist():
        values: dict[int, Any] = {-1: frame}
        layer = 0
        for index, op in enumerate(program.ops):
            x, *others = (values[i] for i in op.inputs)
            if isinstance(op, Conv2d):
                x = slow_conv(op, x)
            elif isinstance(op, Linear):
                table, w = op.weight.codes.tolist(), op.weight
                x = [
                    sum((w.step * c + w.offset) * v for c, v in zip(row, x, strict=True)) * 2**op.shift
                    for row in table
                ]
            elif isinstance(op, SumPool):
                high = op.kernel or len(x[0])
                wide = op.kernel or len(x[0][0])
                x = [
                    [
                        [
                            sum(sum(r[j * wide : (j + 1) * wide]) for r in m[i * high : (i + 1) * high])
                            for j in range(len(m[0]) // wide)
                        ]
                        for i in range(len(m) // high)
                    ]
                    for m in x
                ]
            elif isinstance(op, OrPool):
                x = [slow_or_pool(op, m) for m in x]
            elif isinstance(op, HeadOrPool):
                x = slow_head_or_pool(op, x)
            elif isinstance(op, MultiThreshold):
                x = [slow_levels(op, m, c) for c, m in enumerate(x)]
                spikes[layer].append(x)
                layer += 1
            elif isinstance(op, Add):
                x = slow_add(x, others[0])
            elif isinstance(op, Concat):
                x = [*x, *others[0]]
            elif isinstance(op, StepRescale):
                first = len(logits) * len(x)
                x = [slow_rescale(op, m, first + c) for c, m in enumerate(x)]
            elif isinstance(op, Rescale):
                x = [slow_rescale(op, m, c) for c, m in enumerate(x)]
            elif isinstance(op, HeadSum):
                part = len(x) // op.heads
                x = [slow_total(x[h * part : (h + 1) * part]) for h in range(op.heads)]
            elif isinstance(op, Gate):
                x = slow_gate(x, others[0])
            elif isinstance(op, HeadMatMul):
                x = slow_matmul(op, x, others[0])
            elif isinstance(op, TimeMix):
                past = membranes[index].setdefault("past", [])  # type: ignore[arg-type]
                past.append(x)  # type: ignore[attr-defined]
                x = [slow_mix(op, [p[c] for p in past], c) for c in range(len(x))]  # type: ignore[attr-defined]
            elif isinstance(op, Delay):
                past = membranes[index].setdefault("past", [])  # type: ignore[arg-type]
                past.append(x)  # type: ignore[attr-defined]
                zeros = slow_add(x, slow_negative(x))
                late = [past[-1 - d] if d < len(past) else zeros for d in op.delays.tolist()]  # type: ignore[arg-type, index]
                x = [m for each in late for m in each]
            elif isinstance(op, Flatten):
                x = [v for m in x for row in m for v in row]
            elif isinstance(op, Neuron):
                x = slow_neuron(op, x, membranes[index])
                spikes[layer].append(x)
                layer += 1
            elif isinstance(op, Readout):
                x = [a + b for a, b in zip(x, op.bias.tolist(), strict=True)]
            values[index] = x
        logits.append(x)
    return spikes, logits


def slow_or_pool(op: OrPool, rows: list[list[int]]) -> list[list[int]]:
    def most(i: int, j: int) -> int:
        ys, xs = (
            range(at * op.stride - op.padding, at * op.stride - op.padding + op.kernel) for at in (i, j)
        )
        return max(rows[y][x] for y in ys for x in xs if 0 <= y < len(rows) and 0 <= x < len(rows[0]))

    height, width = ((n + 2 * op.padding - op.kernel) // op.stride + 1 for n in (len(rows), len(rows[0])))
    return [[most(i, j) for j in range(width)] for i in range(height)]


def slow_head_or_pool(op: HeadOrPool, x: list[Any]) -> list[Any]:
    """Entry by entry of each head's matrix of tokens."""
    width, part, near = len(x[0][0]), len(x) // op.heads, op.kernel // 2
    tokens = [[v for row in m for v in row] for m in x]

    def most(c: int, at: int) -> int:
        first = c // part * part
        channels = range(max(first, c - near), min(first + part, c + near + 1))
        return max(v for i in channels for v in tokens[i][max(0, at - near) : at + near + 1])

    places = range(0, len(tokens[0]), width)
    return [[[most(c, at + j) for j in range(width)] for at in places] for c in range(len(x))]


def slow_levels(op: MultiThreshold, x: Any, channel: int) -> Any:
    if isinstance(x, list):
        return [slow_levels(op, each, channel) for each in x]
    return sum(x >= threshold for threshold in op.threshold.tolist()[channel :: op.channels])


def slow_add(a: Any, b: Any) -> Any:
    return [slow_add(x, y) for x, y in zip(a, b, strict=True)] if isinstance(a, list) else a + b


def slow_negative(a: Any) -> Any:
    return [slow_negative(x) for x in a] if isinstance(a, list) else -a


def slow_total(maps: list[Any]) -> Any:
    """Sum of equal nested lists."""
    total = maps[0]
    for each in maps[1:]:
        total = slow_add(total, each)
    return total


def slow_gate(gate: list[Any], x: list[Any]) -> list[Any]:
    def at(c: int, i: int, j: int) -> int:
        rows = gate[c * len(gate) // len(x)]
        return x[c][i][j] * (rows[0][0] if len(rows) == len(rows[0]) == 1 else rows[i][j])

    return [[[at(c, i, j) for j in range(len(x[0][0]))] for i in range(len(x[0]))] for c in range(len(x))]


def slow_matmul(op: HeadMatMul, a: list[Any], b: list[Any]) -> list[Any]:
    """Entry by entry, by the matrices of the definition."""

    def matrix(x: list[Any], head: int) -> list[list[int]]:
        part = len(x) // op.heads
        pixels = [(i, j) for i in range(len(x[0])) for j in range(len(x[0][0]))]
        return [[x[head * part + c][i][j] for c in range(part)] for i, j in pixels]

    result = []
    height, width = len(a[0]), len(a[0][0])
    for head in range(op.heads):
        first, second = matrix(a, head), matrix(b, head)
        if op.kind == "first":
            first = [list(column) for column in zip(*first, strict=True)]
            height, width = len(first), 1
        if op.kind == "second":
            second = [list(column) for column in zip(*second, strict=True)]
        for c in range(len(second[0])):
            column = [sum(row[k] * second[k][c] for k in range(len(second))) for row in first]
            result.append([column[i * width : (i + 1) * width] for i in range(height)])
    return result


def slow_mix(op: TimeMix, past: list[Any], channel: int) -> Any:
    if isinstance(past[0], list):
        return [slow_mix(op, [p[i] for p in past], channel) for i in range(len(past[0]))]
    t, triangle = len(past) - 1, op.steps * (op.steps + 1) // 2
    row = op.mixing.tolist()[channel * triangle % len(op.mixing) + t * (t + 1) // 2 :]
    total = sum(m * p for m, p in zip(row, past, strict=False))
    return int(total >= op.threshold.tolist()[t * (len(op.threshold) // op.steps) + channel])


def slow_rescale(op: Rescale, x: Any, channel: int) -> Any:
    if isinstance(x, list):
        return [slow_rescale(op, each, channel) for each in x]
    gain, bias = int(op.gain[channel]), int(op.bias[channel])
    return (
        (2 * x * gain + 2**op.gain_shift) // (2 * 2**op.gain_shift) + bias
        if op.gain_shift
        else x * gain + bias
    )


def slow_conv(op: Conv2d, x: list[list[list[int]]]) -> list[list[list[int]]]:
    codes = op.weight.codes.tolist()
    kh, kw, d = len(codes[0][0]), len(codes[0][0][0]), op.dilation
    height, width = len(x[0]), len(x[0][0])

    def at(o: int, i: int, j: int) -> int:
        total = 0
        first = o // (len(codes) // op.groups) * len(codes[o])
        for c, plane in enumerate(codes[o], start=first):
            for u in range(kh):
                for v in range(kw):
                    y, z = i * op.stride + d * u - op.padding, j * op.stride + d * v - op.padding
                    if 0 <= y < height and 0 <= z < width:
                        total += (op.weight.step * plane[u][v] + op.weight.offset) * x[c][y][z]
        return total * 2**op.shift

    rows = range((height + 2 * op.padding - d * (kh - 1) - 1) // op.stride + 1)
    columns = range((width + 2 * op.padding - d * (kw - 1) - 1) // op.stride + 1)
    return [[[at(o, i, j) for j in columns] for i in rows] for o in range(len(codes))]


def slow_neuron(
    op: Neuron, x: Any, membranes: dict[Any, int], channel: int = -1, place: tuple[int, ...] = ()
) -> Any:
    if isinstance(x, list):
        return [
            slow_neuron(op, part, membranes, i if channel < 0 else channel, (*place, i))
            for i, part in enumerate(x)
        ]
    v = membranes.get(place, 0)
    if isinstance(op, RoundedNeuron):
        x = (x * int(op.gain[channel]) * 2 + 2**op.gain_shift) // (2 * 2**op.gain_shift)
    if op.leak_shift is not None:
        v = (
            v - v // 2**op.leak_shift
            if op.leak_multiplier is None
            else v * op.leak_multiplier // 2**op.leak_shift
        )
    v += x + int(op.bias[channel])
    v = max(-op.saturation, min(op.saturation, v))
    fired = int(v >= int(op.threshold[channel]))
    if op.ternary and v <= -int(op.threshold[channel]):
        fired = -1
    if fired:
        v = (
            v - int(op.threshold[channel]) * fired
            if op.v_reset is None
            else int(np.broadcast_to(op.v_reset, len(op.bias))[channel]) * fired
        )
    if isinstance(op, RoundedNeuron):
        v = op.levels.tolist()[sum(edge <= v for edge in op.edges.tolist())]
    membranes[place] = v
    return fired


def attention_program(**fields: Any) -> Program:
    """Every op of attention once: token and channel masks, both orders of products, saccades, pooled and dilated currents."""
    rng = np.random.default_rng(13)
    mix = rng.integers(1, 30, 10)
    ops = [
        Conv2d(weight(rng, (8, 2, 3, 3), 4), padding=2, dilation=2, shift=1, name="embed"),
        OrPool(3, 2, 1, name="pooled"),
        neuron(rng, 8, "soft", 60, name="q"),
        Conv2d(weight(rng, (8, 2, 1, 1), 4), stride=2, inputs=(-1,)),
        neuron(rng, 8, "hard", 30, name="k"),
        HeadSum(2, inputs=(2,), name="tokens"),
        SumPool(None, inputs=(4,), name="channels"),
        Gate(inputs=(6, 2), name="counts"),
        HeadMatMul(2, "second", inputs=(2, 4), name="map"),
        HeadMatMul(2, "none", inputs=(8, 4), name="kept"),
        HeadMatMul(2, "first", inputs=(4, 2), name="other_map"),
        HeadMatMul(2, "none", inputs=(2, 10), name="other"),
        Add(inputs=(9, 11)),
        TimeMix(mix, rng.integers(50, 300, 4 * 2), 4, inputs=(5,), name="saccade"),
        Gate(inputs=(13, 2), name="masked"),
        Rescale(np.full(8, 4), np.zeros(8, int), inputs=(12,), name="shifted"),
        neuron(rng, 8, "soft", 90, leak_shift=1, name="attend"),
        Add(inputs=(14, 16)),
        Add(inputs=(17, 7)),
        SumPool(None),
        Flatten(),
        Linear(weight(rng, (3, 8), 4)),
        Readout(np.array([1, 0, -1])),
    ]
    return Program(**{"name": "attention", "input_shape": (2, 8, 8), "T": 3, "ops": ops} | fields)


def firing_program(**fields: Any) -> Program:
    """Integers fired on currents, counts, the frame and vectors; tokens spread; units and mixes by step and by channel."""
    rng = np.random.default_rng(17)
    ops = [
        Conv2d(weight(rng, (6, 2, 3, 3), 4), padding=1, shift=1, name="stem"),
        multi_threshold(rng, 6, 4, 60, name="fired"),
        HeadOrPool(2, 3, name="spread"),
        SumPool(2, name="pooled"),
        multi_threshold(rng, 6, 3, 9, name="in_place"),
        Conv2d(weight(rng, (6, 1, 3, 3), 2), padding=1, groups=6, inputs=(2,), name="depthwise"),
        StepRescale(rng.integers(-90, 90, 24), rng.integers(-9, 9, 24), 3, steps=4, name="by_step"),
        neuron(rng, 6, "soft", 60, leak_shift=1, ternary=True, name="ternary"),
        HeadOrPool(3, 5, name="spread_signed"),
        HeadMatMul(2, "second", inputs=(8, 1), name="map"),
        HeadMatMul(2, inputs=(9, 8), name="kept"),
        Rescale(np.full(6, 4), np.zeros(6, int), name="shifted"),
        multi_threshold(rng, 6, 255, 400, name="attend"),
        Gate(inputs=(12, 8), name="gated"),
        TimeMix(rng.integers(-9, 40, 60), rng.integers(0, 90, 24), 4, name="saccade"),
        multi_threshold(rng, 2, 2, 3, inputs=(-1,), name="of_frames"),
        HeadOrPool(1, 3, inputs=(-1,), name="spread_frames"),
        Concat(inputs=(15, 16)),
        Concat(inputs=(14, 17)),
        SumPool(None),
        Flatten(),
        Flatten(inputs=(4,)),
        Concat(inputs=(20, 21)),
        Linear(weight(rng, (5, 106), 4)),
        multi_threshold(rng, 5, 7, 90, name="vector"),
        Linear(weight(rng, (3, 5), 4)),
        Readout(np.array([1, 0, -1])),
    ]
    return Program(**{"name": "firing", "input_shape": (2, 8, 8), "T": 4, "ops": ops} | fields)
