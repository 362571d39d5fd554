"""The encoders with a base against plain loops over numbers, and the figures of the specification."""

import numpy as np
import pytest
import signal_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.signals import (
    TAE,
    MovingWindow,
    SendOnDelta,
    StepForward,
    TemporalContrast,
    measure,
    snr,
    spike_rate,
)

one_channel = cases.signals(widest=1).map(lambda x: x[:, :1])


def flat(spikes):
    return spikes[:, 0, 0].tolist()


@pytest.mark.parametrize("encoder", cases.TAES, ids=cases.name)
@given(x=one_channel)
@settings(max_examples=60, deadline=None)
def test_tae_by_the_book_and_its_decoder_is_the_base(encoder, x):
    spikes, base, thresholds = cases.loop_tae(flat(x), encoder)
    code = encoder.encode(x)
    assert flat(code.spikes) == spikes
    stream = encoder.stream()
    stream.push(x)
    if len(x):
        assert stream.state[0, 0] == base[-1]
        if encoder.th_mode == "run":
            assert stream.state[2, 0] == thresholds[-1]
    if encoder.invertible:
        assert flat(encoder.decode(code.spikes, **code.side)) == base


@pytest.mark.parametrize("encoder", [e for e in cases.TAES if e.invertible], ids=cases.name)
@given(x=one_channel)
@settings(max_examples=30, deadline=None)
def test_decoder_thresholds_are_those_of_the_encoder(encoder, x):
    """The step that the decoder takes at a spike is the threshold that the encoder compared with."""
    spikes, _, thresholds = cases.loop_tae(flat(x), encoder)
    decoded = encoder.decode(*encoder.encode(x)[:1], start=0.0)[:, 0, 0]
    base = 0.0
    for n in range(1, len(x)):
        base = base + thresholds[n - 1] * spikes[n]
        assert decoded[n] == base


@given(x=cases.signals(), threshold=st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_tae_with_alpha_1_is_step_forward(x, threshold):
    tae, forward = TAE(th0=threshold, alpha=1.0), StepForward(threshold=threshold)
    a, b = tae.encode(x), forward.encode(x)
    np.testing.assert_array_equal(a.spikes, b.spikes)
    np.testing.assert_array_equal(tae.decode(a.spikes, **a.side), forward.decode(b.spikes, **b.side))


@given(x=one_channel, threshold=st.sampled_from([0.07, 1 / 16]))
@settings(max_examples=60, deadline=None)
def test_step_forward_by_the_book_and_its_decoder_is_the_base(x, threshold):
    encoder = StepForward(threshold=threshold)
    spikes, base = cases.loop_forward(flat(x), threshold)
    code = encoder.encode(x)
    assert flat(code.spikes) == spikes
    assert flat(encoder.decode(code.spikes, **code.side)) == base


@given(x=one_channel, window=st.integers(1, 9), threshold=st.sampled_from([0.05, 1 / 32]))
@settings(max_examples=60, deadline=None)
def test_moving_window_by_the_book(x, window, threshold):
    encoder = MovingWindow(threshold=threshold, window=window)
    assert flat(encoder.encode(x).spikes) == cases.loop_window(flat(x), threshold, window)


@given(x=one_channel, delta=st.sampled_from([0.1, 1 / 16]), reference=st.sampled_from(["signal", "level"]))
@settings(max_examples=60, deadline=None)
def test_send_on_delta_by_the_book(x, delta, reference):
    encoder = SendOnDelta(delta=delta, reference=reference)
    assert flat(encoder.encode(x).spikes) == cases.loop_delta(flat(x), delta, reference)


def test_ties_go_to_send_on_delta_alone():
    x = np.array([0.0, 0.5, 0.5, 0.0])[:, None, None]
    assert flat(SendOnDelta(delta=0.5).encode(x).spikes) == [0, 1, 0, -1]
    assert flat(StepForward(threshold=0.5).encode(x).spikes) == [0, 0, 0, 0]


def test_temporal_contrast_by_hand():
    """Differences 1, 0, -1, 4: mean 1, deviation sqrt(14/4), so f = 1 gives a threshold of 2.87."""
    x = np.array([0.0, 1, 1, 0, 4])[:, None, None]
    spikes, side = TemporalContrast(f=1).encode(x)
    assert flat(spikes) == [0, 0, 0, 0, 1]
    assert side["threshold"][0, 0] == pytest.approx(1 + np.sqrt(3.5))
    assert flat(TemporalContrast(threshold=0.9).encode(x).spikes) == [0, 1, 0, -1, 1]
    ramp = -np.arange(5.0)[:, None, None]  # mean -1, deviation 0: taken as a threshold of 0
    spikes, side = TemporalContrast().encode(ramp)
    assert flat(spikes) == [0, -1, -1, -1, -1]
    assert side["threshold"][0, 0] == 0


@pytest.mark.parametrize(
    "encoder",
    [
        StepForward(threshold=0.07),
        SendOnDelta(delta=0.07),
        MovingWindow(threshold=0.07),
        TemporalContrast(f=0.5),
    ],
    ids=cases.name,
)
@given(x=one_channel)
@settings(max_examples=30, deadline=None)
def test_fixed_steps_decode_to_their_sum(encoder, x):
    spikes, side = encoder.encode(x)
    step = side.get("threshold", 0.07)
    summed = side["start"] + step * np.cumsum(spikes, axis=0)
    np.testing.assert_allclose(encoder.decode(spikes, **side), summed, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(0.02, 0.5))
@settings(max_examples=50, deadline=None)
def test_step_forward_stays_within_its_threshold_where_the_slope_allows(seed, threshold):
    moves = np.random.default_rng(seed).uniform(-1, 1, size=(300, 2, 2)) * threshold
    x = np.cumsum(moves, axis=0)
    for encoder in (StepForward(threshold=threshold), SendOnDelta(delta=threshold)):
        spikes, side = encoder.encode(x)
        assert np.abs(x - encoder.decode(spikes, **side)).max() <= threshold * (1 + 1e-9)
    steep = np.arange(300.0)[:, None, None] * 1.5 * threshold  # a steeper slope leaves it behind
    spikes, side = StepForward(threshold=threshold).encode(steep)
    assert np.abs(steep - StepForward(threshold=threshold).decode(spikes, **side)).max() > 100 * threshold


@pytest.mark.parametrize(
    ("encoder", "steps", "spikes"),
    [(StepForward(threshold=0.02), 47, 49), (TAE(th0=0.02), 13, 14), (TAE(th0=0.02, alpha=1.5), 8, 9)],
    ids=cases.name,
)
def test_steps_to_catch_a_unit_step(encoder, steps, spikes):
    x = np.ones((200, 1, 1))
    x[0] = 0
    code = encoder.encode(x)
    decoded = encoder.decode(code.spikes, **code.side)[:, 0, 0]
    error = np.abs(1 - decoded[1:])
    assert int(np.argmax(error < 0.05)) == steps
    assert int(np.abs(code.spikes).sum()) == spikes
    assert decoded.max() <= 1  # no overshoot


def mean_of_bursts(encoder):
    found = [measure(encoder, cases.bursts(seed)) for seed in range(10)]
    return np.mean([f.rate for f in found]), np.mean([f.snr for f in found])


def test_rates_and_snr_on_bursts_are_like_those_of_the_specification():
    """The bursts are drawn anew from the family described there, hence tolerances: 25 % in rate, 2.5 dB."""
    table = {0.05: (0.150, 21.5), 0.1: (0.069, 15.7), 0.2: (0.029, 10.1)}
    for threshold, (rate, decibels) in table.items():
        found = mean_of_bursts(StepForward(threshold=threshold))
        assert found[0] == pytest.approx(rate, rel=0.25)
        assert found[1] == pytest.approx(decibels, abs=2.5)
    for alpha, rate, decibels in ((1.2, 0.327, 27.4), (1.5, 0.323, 26.4), (2.0, 0.322, 25.0)):
        found = mean_of_bursts(TAE(th0=0.02, alpha=alpha))
        assert found[0] == pytest.approx(rate, rel=0.25)
        assert found[1] == pytest.approx(decibels, abs=2.5)
    for f, rate in ((0.5, 0.581), (1, 0.292), (2, 0.054)):
        assert mean_of_bursts(TemporalContrast(f=f))[0] == pytest.approx(rate, rel=0.25)
    for threshold in (0.02, 0.05, 0.1):
        assert mean_of_bursts(MovingWindow(threshold=threshold))[1] < 3  # drifts


def test_tae_is_sparser_and_better_on_bursts_where_the_threshold_is_small():
    tae, forward = mean_of_bursts(TAE(th0=0.02)), mean_of_bursts(StepForward(threshold=0.02))
    assert tae[0] < forward[0]
    assert tae[1] >= forward[1] + 6
    hunting = mean_of_bursts(TAE(th0=0.02, th_min=0.02 / 8))
    assert hunting[0] > 1.1 * tae[0]


def test_without_overload_tae_is_step_forward():
    """A slope that never asks for two spikes in a row."""
    x = 0.3 * np.sin(np.arange(2000) / 150)[:, None, None]
    np.testing.assert_array_equal(
        TAE(th0=0.05).encode(x).spikes, StepForward(threshold=0.05).encode(x).spikes
    )


def test_snr_and_rate_by_hand():
    assert snr([3.0, 4.0], [3.0, 3.5]) == pytest.approx(20)  # 25 / .25
    assert snr([1.0], [1.0]) == np.inf
    assert snr([0.0], [1.0]) == -np.inf
    assert spike_rate(np.array([[1, 0], [-1, 0]])) == 0.5
    assert spike_rate(np.zeros((0, 1, 1))) == 0
