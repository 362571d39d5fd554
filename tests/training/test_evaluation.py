import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from rheobase.datasets import load_dataset
from rheobase.errors import DataError
from rheobase.events import NOISE_SUITE, drop_events
from rheobase.training import (
    ArrayFrames,
    build_model,
    check_rates,
    collect_samples,
    evaluate,
    measure,
    parse_recipe,
)
from rheobase.training.corrupt import corrupted
from rheobase.training.evaluation import noise_score


class Spikes(nn.Module):
    """Stands for a neuron layer."""

    def forward(self, x):
        return (x > 2).float()


class Readout(nn.Module):
    """Logits are the counts of the first row: hand-made answers."""

    feature_layer = "layer"

    def __init__(self):
        super().__init__()
        self.layer = Spikes()

    def neurons(self):
        return {"layer": self.layer}

    def forward(self, x):
        self.layer(x)
        return x[:, :, 0, 0, :]


def by_hand():
    """Logits [N=4, T=2, K=3] with labels 0, 1, 2, 2."""
    logits = [
        [[5, 0, 0], [0, 1, 0]],  # right after 1 step and after 2
        [[3, 0, 0], [0, 4, 0]],  # wrong, then right
        [[0, 0, 1], [9, 0, 0]],  # right, then wrong: 0
        [[0, 2, 0], [0, 2, 0]],  # wrong: 1
    ]
    frames = np.array(logits, np.uint8)[:, :, None, None, :]
    return ArrayFrames(frames, np.array([0, 1, 2, 2]))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_by_hand(batch_size):
    found = evaluate(Readout(), by_hand(), batch_size=batch_size)
    assert found.accuracy_at == [0.5, 0.5]
    assert found.accuracy == 0.5
    assert found.confusion == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    mean = [([2.5, 0.5, 0], 0), ([1.5, 2, 0], 1), ([4.5, 0, 0.5], 2), ([0, 2, 0], 2)]
    losses = [math.log(sum(map(math.exp, row))) - row[label] for row, label in mean]
    assert found.loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    # Counts above 2: 5, 3, 4, 9 of 4 * 2 * 3 places.
    assert found.rates == {"layer": pytest.approx(4 / 24)}
    assert found.spikes_per_sample == 1.0
    # A neuron that spikes in one of two steps has rate 1/2 and skeleton 0: (1/2)^2 at 4 of 12 neurons.
    assert found.temporal_inconsistency == pytest.approx(4 * 0.25 / 12)
    json.dumps(found.to_json(), allow_nan=False)


def test_integer_logits_are_scaled_for_the_loss():
    model = Readout()
    model.logit_scale = 0.0
    assert evaluate(model, by_hand()).loss == pytest.approx(math.log(3))


def test_nothing_to_evaluate():
    data = by_hand()
    with pytest.raises(DataError, match="no samples"):
        measure(Readout(), ArrayFrames(data.frames[:0], data.labels[:0]))


def test_one_step_has_no_temporal_inconsistency():
    data = by_hand()
    found = evaluate(Readout(), ArrayFrames(data.frames[:, :1], data.labels))
    assert found.temporal_inconsistency is None
    assert len(found.accuracy_at) == 1


def test_the_mode_of_the_model_is_restored():
    model = Readout().train()
    measure(model, by_hand())
    assert model.training
    assert not model.layer._forward_hooks


def test_foreign_models_have_no_layers():
    class Foreign(nn.Module):
        def forward(self, x):
            return x[:, :, 0, 0, :]

    found = evaluate(Foreign(), by_hand())
    assert (found.rates, found.spikes_per_sample, found.temporal_inconsistency) == ({}, 0, None)


@pytest.mark.parametrize("binning", ["time", "count"])
def test_frames_from_a_recording_are_those_of_the_data_set(recipe, binning):
    config = recipe.data.model_copy(update={"binning": binning, "size": 4})
    data = load_dataset(config).test
    assert all(np.array_equal(data.frames_from(data.recording(i)), data.frames[i]) for i in range(len(data)))


def test_robustness(recipe):
    data = load_dataset(recipe.data)
    lost = corrupted(data.test, drop_events, 0.5, 0)
    share = lost.frames.sum() / data.test.frames.sum()
    assert 0.4 < share < 0.6
    assert not corrupted(data.test, drop_events, 1.0, 0).frames.any()
    model = build_model(recipe, data)
    found = evaluate(model, data.test, robustness=True)
    assert [level for level, _ in found.robustness["noise"]] == [0, 0.05, 0.1, 0.2]
    assert [level for level, _ in found.robustness["drop"]] == [0, 0.1, 0.25, 0.5]
    assert found == evaluate(model, data.test, robustness=True, batch_size=2)


def test_robustness_needs_recordings(recipe, frames):
    with pytest.raises(DataError, match="ArrayFrames has no recordings"):
        corrupted(frames, drop_events, 0.1, 0)


def test_collected_samples(recipe):
    data = load_dataset(recipe.data)
    model = build_model(recipe, data).eval()
    found = collect_samples(model, data.test, 3, neurons=16)
    assert found["frames"].shape == (3, 3, 2, 8, 8)
    assert found["logits"].shape == (3, 3, 2)
    assert np.array_equal(found["labels"], data.test.labels[found["indices"]])
    assert found["raster_layers"].tolist() == list(model.neurons())
    assert found["raster_0"].shape == (3, 16)
    assert set(np.unique(found["raster_0"])) <= {0, 1}
    with torch.no_grad():
        x = torch.from_numpy(found["frames"]).transpose(0, 1).float()
        assert torch.equal(model(x), torch.from_numpy(found["logits"]).transpose(0, 1))


def test_health_by_hand():
    messages = check_rates({"a": 0.0005, "b": 0.95, "c": 0.001, "d": 0.9})
    assert list(messages) == ["a", "b"]
    assert "dead" in messages["a"] and "v_threshold" in messages["a"]
    assert "saturated" in messages["b"]


def test_the_noise_suite_in_one_number(events):
    data = load_dataset(parse_recipe({"data": {"name": "folder", "folder": str(events), "T": 2}}).data)
    model = nn.Sequential(nn.Flatten(2), nn.Linear(128, 2))
    found = evaluate(model, data.test, noise=True)
    assert set(found.robustness) == set(NOISE_SUITE)
    curves = found.robustness.values()
    assert all(len(curve) == 6 and curve[0] == (0.0, found.accuracy) for curve in curves)
    assert found.noise_score == pytest.approx(np.mean([a for curve in curves for level, a in curve if level]))
    assert evaluate(model, data.test).noise_score is None


def test_noise_score_leaves_the_clean_accuracy_out():
    curves = {kind: [(0.0, 1.0), (0.1, 0.5), (0.2, 0.1 * i)] for i, kind in enumerate(NOISE_SUITE)}
    assert noise_score(curves) == pytest.approx((0.5 + 0.2) / 2)
