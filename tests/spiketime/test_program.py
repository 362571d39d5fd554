"""Integer programs of spike-time networks: the reference against a clock, the C against the reference, both against the model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase import native
from rheobase.errors import DataError, LatticeError
from rheobase.models import create_model
from rheobase.spiketime import Geometry
from rheobase.spiketime.program import (
    CompiledLearner,
    CompiledProgram,
    Encoder,
    Layer,
    Learner,
    Pool,
    Program,
    Readout,
    lower,
    reference,
)
from rheobase.spiketime.program.ir import INT32_MAX, SILENT

compiled = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
R = 4


def first_ticks(encoder_ticks):
    """One frame a tick: the sample's spike times are where its frames begin to be non-zero."""
    return Encoder("first_event", encoder_ticks, np.arange(encoder_ticks, dtype=np.uint16))


def layer(rng, geometry, outputs, span, name):
    weight = rng.integers(-span // 2, span + 1, (outputs, geometry.fan_in)).astype(np.int8)
    return Layer(name, geometry, weight, rng.integers(1, 6 * span, outputs).astype(np.int32))


def random_program(seed, kind, maps):
    """A small network of random weights; `maps`: a padded, strided convolution and a pooling before its linear layers."""
    rng = np.random.default_rng(seed)
    span, horizon = int(rng.choice([2, 9, 120])), R if kind == "std_ed" else 3 * R
    shape = (2, 5, 4) if maps else (7, 1, 1)
    layers, inputs = [], int(np.prod(shape))
    if maps:
        convolution = layer(rng, Geometry(2, (5, 4), (3, 2), (1, 2), (1, 1)), 3, span, "conv")
        layers += [convolution, Pool("pool", convolution.shape, 2)]
        inputs = int(np.prod(layers[-1].shape))
    layers.append(layer(rng, Geometry(inputs), 6, span, "hidden"))
    readout = None
    if kind == "rel_psp":
        layers.append(layer(rng, Geometry(6), 3, span, "output"))
    else:
        form = str(rng.choice(["window_end", "proxy"]))
        readout = Readout("readout", rng.integers(-span, span + 1, (3, 6)).astype(np.int8), form)
    return Program("net", kind, R, horizon, shape, first_ticks(R + 1), tuple(layers), readout)


def frames_at(times):
    """Frames `[R + 1, N, ...]` whose first events lie at these ticks (R + 1: silent)."""
    steps = np.arange(R + 1).reshape(-1, *[1] * times.ndim)
    return (steps >= times).astype(np.uint8)


def random_frames(program, seed, samples=4):
    """Times with ties, the last tick and silence; the first sample is silent."""
    rng = np.random.default_rng(seed)
    times = rng.integers(0, R + 2, (samples, *program.input_shape))
    times[0] = R + 1
    return frames_at(times)


def by_the_clock(program, layer, times):
    """First ticks of a layer's neurons, asked at every tick; `[m, H', W']`, slow and plain."""
    g, (m, height, width) = layer.geometry, layer.shape
    maps = times.reshape(g.channels, *g.size).astype(int)
    fired = np.full((m, height, width), SILENT)
    for j, y, x in np.ndindex(fired.shape):
        seen = []
        for c, dy, dx in np.ndindex(g.channels, *g.kernel):
            iy, ix = y * g.stride[0] - g.padding[0] + dy, x * g.stride[1] - g.padding[1] + dx
            if 0 <= iy < g.size[0] and 0 <= ix < g.size[1] and maps[c, iy, ix] != SILENT:
                q = int(layer.weight[j].reshape(g.channels, *g.kernel)[c, dy, dx])
                seen.append((int(maps[c, iy, ix]), q))
        threshold = int(layer.threshold[j])
        for tick in range(program.horizon + 1):
            if program.kind == "rel_psp":
                fires = sum(q * max(tick - t, 0) for t, q in seen) >= threshold
            else:
                potential = sum(q * (R + tick - t) for t, q in seen)
                end = sum(q * (2 * R - t) for t, q in seen)
                fires = R * potential >= threshold * (R - tick) and (end > 0 or potential >= threshold)
            if fires:
                fired[j, y, x] = tick
                break
    return fired


kinds = st.sampled_from(["rel_psp", "std_ed"])
seeds = st.integers(0, 10**6)


@settings(max_examples=16)
@given(seeds, kinds, st.booleans())
def test_reference_equals_a_clock(seed, kind, maps):
    program = random_program(seed, kind, maps)
    program.validate()
    trace = reference.run(program, random_frames(program, seed, 2))
    for n in range(2):
        times = trace.times[0][n]
        for layer, found in zip(program.hidden, trace.times[1:], strict=True):
            if isinstance(layer, Layer):
                assert np.array_equal(found[n], by_the_clock(program, layer, times))
            times = found[n]
        if kind == "rel_psp":
            last = by_the_clock(program, program.last, times).ravel()
            assert (trace.result[n, 0], trace.classes[n]) == (last.min(), last.argmin())
        else:
            x = np.where(
                times == SILENT, 0, (2 if program.readout.form == "window_end" else 1) * R - times.astype(int)
            )
            assert np.array_equal(trace.result[n], program.readout.weight.astype(int) @ x.ravel())


@compiled
@settings(max_examples=8)
@given(seeds, kinds, st.booleans())
def test_c_equals_the_reference(seed, kind, maps):
    program = random_program(seed, kind, maps)
    frames = random_frames(program, seed, 40)
    expected = reference.run(program, frames)
    flags = ("-std=c99", "-O1", "-ftrapv", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
    found = CompiledProgram(program, flags).run(frames)
    for mine, theirs in zip(found.times, expected.times, strict=True):
        assert np.array_equal(mine, theirs)
    for name in ("result", "classes", "work"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_by_hand():
    """Weights 2, 1, -3 at ticks 0, 2, 6: U = 0, 2, 4, 7, 10; the threshold 8 is passed on the way to tick 4."""
    weight = np.array([[2, 1, -3], [1, 0, 0]], np.int8)
    program = Program(
        "net",
        "rel_psp",
        R,
        12,
        (3, 1, 1),
        Encoder("first_event", 7, np.arange(7, dtype=np.uint16)),
        (Layer("output", Geometry(3), weight, np.array([8, 13], np.int32)),),
    )
    frames = (np.arange(7).reshape(7, 1, 1, 1, 1) >= np.array([0, 2, 6]).reshape(3, 1, 1)).astype(np.uint8)
    trace = reference.run(program, frames)
    assert trace.result.tolist() == [[4]] and trace.classes.tolist() == [0]
    assert trace.work.tolist() == [[4, 4, 1]]  # two arrivals of two neurons, one crossing
    assert reference.spikes(program, trace).tolist() == [4]


def build(rule="rel_psp", size=(6, 6), T=1, layers="4C3-P2-12", limits=None, **options):
    torch.manual_seed(0)
    return create_model(
        "spike_time",
        num_classes=4,
        in_channels=1,
        input_size=size,
        input_unit=1 / 255,
        options={"layers": layers, "rule": {"name": rule, **(limits or {})}, **options},
    ).eval()


@pytest.mark.parametrize("rule", ["rel_psp", "std_ed"])
def test_program_approaches_the_model(rule):
    """On a fine grid times differ by ticks, and weights by 8 bits."""
    net = build(rule)
    frames = np.random.default_rng(0).integers(0, 256, (1, 30, 1, 6, 6)).astype(np.uint8)
    program = lower(net, ticks=500)
    trace = reference.run(program, frames)
    floats = list(net.spike_times(torch.from_numpy(frames).float()).values())
    kept = [t for t, op in zip(trace.times, (None, *program.hidden), strict=True) if not isinstance(op, Pool)]
    for ticks, times in zip(kept, floats, strict=False):
        times = times.detach().numpy()
        ticks = ticks.reshape(times.shape)
        both = (ticks != SILENT) & np.isfinite(times)
        assert both.sum() > 0.8 * np.isfinite(times).sum()
        assert np.median(np.abs(ticks[both] / 500 - times[both])) < 0.01


@pytest.mark.parametrize("rule", ["rel_psp", "std_ed"])
def test_latency_table(rule):
    net, T = build(rule).double(), 3
    frames = np.random.default_rng(1).integers(0, 256, (T, 5, 1, 6, 6)).astype(np.uint8)
    frames[:, 0] = 0
    program = lower(net, T=T, ticks=64)
    times = net.spike_times(torch.from_numpy(frames).double())["encoder"].numpy()
    expected = np.where(
        np.isfinite(times), np.floor(64 * np.where(np.isfinite(times), times, 0) + 0.5), SILENT
    )
    assert np.array_equal(reference.run(program, frames).times[0], expected)


def test_thresholds_out_of_reach_are_bounded():
    net = build(layers="5")
    with torch.no_grad():
        net.features.linear1.weight[0] = 1e-9
        net.features.linear1.weight[1] = 0
    program = lower(net)
    frames = np.full((1, 1, 1, 6, 6), 255, np.uint8)
    assert (reference.run(program, frames).times[1][0, :2] == SILENT).all()
    assert program.largest(program.layers[0]) <= INT32_MAX


@compiled
@pytest.mark.parametrize("kind", ["rel_psp", "std_ed"])
def test_sums_at_the_bound(kind):
    """Extreme weights and thresholds that just pass the proof: the C, with overflow trapped, says what the reference says."""
    n, horizon = 200, R if kind == "std_ed" else 3 * R
    weight = np.full((3, n), 127, np.int8)
    weight[1] = -127
    weight[2, ::2] = -127
    reach = 127 * n * horizon
    room = INT32_MAX - reach - 127 * n if kind == "rel_psp" else INT32_MAX // (R + 1) - reach
    hidden = Layer("hidden", Geometry(n), weight, np.array([room, 1, room], np.int32))
    output = Layer("output", Geometry(3), np.ones((2, 3), np.int8), np.array([1, 1], np.int32))
    readout = Readout("readout", np.ones((2, 3), np.int8)) if kind == "std_ed" else None
    layers = (hidden,) if readout else (hidden, output)
    program = Program("net", kind, R, horizon, (n, 1, 1), first_ticks(R + 1), layers, readout)
    frames = random_frames(program, 0, 20)
    frames[:, 1] = 1
    flags = ("-std=c99", "-O1", "-ftrapv")
    found, expected = CompiledProgram(program, flags).run(frames), reference.run(program, frames)
    assert all(np.array_equal(a, b) for a, b in zip(found.times, expected.times, strict=True))
    assert np.array_equal(found.result, expected.result)
    beyond = Layer("hidden", Geometry(n), weight, hidden.threshold + 1)
    with pytest.raises(LatticeError, match=r"hidden: 4 ticks .* above 2\^31 - 1: take fewer ticks"):
        Program(
            "net", kind, R, horizon, (n, 1, 1), first_ticks(R + 1), (beyond, *layers[1:]), readout
        ).validate()


def test_what_has_no_program():
    with pytest.raises(LatticeError, match="mostafa has no integer form"):
        lower(build("mostafa", layers="4"))
    with pytest.raises(LatticeError, match="give the rule t_max"):
        lower(build(layers="4", limits={"t_max": None}))
    with pytest.raises(LatticeError, match="t_in is at most 1"):
        lower(build("std_ed", layers="4", encoder={"t_in": 2.0}))
    with pytest.raises(LatticeError, match="do not fit 16 bits"):
        lower(build(layers="4"), ticks=20_000)
    with pytest.raises(DataError, match=r"takes uint8 frames \[1, N, 1, 6, 6\], got float64"):
        reference.run(lower(build(layers="4")), np.zeros((1, 1, 1, 6, 6)))


@compiled
@settings(max_examples=5)
@given(seeds, st.booleans(), st.sampled_from([0, 40, 5000]), st.sampled_from([0, 2]))
def test_learning_in_c_equals_the_reference(seed, maps, margin, shift):
    program = random_program(seed, "std_ed", maps)
    frames = random_frames(program, seed, 60)
    labels = np.random.default_rng(seed).integers(0, 3, 60)
    mine = Learner(program, margin=margin, shift=shift)
    theirs = CompiledLearner(mine)
    assert np.array_equal(mine.run(frames), reference.run(program, frames).classes)
    for _ in range(3):
        assert np.array_equal(mine.learn(frames, labels), theirs.learn(frames, labels))
        assert np.array_equal(mine.weight, theirs.weight)
    assert np.array_equal(mine.run(frames), theirs.run(frames))
    assert np.abs(mine.weight).max() <= mine.bound


def test_a_rel_psp_program_does_not_learn():
    with pytest.raises(LatticeError, match="only a STD-ED program"):
        Learner(random_program(0, "rel_psp", False), margin=0)
