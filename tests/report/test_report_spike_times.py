"""Spike times in the report: figures worked out by hand, and pages of runs with and without them."""

from dataclasses import replace

import numpy as np
import pytest
from test_report_page import Outline

from rheobase.errors import DataError
from rheobase.report import Arm, ReportData, SpikeSample, SpikeTimes, collect, render
from rheobase.report.spike_times import in_words
from rheobase.training import open_run, parse_recipe, train

INF = np.inf


def example():
    """Five samples; 4 inputs and 2 outputs, times in eighths of 2."""
    counts = np.zeros((2, 8), int)
    counts[0, :2] = 6, 4
    counts[1, [3, 4]] = 3, 1
    sample = SpikeSample(
        label="cat",
        answer="dog & co",
        answered=0.8,
        times=[np.array([0.1, 0.2, INF, 0.9]), np.array([INF, 0.8])],
        causal=[np.array([True, True, False, False]), np.array([False, True])],
        fired=[3, 1],
        counted=[2, 1],
    )
    return SpikeTimes(
        layers=["inputs", "output"],
        neurons=np.array([4, 2]),
        silent=np.array([10, 6]),
        counts=counts,
        end=2.0,
        answered=np.array([1.2, 0.8, INF, 0.9, 0.8]),
        right=np.array([False, True, True, False, True]),
        confidence=np.array([0.5, 1.0, 1.0, 0.8, 0.9]),
        samples=[sample, replace(sample, answered=INF, times=[np.full(4, INF), np.full(2, INF)])],
    )


def data(**parts):
    return ReportData("t", arms=[Arm("a", accuracy=0.4, accuracy_at=[0.4], spikes_per_sample=0.8)], **parts)


def test_answers_count_in_the_order_of_their_arrival():
    times, share, accuracy, confidence = example().decided()
    assert times.tolist() == [0.8, 0.9, 1.2]
    assert share == pytest.approx([0.4, 0.6, 0.8])
    assert accuracy == pytest.approx([1, 2 / 3, 1 / 2])
    assert confidence == pytest.approx([0.95, 0.9, 0.8])
    assert in_words(example()).startswith(
        "60.0% of the samples are answered by t = 0.9, 66.7% of these rightly"
    )


def test_spikes_and_silence_of_each_layer():
    assert example().spikes() == [2, 0.8]
    assert example().silent_share() == [0.5, 0.6]


def test_histograms_end_with_the_last_spike():
    edges, shares = example().histogram()
    assert edges.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25]
    assert shares.tolist() == [[0.6, 0.4, 0, 0, 0], [0, 0, 0, 0.75, 0.25]]
    wide = np.zeros((2, 256), int)
    wide[:, [0, 199]] = [[5, 5], [3, 1]]
    edges, shares = replace(example(), counts=wide).histogram()
    assert shares.shape == (2, 100) and edges[-1] == 200 * 2 / 256
    assert shares[:, [0, -1]].tolist() == [[0.5, 0.5], [0.75, 0.25]]


def test_counts_must_add_up():
    with pytest.raises(DataError, match=r"add up to its neurons.*\[21, 10\] and \[20, 10\]"):
        replace(example(), silent=np.array([11, 6]))


def test_the_page_shows_spike_times_in_place_of_a_time_axis():
    page = render(data(spike_times=example()))
    outline = Outline(page)
    assert outline.sections == ["spiketimes", "appendix"]
    assert len(set(outline.ids)) == len(outline.ids)
    for text in (
        "label cat, answer dog &amp; co",
        "2 causal",
        "3 fire",
        "50.0%",
        "Answers that have arrived",
    ):
        assert text in page, text
    missing = page[page.index("Not in this report") :]
    assert "timesteps" not in missing and "firing rates" not in missing and "confusion" in missing


def test_a_page_without_spike_times_does_not_speak_of_them():
    page = render(data())
    assert Outline(page).sections == ["anytime", "activity", "appendix"]
    assert "pike times" not in page


@pytest.mark.parametrize(
    ("answered", "words"),
    [(np.full(5, 3.0), "Every answer arrives at t = 3."), (np.full(5, INF), "No output neuron fires")],
)
def test_answers_without_a_curve(answered, words):
    page = render(data(spike_times=replace(example(), answered=answered)))
    assert words in page and "Answers that have arrived" not in page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    values = {
        "data": {"name": "digits-dvs", "T": 4, "train_size": 60, "binning": "time"},
        "model": {
            "name": "spike_time",
            "options": {"layers": "16", "rule": {"name": "rel_psp"}, "encoder": "first_event"},
        },
        "objective": {"name": "weight_sum"},
        "train": {"epochs": 1, "batch_size": 20, "threads": 1},
    }
    return train(parse_recipe(values), tmp_path_factory.mktemp("runs") / "run", quiet=True).folder


def test_a_run_leaves_what_its_report_shows(run):
    found = collect(run)
    assert found.spike_times is not None and found.spike_times.layers == ["inputs", "linear1", "output"]
    assert sum(found.spike_times.spikes()[1:]) == pytest.approx(found.shipped.spikes_per_sample)
    assert found.spike_times.decided()[1][-1] <= 1 and len(found.spike_times.samples) == 4
    assert found.samples is not None and found.samples.frames.shape[1] == 1  # logits have one step
    assert (run / "spike_times.npz").stat().st_size < 50_000
    assert open_run(run).evaluation.spikes_per_sample == found.shipped.spikes_per_sample
    assert {"spiketimes", "recordings"} < set(Outline(render(found)).sections)


def test_an_older_run_without_spike_times_still_has_a_report(run):
    (run / "spike_times.npz").unlink()
    assert "spiketimes" not in Outline(render(collect(run))).sections
    open_run(run).evaluate()
    assert collect(run).spike_times is not None
