"""Codes that give each sample steps of its own: values by hand and bounds on what decoding loses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.signals import Direct, Latency, Phase, Rate, ReceptiveFields

values = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(lambda u: np.array(u)[:, None, None])


def one(encoder, value):
    return encoder.encode(np.full((1, 1, 1), value)).spikes[:, 0].T.tolist()


def test_latency_by_hand():
    """T = 5: u = 1 fires at once, 1/2 in the middle, 0 last; what lies beyond the range counts as its end."""
    encoder = Latency(steps=5, low=0, high=1)
    assert one(encoder, 1.0) == [[1, 0, 0, 0, 0]]
    assert one(encoder, 0.5) == [[0, 0, 1, 0, 0]]
    assert one(encoder, 0.0) == one(encoder, -7.0) == [[0, 0, 0, 0, 1]]


def test_logarithmic_latency_by_hand():
    """tau ln(u / (u - th)): tau = 2, th = .5, u = 1 gives 2 ln 2 = 1.39; u = .6 gives 3.58; u <= th is silent."""
    encoder = Latency(form="logarithmic", steps=6, tau=2, threshold=0.5, low=0, high=1)
    assert one(encoder, 1.0) == [[0, 1, 0, 0, 0, 0]]
    assert one(encoder, 0.6) == [[0, 0, 0, 0, 1, 0]]
    assert one(encoder, 0.5) == one(encoder, 0.2) == [[0, 0, 0, 0, 0, 0]]
    assert one(encoder, 0.51) == [[0, 0, 0, 0, 0, 0]]  # at 7.9, later than the last step
    decoded = encoder.decode(np.array(one(encoder, 0.6)).T[:, None])
    assert decoded.item() == pytest.approx(0.5 / (1 - np.exp(-4 / 2)))


@given(u=values, steps=st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_latency_loses_half_a_step_at_most(u, steps):
    encoder = Latency(steps=steps, low=0, high=1)
    spikes = encoder.encode(u).spikes
    assert (spikes.reshape(len(u), steps).sum(axis=1) == 1).all()
    assert np.abs(encoder.decode(spikes) - u).max() <= 0.5 / (steps - 1) + 1e-12


def test_phase_by_hand():
    """11/16 is 1011 in binary; the top of the range is the largest code."""
    encoder = Phase(steps=4, low=0, high=1)
    assert one(encoder, 11 / 16) == [[1, 0, 1, 1]]
    assert one(encoder, 1.0) == [[1, 1, 1, 1]]
    assert one(encoder, 0.0) == [[0, 0, 0, 0]]


@given(u=values, steps=st.integers(1, 32))
@settings(max_examples=40, deadline=None)
def test_phase_loses_half_a_bit_at_most(u, steps):
    encoder = Phase(steps=steps, low=0, high=1)
    error = np.abs(encoder.decode(encoder.encode(u).spikes) - u)
    bound = np.where(u > 1 - 0.5 ** (steps + 1), 0.5**steps, 0.5 ** (steps + 1))
    assert (error <= bound + 1e-15).all()


def test_receptive_fields_by_hand():
    """M = 4: centres -1/4, 1/4, 3/4, 5/4; sigma 1/3. u = 1/4 is field 2's own, its neighbours answer exp(-9/8)."""
    encoder = ReceptiveFields(fields=4, steps=11, low=0, high=1)
    np.testing.assert_allclose(encoder.centres, [-0.25, 0.25, 0.75, 1.25])
    assert encoder.sigma == pytest.approx(1 / 3)
    late = round(10 * (1 - np.exp(-9 / 8)))
    rows = one(encoder, 0.25)
    assert [row.index(1) if 1 in row else None for row in rows] == [late, 0, late, None]


@given(u=values, fields=st.integers(3, 12))
@settings(max_examples=40, deadline=None)
def test_receptive_fields_decode_as_finely_as_time_is(u, fields):
    for steps, bound in ((33, 0.35), (2001, 0.01)):
        encoder = ReceptiveFields(fields=fields, steps=steps, silent=0.0, low=0, high=1)
        error = np.abs(encoder.decode(encoder.encode(u).spikes) - u).max()
        assert error <= bound / (fields - 2)


@pytest.mark.parametrize("process", ["bernoulli", "poisson"])
def test_rates_are_the_probabilities(process):
    """5 standard errors of 40,000 draws; the decoder inverts."""
    u = np.array([0.0, 0.1, 0.5, 0.9, 1.0])[None, None]
    encoder = Rate(steps=40_000, process=process, low=0, high=1)
    spikes = encoder.encode(u).spikes
    expected = u if process == "bernoulli" else 1 - np.exp(-u)
    assert np.abs(spikes.mean(axis=0) - expected).max() < 5 * 0.5 / 200
    np.testing.assert_allclose(encoder.decode(spikes), u, atol=0.04)


def test_seeds_are_streams_of_their_own():
    x = np.zeros((4, 1, 2))
    first = Rate(seed=1).encode(x).spikes
    np.testing.assert_array_equal(Rate(seed=1).encode(x).spikes, first)
    assert (Rate(seed=2).encode(x).spikes != first).any()
    assert (first[:, :, 0] != first[:, :, 1]).any()
    assert (first[:32] != first[32:64]).any()


def test_direct_repeats_the_value():
    x = np.array([[[0.3, -2.0]], [[7.0, 1e-9]]])
    spikes, side = Direct(steps=3).encode(x)
    np.testing.assert_array_equal(spikes, x[[0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(Direct(steps=3).decode(spikes, **side), x)


@given(shift=st.floats(-5, 5), span=st.floats(0.1, 10), u=values)
@settings(max_examples=40, deadline=None)
def test_ranges_are_scaled(shift, span, u):
    encoder = Phase(steps=12, low=shift, high=shift + span)
    decoded = encoder.decode(encoder.encode(shift + span * u).spikes)
    assert np.abs(decoded - (shift + span * u)).max() <= span * 0.5**12 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [(Phase(steps=4), (6, 1, 1)), (ReceptiveFields(fields=4), (16, 1, 5)), (Direct(steps=4), (6, 1, 1))],
)
def test_parts_of_samples_are_not_decoded(encoder, shape):
    with pytest.raises(DataError, match="steps a sample"):
        encoder.decode(np.zeros(shape, np.int8))
