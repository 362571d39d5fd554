"""BSA and HSA: known spikes come back, and both follow plain loops."""

import numpy as np
import pytest
import signal_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.signals import BSA, HSA

TAPS = (1.0, 0.5, 0.25, 0.125)  # binary fractions: subtracting leaves nothing


@st.composite
def spike_trains(draw, gap):
    gaps = draw(st.lists(st.integers(gap, gap + 5), min_size=1, max_size=8))
    times = np.cumsum(gaps)
    spikes = np.zeros((times[-1] + len(TAPS) + 3, 1, 1), np.int8)
    spikes[times] = 1
    return spikes


@given(spikes=spike_trains(gap=len(TAPS)), shift=st.sampled_from([0.0, -2.0, 0.5]))
@settings(max_examples=60, deadline=None)
def test_bsa_finds_the_spikes_that_a_signal_is_made_of(spikes, shift):
    """`x = shift + (s convolved with h)`, spikes not overlapping: same spikes, same signal."""
    encoder = BSA(taps=TAPS)
    x = encoder.decode(spikes, offset=shift)
    code = encoder.encode(x)
    assert code.side["offset"][0, 0] == shift
    np.testing.assert_array_equal(code.spikes, spikes)
    np.testing.assert_array_equal(encoder.decode(code.spikes, **code.side), x)


@given(spikes=spike_trains(gap=1))
@settings(max_examples=60, deadline=None)
def test_hsa_finds_spikes_that_overlap(spikes):
    """A falling filter fits below the signal only where a copy begins, so overlap does not matter."""
    encoder = HSA(taps=TAPS)
    x = encoder.decode(spikes, offset=0.0)
    code = encoder.encode(x)
    np.testing.assert_array_equal(code.spikes, spikes)
    np.testing.assert_array_equal(encoder.decode(code.spikes, **code.side), x)


@given(spikes=spike_trains(gap=len(TAPS)))
@settings(max_examples=30, deadline=None)
def test_the_previous_reference_is_one_sample_late_and_decodes_alike(spikes):
    same, previous = BSA(taps=TAPS, offset=0.0), BSA(taps=TAPS, offset=0.0, reference="previous")
    x = same.decode(spikes)
    late = previous.encode(x)
    np.testing.assert_array_equal(late.spikes[1:], spikes[:-1])
    np.testing.assert_array_equal(previous.decode(late.spikes, **late.side), x)


@pytest.mark.parametrize("threshold", [0.5, 0.9])
@given(x=cases.signals(widest=1))
@settings(max_examples=40, deadline=None)
def test_both_by_the_book(threshold, x):
    x = x[:, :1]
    bsa, hsa = BSA(threshold=threshold, length=4), HSA(length=4)
    h = bsa.filter().tolist()
    shifted = (x - x.min(axis=0)).ravel().tolist() if len(x) else []
    assert bsa.encode(x).spikes.ravel().tolist() == cases.loop_bsa(shifted, h, threshold)
    assert hsa.encode(x).spikes.ravel().tolist() == cases.loop_hsa(shifted, h)


@given(x=cases.signals())
@settings(max_examples=30, deadline=None)
def test_hsa_stays_below_the_signal(x):
    code = HSA().encode(x)
    assert (HSA().decode(code.spikes, **code.side) <= x + 1e-9).all()


@pytest.mark.parametrize("length", [2, 8, 15])
def test_a_train_of_ones_decodes_to_full_scale(length):
    encoder = BSA(length=length, full_scale=3.0, offset=-1.0)
    decoded = encoder.decode(np.ones((40, 1, 1), np.int8))
    np.testing.assert_allclose(decoded[length:], 2.0)
    assert encoder.filter().min() > 0
