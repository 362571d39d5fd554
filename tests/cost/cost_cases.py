"""Small programs, and an interpreter of them that goes event by event and counts what it touches."""

from collections import Counter
from math import ceil, prod
from typing import Any

import numpy as np

from rheobase.program import (
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Program,
    Readout,
    RoundedNeuron,
    SumPool,
    Weight,
)


def weight(*shape: int, bits: int = 4) -> Weight:
    codes = np.random.default_rng(0).integers(0, 1 << bits, shape, dtype=np.uint8)
    return Weight(codes, bits, *{1: (2, -1), 2: (2, -3), 4: (2, -15), 8: (1, -128)}[bits])


def program(bits: int = 4) -> Program:
    """Leak, no leak, pooling that leaves a row out, a stride, channels that fill no byte."""
    ops = [
        Conv2d(weight(5, 2, 3, 3, bits=bits), padding=1, name="first"),
        Neuron(np.full(5, 20), np.zeros(5, int), leak_shift=1),
        SumPool(2),
        Conv2d(weight(6, 5, 3, 3, bits=bits), stride=2, padding=1),
        Neuron(np.full(6, 20), np.zeros(6, int), v_reset=0),
        Flatten(),
        Linear(weight(3, 24, bits=bits)),
        Readout(np.zeros(3, int)),
    ]
    return Program("net", (2, 9, 8), 3, ops)


def frames(samples: int = 4, steps: int = 3) -> np.ndarray:
    return np.random.default_rng(1).poisson(0.4, (steps, samples, 2, 9, 8)).astype(np.uint8)


def by_event(net: Program, sample: np.ndarray) -> tuple[list[Counter[str]], np.ndarray]:
    """Counters of each op for one sample `[T, C, H, W]`, and its logits, by loops that share nothing with rheobase."""
    counters: list[Counter[str]] = [Counter() for _ in net.ops]
    state: dict[int, Any] = {}
    logits = []
    for frame in sample:
        x: Any = frame.astype(np.int64)
        bits = 8
        for index, op in enumerate(net.ops):
            found = counters[index]
            if isinstance(op, (Conv2d, Linear)):
                found["bytes_spikes_read"] += ceil(x.size * bits / 8)
                found["bytes_weights_by_step"] += len(op.weight.packed().tobytes())
                x = _scatter(op, x, found)
            elif isinstance(op, SumPool):
                found["bytes_spikes_read"] += ceil(x.size * bits / 8)
                high, wide = op.window(x.shape)
                out = np.zeros(op.output_shape(x.shape), np.int64)
                for c, i, j in np.argwhere(x):
                    if i // high < out.shape[1] and j // wide < out.shape[2]:
                        out[c, i // high, j // wide] += x[c, i, j]
                        found["accumulates"] += 1
                x, bits = out, 8
                found["bytes_spikes_written"] += out.size
            elif isinstance(op, Flatten):
                x = x.reshape(-1)
            elif isinstance(op, Readout):
                found["additions"] += 2 * x.size
                found["bytes_membranes_read"] += 4 * x.size
                found["bytes_membranes_written"] += 4 * x.size
                logits.append(x + op.bias)
            else:
                x, bits = _fire(op, x, state, index, found), 1
                found["bytes_spikes_written"] += ceil(x.size / 8)
                found["spikes"] += int(x.sum())
    return counters, np.array(logits)


def _scatter(op: Conv2d | Linear, x: np.ndarray, found: Counter[str]) -> np.ndarray:
    """Each event adds its weights to every output whose window holds it."""
    rows, values = op.weight.packed(), op.weight.values()
    out = np.zeros(op.output_shape(x.shape), np.int64)
    for place in np.argwhere(x):
        event = int(x[tuple(place)])
        if isinstance(op, Linear):
            touched = [((), (int(place[0]),))]
        else:
            kh, kw = op.weight.shape[2:]
            c, y, z = (int(n) for n in place)
            touched = []
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    u, v = y + op.padding - i * op.stride, z + op.padding - j * op.stride
                    if 0 <= u < kh and 0 <= v < kw:
                        touched.append(((i, j), (u, v, c)))
        for at, row in touched:
            found["bytes_weights_by_event"] += rows[row].nbytes
            w = values[:, row[0]] if isinstance(op, Linear) else values[:, row[2], row[0], row[1]]
            for o in range(out.shape[0]):
                out[(o, *at)] += int(w[o]) * event
                found["accumulates" if event == 1 else "multiply_accumulates"] += 1
    return out << op.shift


def _fire(op: Neuron, x: np.ndarray, state: dict[int, Any], index: int, found: Counter[str]) -> np.ndarray:
    """One neuron after another; every +, - and comparison of the equation is counted where it is written."""
    v = state.setdefault(index, np.zeros(x.shape, np.int64))
    size = ceil(x.size * op.bits / 8)
    found["bytes_membranes_read"] += size
    found["bytes_membranes_written"] += size
    spikes = np.zeros(x.shape, np.int64)
    for place in np.ndindex(x.shape):
        u, c = int(v[place]), place[0]
        current = int(x[place])
        if isinstance(op, RoundedNeuron):
            current = (2 * current * int(op.gain[c]) + (1 << op.gain_shift)) >> (1 + op.gain_shift)
            found.update(multiplications=1, additions=1)
        if op.leak_multiplier is not None:
            u = u * op.leak_multiplier >> op.leak_shift
            found["multiplications"] += 1
        elif op.leak_shift is not None:
            u -= u >> op.leak_shift
            found["additions"] += 1
        u = u + current + int(op.bias[c])
        found["additions"] += 2
        u = max(-op.saturation, min(op.saturation, u))
        found["additions"] += 2
        fired = u >= op.threshold[c]
        found["additions"] += 1
        if op.v_reset is None:
            u -= int(op.threshold[c]) * fired
            found["additions"] += 1
        elif fired:
            u = int(op.v_reset)
        if isinstance(op, RoundedNeuron):
            low, high = 0, len(op.levels)  # the level is one of low..high-1
            for _ in range(1, (len(op.levels) - 1).bit_length() + 1):
                found["additions"] += 1
                middle = (low + high) // 2
                if middle < high and middle > low:
                    low, high = (middle, high) if op.edges[middle - 1] <= u else (low, middle)
            u = int(op.levels[low])
        v[place], spikes[place] = u, fired
        found["neuron_updates"] += 1
    return spikes


def size(shape: tuple[int, ...], bits: int) -> int:
    return ceil(prod(shape) * bits / 8)
