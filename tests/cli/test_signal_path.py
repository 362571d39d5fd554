"""Networks for signals through the command line: train, compress, export; the C equals the model on every test sample."""

import csv
import io
import json
import wave

import numpy as np
import pytest
from scipy.io import savemat

from rheobase import native
from rheobase.program import load
from rheobase.training.export import accuracy_by_step

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
SPEECH = """\
data: {{name: speech-commands-12, root: {root}, T: 20, signal: {{rate: 0.2,
       front: {{name: log_mel, bands: 8, window: 0.064, hop: 0.045, low: 50}}, encoder: {{name: tae}}}}}}
model: {{name: spiking_tcn, neuron: {neuron}, options: {{hidden: [16], delays: [[0, 1, 3]]{more}}},
        quantise: {{weights: {{name: ternary, per_channel: true}}, edges: {{name: ternary, per_channel: true}}}}}}
objective: {{name: firing_rate, target: 0.1}}
optimiser: {{name: adam, lr: 0.01}}
train: {{epochs: 1, batch_size: 8, threads: 1}}
compress: {{epochs: 0, round_epochs: {rounds}}}
"""
ECG = """\
data: {{name: qtdb, root: {root}, T: 30}}
model: {{name: spiking_mlp, neuron: qt_snn, options: {{hidden: [12], readout: [0, 2]}}}}
objective: {{name: firing_rate, target: 0.1}}
optimiser: {{name: adam, lr: 0.01}}
train: {{epochs: 1, batch_size: 8, threads: 1}}
compress: {{bits: 2, quantiser: ternary, epochs: 0}}
"""


def speech(root):
    """A tone a class, by six speakers, in the layout of the real files."""
    from rheobase.datasets import speech_commands

    rng, rows, folder = np.random.default_rng(0), [], root / speech_commands.FOLDER
    for k, label in enumerate(speech_commands.CLASSES):
        (folder / label).mkdir(parents=True)
        for speaker in "abcdet":
            tone = np.sin(2 * np.pi * (200 + 300 * k) * np.arange(16000) / 16000) + 0.1 * rng.normal(
                size=16000
            )
            file = io.BytesIO()
            with wave.open(file, "wb") as writer:
                writer.setnchannels(1)
                writer.setsampwidth(2)
                writer.setframerate(16000)
                writer.writeframes((tone * 10000).astype("<i2").tobytes())
            path = f"{label}/{speaker}_nohash_0.wav"
            (folder / path).write_bytes(file.getvalue())
            part = "test" if speaker == "t" else "train"
            rows.append({"path": path, "label": label, "speaker": speaker, "suggested_split": part})
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def qtdb(root):
    """Ternary codes with a label a step, as the real files have them."""
    rng = np.random.default_rng(0)
    (root / "qtdb").mkdir()
    for file, count in (("QTDB_train.mat", 20), ("QTDB_test.mat", 6)):
        y = np.eye(6, dtype=np.uint8)[rng.integers(0, 6, (count, 30))]
        y[:, -4:] = 0
        x = rng.integers(-1, 2, (count, 30, 4)).astype(np.int16)
        savemat(root / "qtdb" / file, {"x": x, "y": y})


def through(rheobase, folder, recipe: str):
    """Train, compress and export; the facts of the export."""
    (folder / "recipe.yaml").write_text(recipe)
    run = folder / "run"
    for command in (["train", folder / "recipe.yaml", "--out", run], ["compress", run]):
        done = rheobase(*command)
        assert done.code == 0, done.err
    done = rheobase("export", run, "--to", "c")
    assert done.code == 0, done.err
    return run, json.loads((run / "program.json").read_text())


@needs_compiler
@pytest.mark.parametrize(
    ("neuron", "more", "rounds"),
    [("qt_snn", ", convs: [{channels: 4, kernel: 4, stride: 2, delays: [0, 2]}]", 0), ("ternary_lif", "", 1)],
)
def test_speech_leaves_as_c(rheobase, tmp_path, neuron, more, rounds):
    speech(tmp_path)
    recipe = SPEECH.format(root=tmp_path, neuron=neuron, more=more, rounds=rounds)
    run, facts = through(rheobase, tmp_path, recipe)
    assert facts["equal"] == facts["samples"] == 12 and facts["spikes_per_sample"] > 0
    program = load(run / "compressed" / "program.safetensors")
    assert program.input_type == "int8" and all(op.ternary for op in program.neurons)
    assert "const int8_t *frame)" in (run / "c" / "model.h").read_text()


@needs_compiler
def test_labels_by_step_leave_as_c(rheobase, tmp_path):
    qtdb(tmp_path)
    run, facts = through(rheobase, tmp_path, ECG.format(root=tmp_path))
    assert facts["equal"] == facts["samples"] == 6
    assert len(facts["accuracy_at"]) == 30 and facts["accuracy_at"][-1] == 0 and facts["exit_curve"] == []
    done = rheobase("export", run, "--early-exit", "1")
    assert done.code != 0 and "a label for each step" in done.err


def test_accuracy_of_steps_by_hand():
    logits = np.array([[[1, 0], [0, 2]], [[0, 3], [5, 0]]])  # [T=2, N=2, K=2]: steps decide 0, 1; then 1, 0
    assert accuracy_by_step(logits, np.array([1, 0])).tolist() == [0.0, 1.0]  # sums decide 0, 1; then 1, 0
    by_step = np.array([[0, -1], [1, 1]])
    assert accuracy_by_step(logits, by_step).tolist() == [1.0, 0.0]
