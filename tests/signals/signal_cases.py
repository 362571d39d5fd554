"""Encoders of every kind and mode, signals that try them, and plain loops over numbers to hold them against."""

import numpy as np
from hypothesis import strategies as st

from rheobase.signals import (
    BSA,
    HSA,
    TAE,
    Direct,
    EncoderBase,
    Latency,
    MovingWindow,
    Phase,
    Rate,
    ReceptiveFields,
    SendOnDelta,
    StepForward,
    TemporalContrast,
)

TAES = [
    TAE(th0=0.05),
    TAE(th0=0.05, alpha=1.5, th_min=0.01, th_max=0.2),
    TAE(th0=0.05, base_mode="send_on_delta"),
    TAE(th0=0.05, th_mode="amplitude", amplitude_decay=0.2),
    TAE(th0=0.05, th_mode="amplitude", base_mode="send_on_delta"),
]
SEQUENTIAL = [
    *TAES,
    StepForward(threshold=0.07),
    SendOnDelta(delta=0.1),
    SendOnDelta(delta=0.1, reference="signal"),
    MovingWindow(threshold=0.05),
    MovingWindow(threshold=0.05, window=1),
    MovingWindow(threshold=0.05, window=7),
    BSA(),
    BSA(taps=(0.5, 0.25, 0.125), threshold=0.8, reference="previous"),
    BSA(offset=-1.0, length=3),
    HSA(),
    HSA(taps=(0.2,)),
]
FRAMES = [
    Latency(),
    Latency(form="logarithmic", steps=20),
    Phase(steps=5),
    ReceptiveFields(),
    ReceptiveFields(fields=5, steps=7, silent=0.0),
    Direct(steps=3),
]
DETERMINISTIC = [
    *SEQUENTIAL,
    TemporalContrast(),
    TemporalContrast(f=0.5),
    TemporalContrast(threshold=0.1),
    *FRAMES,
]
ALL = [*DETERMINISTIC, Rate(steps=4), Rate(steps=5, process="poisson", seed=3)]


def name(encoder) -> str:
    if not isinstance(encoder, EncoderBase):
        return str(encoder)
    options = encoder.model_dump(exclude_defaults=True)
    return "-".join([encoder.name, *(f"{key}={value}" for key, value in options.items() if key != "name")])


@st.composite
def signals(draw, most=60, widest=40):
    """Random walks with quiet parts and jumps, [L, N, C]; N*C crosses the widths of the C loops."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length, items = draw(st.integers(0, most)), draw(st.integers(1, 3))
    channels = draw(st.integers(1, max(widest // items, 1)))
    steps = rng.normal(size=(length, items, channels)) * rng.choice(
        [0.0, 0.02, 0.1, 1.0], size=(length, 1, 1)
    )
    x = np.cumsum(steps, axis=0)
    return np.round(x * 64) / 64 if draw(st.booleans()) else x  # the grid makes ties


def cut(draw, length):
    """Bounds of random chunks, some of them empty."""
    inner = sorted(draw(st.lists(st.integers(0, length), max_size=6)))
    return list(zip([0, *inner], [*inner, length], strict=True))


def bursts(seed: int, length: int = 4000):
    """Six Gabor bursts and a little noise, [L, 1, 1]: the family of the published table of rates."""
    rng = np.random.default_rng(seed)
    t, x = np.arange(length), np.zeros(length)
    for _ in range(6):
        centre, width = rng.uniform(0, length), rng.uniform(0.3, 1) * 285
        frequency, amplitude = rng.uniform(0.2, 1) * 0.009, rng.uniform(0.2, 1)
        wave = np.sin(2 * np.pi * frequency * t + rng.uniform(0, 2 * np.pi))
        x += amplitude * np.exp(-0.5 * ((t - centre) / width) ** 2) * wave
    return (x + 0.0125 * rng.normal(size=length))[:, None, None]


def loop_tae(x, c):
    """TAE of one channel by the book: spikes, base and threshold after every sample."""
    if not x:
        return [], [], []
    base, last, th, mean = x[0], 0, c.th0, abs(x[0])
    low, high = c.th_min or c.th0, c.th_max or 16 * c.th0
    spikes, bases, thresholds = [0], [base], [th]
    for value in x[1:]:
        if c.th_mode == "amplitude":
            mean = mean + c.amplitude_decay * (abs(value) - mean)
            th = c.amplitude_gain * mean + low
        s = 1 if value > base + th else -1 if value < base - th else 0
        if c.base_mode == "step":
            base = base + th * s
        elif s:
            base = value
        if c.th_mode == "run":
            th = min(th * c.alpha, high) if s != 0 and s == last else max(th / c.alpha, low)
        last = s
        spikes.append(s)
        bases.append(base)
        thresholds.append(th)
    return spikes, bases, thresholds


def loop_forward(x, threshold):
    base, spikes, bases = x[0] if x else 0.0, [], []
    for value in x:
        s = 1 if value > base + threshold else -1 if value < base - threshold else 0
        base = base + threshold * s
        spikes.append(s)
        bases.append(base)
    return spikes, bases


def loop_window(x, threshold, window):
    spikes = []
    for n, value in enumerate(x):
        past = x[max(0, n - window) : n]
        mean = sum(past, 0.0) / len(past) if past else value
        spikes.append(1 if value > mean + threshold else -1 if value < mean - threshold else 0)
    return spikes


def loop_delta(x, delta, reference):
    sent, spikes = x[0] if x else 0.0, []
    for value in x:
        s = 0 if abs(value - sent) < delta else 1 if value > sent else -1
        if s:
            sent = value if reference == "signal" else sent + delta * s
        spikes.append(s)
    return spikes


def loop_bsa(x, h, threshold):
    x, spikes = list(x), [0] * len(x)
    for n in range(len(x) - len(h) + 1):
        apart = whole = 0.0
        for j, tap in enumerate(h):
            apart += abs(x[n + j] - tap)
            whole += abs(x[n + j])
        if apart <= threshold * whole:
            spikes[n] = 1
            for j, tap in enumerate(h):
                x[n + j] -= tap
    return spikes


def loop_hsa(x, h):
    x, spikes = list(x), [0] * len(x)
    for n in range(len(x) - len(h) + 1):
        if all(x[n + j] >= tap for j, tap in enumerate(h)):
            spikes[n] = 1
            for j, tap in enumerate(h):
                x[n + j] -= tap
    return spikes
