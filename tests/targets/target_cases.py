"""Programs whose convolutions read spikes, and what the tests of this room share."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from rheobase.program import Conv2d, Flatten, Linear, Neuron, Op, Program, Readout, SumPool
from rheobase.targets import TARGETS, missing

_path = Path(__file__).parents[1] / "program" / "program_cases.py"
if "program_cases" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("program_cases", _path)
    assert _spec is not None and _spec.loader is not None
    sys.modules["program_cases"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["program_cases"])
cases: Any = sys.modules["program_cases"]

every_target = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing(target)), reason=str(missing(target))))
        for name, target in TARGETS.items()
    ],
)


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where a target's tools are missing, and say which."""
    return pytest.mark.skipif(bool(missing(TARGETS[name])), reason=str(missing(TARGETS[name])))


def all_at(program: Program, rate: float) -> dict[int, float]:
    """The same rate for every op: below 0.12 two-bit convolutions take lanes, above it planes."""
    return {index: rate for index in range(len(program.ops))}


def spiking(
    seed: int,
    bits: int,
    channels: int,
    out: int,
    kernel: tuple[int, int],
    size: tuple[int, int],
    pool: int = 1,
    **fields: Any,
) -> Program:
    """A convolution on spikes: its input is the frame through an identity, so that a frame of ones is all spikes."""
    rng = np.random.default_rng(seed)
    identity = cases.Weight(np.eye(channels, dtype=np.uint8)[:, :, None, None], 1, 1, 0)
    ops: list[Op] = [
        Conv2d(identity),
        Neuron(np.ones(channels, np.int32), np.zeros(channels, np.int32)),
        *((SumPool(pool),) * (pool > 1)),
        Conv2d(cases.weight(rng, (out, channels, *kernel), bits), **fields),
        cases.neuron(rng, out, "soft", 4 << bits, leak_shift=1),
        Flatten(),
    ]
    shape: tuple[int, ...] = (channels, *size)
    for op in ops:
        shape = op.output_shape(shape)
    ops += [Linear(cases.weight(rng, (3, shape[0]), 2)), Readout(np.zeros(3, np.int32))]
    return Program("spiking", (channels, *size), 2, ops)


@st.composite
def spiking_programs(draw: st.DrawFn) -> Program:
    """Any bits, stride, padding and kernel; channels that fill blocks of 16 and 32, and that do not."""
    pool = draw(st.sampled_from([1, 1, 2]))  # counts up to 4
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    padding = draw(st.integers(0, 3))
    kernel = tuple(draw(st.integers(1, min(4, n + 2 * padding))) for n in size)
    return spiking(
        draw(st.integers(0, 1 << 32)),
        draw(st.sampled_from([1, 2, 4, 8])),
        draw(st.integers(1, 9)),
        draw(st.one_of(st.integers(1, 40), st.sampled_from([16, 32, 48, 64]))),
        kernel,  # type: ignore[arg-type]
        (size[0] * pool, size[1] * pool),
        pool,
        stride=draw(st.integers(1, 3)),
        padding=padding,
        shift=draw(st.integers(0, 2)),
    )


def spikes_for(program: Program, rate: float, seed: int, samples: int = 2) -> np.ndarray:
    """Frames of 0 and 1."""
    rng = np.random.default_rng(seed)
    return (rng.random((program.T, samples, *program.input_shape)) < rate).astype(np.uint8)
