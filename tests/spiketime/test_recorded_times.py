"""What is recorded of a spike-time network for its report: a network worked out by hand, and causal sets by their meaning."""

import math

import numpy as np
import pytest
import torch
from cases import INF
from hypothesis import given
from hypothesis import strategies as st

from rheobase.models import create_model
from rheobase.spiketime import RelPsp, StdEd
from rheobase.training import ArrayFrames
from rheobase.training.spike_times import (
    BINS,
    Histogram,
    causal_spikes,
    collect_spike_times,
    spikes_per_sample,
)


def network(layers, rule=None, size=(1, 3), classes=2):
    return create_model(
        "spike_time",
        num_classes=classes,
        in_channels=1,
        input_size=size,
        input_unit=1 / 4,
        options={"layers": layers, "rule": (rule or RelPsp()).model_dump()},
    )


@pytest.fixture(scope="module")
def found():
    """Inputs at (0, .5, never), (.5, never, never) and all silent; hidden (2, 1, 0) and (.5, .5, 0); outputs (1, 1), (4, 3)."""
    net = network("2")
    with torch.no_grad():
        net.features.linear1.weight.copy_(torch.tensor([[2.0, 1, 0], [0.5, 0.5, 0]]))
        net.features.output.weight.copy_(torch.tensor([[1.0, 1], [4, 3]]))
    frames = np.array([[4, 2, 0], [2, 0, 0], [0, 0, 0]], np.uint8).reshape(3, 1, 1, 1, 3)
    net.train()
    values = collect_spike_times(net, ArrayFrames(frames, np.array([1, 0, 1])), batch_size=2, samples=3)
    assert net.training
    return values


def test_spikes_by_hand(found):
    """2t = 1 as the second input arrives; (t - .5) + t = 2 at 1.25; 4(t - .5) = 1 at .75; (t - .5) + (t - 1.25) = 1."""
    assert found["layers"].tolist() == ["encoder", "linear1", "output"]
    assert found["times_0"].tolist() == [[0, 0.5, INF], [0.5, INF, INF], [INF] * 3]
    assert found["times_1"].tolist() == [[0.5, 1.25], [1, 2.5], [INF] * 2]
    assert found["times_2"].tolist() == [[1.375, 0.75], [2, 1.25], [INF] * 2]
    assert found["fired"].tolist() == [[2, 2, 2], [1, 2, 2], [0, 0, 0]]


def test_causal_sets_by_hand(found):
    """The second hidden neuron is later than the answer, the second input arrives as the first hidden neuron fires."""
    assert found["causal_0"].tolist() == [[True, False, False], [True, False, False], [False] * 3]
    assert found["causal_1"].tolist() == [[True, False], [True, False], [False] * 2]
    assert found["causal_2"].tolist() == [[False, True], [False, True], [False] * 2]
    assert found["causal"].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_answers_by_hand(found):
    assert found["answered"].tolist() == [0.75, 1.25, INF]
    assert found["right"].tolist() == [True, False, False]
    assert found["answers"].tolist()[:2] == [1, 1]
    sure = [1 / (1 + math.exp(-3 * late)) for late in (1.375 - 0.75, 2 - 1.25, 0)]
    assert found["confidence"] == pytest.approx(sure)


def test_counts_by_hand(found):
    assert found["neurons"].tolist() == [3, 2, 2] and found["silent"].tolist() == [6, 2, 2]
    assert found["end"] == 4.0  # the latest spike is at 2.5
    places = [np.repeat(np.arange(BINS), row).tolist() for row in found["counts"]]
    assert places == [[0, 32, 32], [32, 64, 80, 160], [48, 80, 88, 128]]
    assert spikes_per_sample(found) == pytest.approx(8 / 3)


@given(st.lists(st.lists(st.floats(0, 50, width=32), max_size=8), min_size=1, max_size=6))
def test_histogram_does_not_depend_on_what_comes_first(parts):
    histogram = Histogram(2)
    for part in parts:
        histogram.add(1, np.array(part, np.float32))
    times = np.concatenate([np.array(part) for part in parts])
    expected = np.histogram(times, BINS, (0, histogram.end))[0]
    assert not histogram.counts[0].any() and histogram.counts[1].tolist() == expected.tolist()
    assert histogram.end == max(1, 2 ** (math.floor(math.log2(times.max(initial=0.1))) + 1))


@given(st.integers(0, 10_000))
def test_causal_sets_are_what_arrived_before(seed):
    """Layer by layer from the winner down: a spike is causal if some causal neuron fired after it."""
    torch.manual_seed(seed)
    net = network("12-9", size=(2, 4), classes=3).eval()
    x = torch.randint(0, 5, (1, 6, 1, 2, 4)).float()
    times, answers, causal = causal_spikes(net, x)
    for n, answer in enumerate(answers):
        after = times[-1][n, answer].view(1)
        after = after[after.isfinite()]
        for depth in (2, 1, 0):
            t = times[depth][n].flatten()
            expected = (t.unsqueeze(1) < after).any(1)
            assert torch.equal(causal[depth][n].flatten(), expected)
            after = t[expected]


def test_convolutions_and_poolings_pass_causes_on():
    torch.manual_seed(0)
    net = network("3C2-P2-8", size=(5, 5)).eval()
    x = torch.randint(1, 5, (1, 4, 1, 5, 5)).float()
    times, answers, causal = causal_spikes(net, x)
    assert [c.shape for c in causal] == [t.shape for t in times]
    assert [list(t.shape[1:]) for t in times] == [[1, 5, 5], [3, 4, 4], [8], [2]]
    pooled = causal[1].unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2))
    assert pooled.max() == 1  # the earliest of each window
    assert times[-1].isfinite().any() and answers.tolist() == times[-1].argmin(1).tolist()


def test_windows_of_std_ed_stand_behind_each_other():
    torch.manual_seed(0)
    net = network("30-20", StdEd())
    frames = np.random.default_rng(0).integers(1, 5, (16, 1, 1, 1, 3), np.uint8)
    values = collect_spike_times(net, ArrayFrames(frames, np.zeros(16, np.int64)), samples=16)
    for depth in range(3):
        fired = values[f"times_{depth}"][np.isfinite(values[f"times_{depth}"])]
        assert len(fired) and depth <= fired.min() and fired.max() <= depth + 1
    assert values["layers"].tolist() == ["encoder", "linear1", "linear2"]
    assert (values["answered"] == 3).all()
    assert np.array_equal(
        values["causal_2"], np.isfinite(values["times_2"])
    )  # the readout takes all that fired
