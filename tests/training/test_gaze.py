"""Where saccadic attention looks on a data set: shares counted again one by one, and what a run keeps of them."""

import numpy as np
import pytest
import torch

from rheobase.errors import RecipeError
from rheobase.models import create_model
from rheobase.models.gaze import gaze
from rheobase.training import ArrayFrames, open_run, parse_recipe, train
from rheobase.training.gaze import collect_gaze, mismatches


def looking(**options):
    torch.manual_seed(0)
    model = create_model(
        "snn_vit_small",
        num_classes=2,
        input_size=(8, 8),
        T=3,
        width=0.125,
        options={"heads": 2, "depth": 2, **options},
    )
    model(torch.rand(3, 8, 2, 8, 8))  # thresholds take the median of the first batch
    return model


def half_empty():
    """Ten samples, events in the left half alone."""
    counts = np.random.default_rng(1).integers(0, 2, size=(10, 3, 2, 8, 8)).astype(np.uint8)
    counts[..., 4:] = 0
    return ArrayFrames(counts, np.arange(10) % 2)


def test_shares_are_those_of_gates_counted_one_by_one():
    model, data = looking(), half_empty()
    found = collect_gaze(model, data, batch_size=4, samples=3)
    assert model.training
    x = torch.from_numpy(data.frames).float().transpose(0, 1)
    seen = gaze(model, x)
    assert found["layers"].tolist() == ["block1", "block2"]
    for i, one in enumerate(seen.values()):
        h, w = one.gates.shape[-2:]
        opened = {True: [], False: []}
        for t in range(3):
            for n in range(10):
                for r in range(h):
                    for c in range(w):
                        patch = x[t, n, :, r * 8 // h : (r + 1) * 8 // h, c * 8 // w : (c + 1) * 8 // w]
                        opened[bool(patch.any())] += one.gates[t, n, :, r, c].tolist()
        assert len(opened[False]) >= one.gates.numel() / 2
        assert found["lit"][i] == pytest.approx(np.mean(opened[True]))
        assert found["dark"][i] == pytest.approx(np.mean(opened[False]))
        assert found["passing"][i] == pytest.approx(one.gates.mean((1, 2, 3, 4)).numpy())
        assert found["mismatch"][i] == pytest.approx(one.mismatch)
        assert found[f"looks_{i}"] == pytest.approx(one.gates[:, [0, 4, 9]].mean(2).transpose(0, 1).numpy())
    assert found["indices"].tolist() == [0, 4, 9]
    assert mismatches(found) == {
        "block1": found["mismatch"][0],
        "block2": found["mismatch"][1],
    }


def test_where_nothing_is_dark_there_is_no_share_of_it():
    data = ArrayFrames(np.ones((4, 3, 2, 8, 8), np.uint8), np.zeros(4, int))
    found = collect_gaze(looking(), data)
    assert np.isnan(found["dark"]).all() and np.isfinite(found["lit"]).all()


def test_a_network_without_saccades_is_refused():
    with pytest.raises(RecipeError, match="no saccadic neuron"):
        collect_gaze(looking(attention="spiking"), half_empty())


def test_a_run_keeps_where_it_looks(values, tmp_path):
    values["model"] = {"name": "snn_vit_small", "width": 0.125, "options": {"heads": 2}}
    values |= {"objective": {"name": "cross_entropy"}, "train": {**values["train"], "epochs": 1}}
    run = train(parse_recipe(values), tmp_path / "run", quiet=True)
    with np.load(run.folder / "gaze.npz") as file:
        assert mismatches(dict(file)) == run.evaluation.mismatch
    assert set(run.evaluation.mismatch) == {"block1", "block2"}
    assert open_run(run.folder).evaluate() == run.evaluation
