"""The threshold for a target, and targets that cannot be met."""

import numpy as np
import pytest
import signal_cases as cases

from rheobase.errors import DataError, RecipeError
from rheobase.signals import (
    BSA,
    HSA,
    TAE,
    MovingWindow,
    Phase,
    Scaling,
    SendOnDelta,
    StepForward,
    TemporalContrast,
    difference_threshold,
    measure,
    pool,
    tune,
)
from rheobase.signals.compare import COMPARED, compare

X = cases.bursts(0, 1500)


@pytest.mark.parametrize(
    "encoder",
    [TAE(), TAE(alpha=1.5), StepForward(), SendOnDelta(), MovingWindow(), TemporalContrast(), BSA(), HSA()],
    ids=cases.name,
)
def test_a_rate_is_met(encoder):
    found = tune(encoder, X, rate=0.2)
    assert found.rate == pytest.approx(0.2, rel=0.02)
    assert found == measure(found.encoder, X)
    kept = set(type(encoder).model_fields) - {encoder.dial(X)[0]}
    assert all(getattr(found.encoder, field) == getattr(encoder, field) for field in kept)


def test_of_two_thresholds_that_reach_an_snr_the_larger_is_found():
    """The SNR of step-forward rises and falls with its threshold; both sides of the peak pass through 12 dB."""
    found = tune(StepForward(), X, snr=12)
    assert found.snr >= 12
    above = found.encoder.threshold * 1.05
    assert measure(StepForward(threshold=above), X).snr < 12
    small = measure(StepForward(threshold=found.encoder.threshold / 2), X)
    assert small.snr >= 12
    assert small.rate > found.rate


def test_what_cannot_be_met_is_said_with_what_comes_nearest():
    with pytest.raises(
        DataError, match=r"step_forward cannot reach 90 dB on this signal; nearest: .* dB at threshold"
    ):
        tune(StepForward(), X, snr=90)
    flat = np.full((50, 1, 1), 3.0)
    with pytest.raises(
        DataError, match=r"cannot spike at a rate of 0\.3 on this signal; nearest: a rate of 0 "
    ):
        tune(TAE(), flat, rate=0.3)
    jumps = np.tile([0.0, 1.0, 1.0, 1.0], 50)[:, None, None]  # all changes are equal, so the rate is 0 or 1/2
    with pytest.raises(DataError, match="nearest"):
        tune(TemporalContrast(threshold=0.5), jumps, rate=0.3)


def test_wrong_targets():
    for targets in ({}, {"rate": 0.1, "snr": 3}):
        with pytest.raises(RecipeError, match="one target"):
            tune(TAE(), X, **targets)
    with pytest.raises(RecipeError, match="above 0 and at most 1"):
        tune(TAE(), X, rate=1.5)
    with pytest.raises(RecipeError, match="phase has no threshold"):
        tune(Phase(), X, rate=0.3)
    with pytest.raises(RecipeError, match="no SNR"):
        tune(TAE(base_mode="send_on_delta"), X, snr=3)
    with pytest.raises(DataError, match="needs samples"):
        tune(TAE(), X[:0], rate=0.3)
    assert tune(TAE(base_mode="send_on_delta"), X, rate=0.2).snr is None


def test_all_encoders_are_compared_at_one_rate():
    entries = compare(Scaling.centre(X).apply(X), rate=0.25)
    assert [entry.name for entry in entries] == list(COMPARED)
    for entry in entries[:7]:
        assert entry.found.per_sample == pytest.approx(0.25, rel=0.05)
    flat = {entry.name: entry for entry in compare(np.zeros((40, 1, 1)), rate=0.25)}
    assert flat["tae"].found is None and "cannot spike" in flat["tae"].missed
    assert flat["phase"].found is not None


def test_scaling_by_hand():
    """Channel 0 spans 0 to 100, channel 1 is constant."""
    x = np.stack([np.arange(101.0), np.full(101, 7.0)], axis=1)[:, None]
    scaling = Scaling.fit(x, percentile=10)
    assert scaling.low == (10.0, 6.5) and scaling.high == (90.0, 7.5)
    np.testing.assert_allclose(scaling.apply(x)[[0, 10, 50, 90], 0, 0], [-1.25, -1, 0, 1])
    np.testing.assert_array_equal(scaling.apply(x)[:, 0, 1], 0)
    np.testing.assert_allclose(scaling.undo(scaling.apply(x)), x)
    centred = Scaling.centre(np.array([0.0, 0.0, 3.0])[:, None, None])
    np.testing.assert_allclose(centred.apply(np.array([0.0, 1, 3])[:, None, None]).ravel(), [-0.5, 0, 1])
    with pytest.raises(DataError, match="fitted on 2 channels, the signal has 1"):
        scaling.apply(x[:, :, :1])
    with pytest.raises(DataError, match="got none"):
        Scaling.fit(x[:0])


def test_threshold_from_differences():
    x = np.array([0.0, 1, 0, 1, 0])[:, None, None]  # differences 1, -1, 1, -1: deviation 1
    assert difference_threshold(x, k=0.5) == pytest.approx(0.5)
    with pytest.raises(DataError, match="changes"):
        difference_threshold(np.zeros((5, 1, 1)))


def test_pooling_by_hand():
    spikes = np.array([1, 1, -1, 0, -1, 1, -1], np.int8)[:, None, None]
    assert pool(spikes, 2).ravel().tolist() == [1, -1, 0, -1]  # 2 is clipped; the last is alone
    assert pool(spikes, 1).ravel().tolist() == spikes.ravel().tolist()
    many = np.ones((300, 1, 1), np.int8)  # sums beyond int8
    assert pool(many, 300).ravel().tolist() == [1]
    with pytest.raises(DataError, match="at least 1"):
        pool(spikes, 0)
