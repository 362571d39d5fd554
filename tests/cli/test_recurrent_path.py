"""A recurrent network through the command line: trained, fine-tuned through the roundings, exported; C equals the model."""

import json
import sys
from pathlib import Path

import pytest

from rheobase import native
from rheobase.program import RecurrentRoundedNeuron, load

sys.path.insert(0, str(Path(__file__).parent))
from test_signal_path import ECG, qtdb, through


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
def test_recurrent_networks_leave_as_c(rheobase, tmp_path):
    qtdb(tmp_path)
    recipe = ECG.format(root=tmp_path).replace("spiking_mlp", "spiking_rnn")
    run, facts = through(rheobase, tmp_path, recipe.replace("epochs: 0}", "epochs: 0, round_epochs: 1}"))
    assert facts["equal"] == facts["samples"] == 6 and facts["spikes_per_sample"] > 0
    (fires,) = load(run / "compressed" / "program.safetensors").neurons
    assert isinstance(fires, RecurrentRoundedNeuron) and fires.weight.bits == 2
    held = {layer["name"]: layer for layer in facts["layers"]}
    assert held[fires.name]["weight_bytes"] == 12 * 3 and held[fires.name]["kind"] == "RecurrentRoundedNeuron"
    assert json.loads((run / "program.json").read_text())["bytes_weights"] > 0
