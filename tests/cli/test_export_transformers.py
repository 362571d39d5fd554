"""The recipes of spiking transformers, on a few small recordings: train, compress, export, report; C equal to the model."""

import json
from pathlib import Path

import pytest

from rheobase.program import load

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = [
    *("data.name=digits-dvs", "data.T=2", "data.train_size=96", "model.width=0.25"),
    *("train.epochs=1", "train.batch_size=4", "train.threads=1", "optimiser.warmup_epochs=0"),
]
CASES = {  # recipe: what it changes, ops that its program must have, bits of its weights
    "nmnist_qkformer_stable_spike": ([], {"HeadSum", "Gate", "HeadMatMul"}, {4, 8}),
    "nmnist_snn_vit": ([], {"HeadSum", "Gate", "TimeMix"}, {4, 8}),
    "nmnist_bestformer": (
        ["objective.distill=none", "objective.teacher=null"],
        {"HeadMatMul", "Concat"},
        {1, 8},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_transformer_leaves_as_c(rheobase, tmp_path, name):
    changes, ops, bits = CASES[name]
    folder = tmp_path / "run"
    done = rheobase("train", RECIPES / f"{name}.yaml", "--out", folder, "--quiet", *TINY, *changes)
    assert done.code == 0, done.err
    done = rheobase("compress", folder, "--epochs", "1", "--quiet", "--json", "-")
    assert done.code == 0, done.err
    kept = json.loads((folder / "compressed" / "compressed.json").read_text())
    rates = kept["states"]["hardened"]["rates"]
    assert sum(rate > 0 for rate in rates.values()) > 0.8 * len(rates), "a dead network proves nothing"
    exported = rheobase("export", folder, "--to", "c", "--json", "-")
    assert exported.code == 0, exported.err
    assert exported.json["equal"] == exported.json["samples"] == 400
    assert exported.json["accuracy"] == done.json["hardened"]
    program = load(folder / "compressed" / "program.safetensors")
    assert ops <= {type(op).__name__ for op in program.ops}
    layers = exported.json["layers"]
    assert {layer["weight_bits"] for layer in layers if layer["weight_bytes"]} == bits
    assert ops & {layer["kind"] for layer in layers}, "products of attention are work too"
    assert sum(layer["state_bytes"] for layer in layers) == kept["bytes"]["membranes"]
    assert rheobase("report", folder).code == 0
    page = (folder / "report.html").read_text()
    assert all(layer["name"] in page for layer in layers)
    assert rheobase("cost", folder).code == 0
