"""From samples to decisions: export writes the encoder, a microcontroller decides as Python does, and `live` prints it."""

import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from rheobase import native
from rheobase.program import load, reference
from rheobase.signals.coding import Coding
from rheobase.signals.program import integer_coding
from rheobase.targets import TARGETS, missing

sys.path.insert(0, str(Path(__file__).parent))
from test_signal_path import SPEECH, speech

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
M4 = TARGETS["cortex-m4"]


@pytest.fixture(scope="module")
def spotter(rheobase, tmp_path_factory):
    """A compressed keyword spotter, tiny and hardly trained, and the folder of its clips."""
    folder = tmp_path_factory.mktemp("spotter")
    speech(folder)
    (folder / "recipe.yaml").write_text(SPEECH.format(root=folder, neuron="qt_snn", more="", rounds=0))
    for command in (["train", folder / "recipe.yaml", "--out", folder / "run"], ["compress", folder / "run"]):
        done = rheobase(*command)
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(spotter, tmp_path):
    return Path(shutil.copytree(spotter / "run", tmp_path / "run"))


def clip(spotter) -> tuple[Path, np.ndarray]:
    """The first test recording, as the data set has them."""
    from rheobase.datasets import load_recorded
    from rheobase.training import open_run

    recorded = load_recorded(open_run(spotter / "run").recipe.data)
    path = spotter / "speech_commands_v2_test" / recorded.names[0]
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(1 << 20), "<i2")
    assert np.array_equal(samples, recorded.samples(0))
    return path, samples


def expected(run, samples):
    """Running logits of the network on what the integer encoder makes of samples."""
    coding = integer_coding(Coding.model_validate_json((run / "coding.json").read_text()))
    program = load(run / "compressed" / "program.safetensors")
    frames = coding.encode(samples)
    return reference.run(program, frames.reshape(len(frames), 1, *program.input_shape)).logits[:, 0].cumsum(0)


def margins(logits) -> list[int]:
    two = np.sort(logits, axis=-1)[:, -2:]
    return (two[:, 1] - two[:, 0]).tolist()


@needs_compiler
def test_the_exported_pipeline_decides_as_python(rheobase, spotter, run, tmp_path):
    done = rheobase("export", run, "--to", "c", "--json", tmp_path / "said.json")
    assert done.code == 0, done.err
    facts = json.loads((tmp_path / "said.json").read_text())["encoder"]
    assert facts["files"] == ["encoder.h", "encoder.c", "pipeline.c"] and facts["samples"] == 12
    assert facts["spikes"] > 0.97 and facts["decisions"] >= 10
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    files = ["pipeline.c", "encoder.c", "model.c"]
    subprocess.run([native.compiler(), *flags, *files, "-o", "pipeline"], cwd=run / "c", check=True)
    _, samples = clip(spotter)
    ran = subprocess.run([run / "c" / "pipeline"], input=samples.tobytes(), capture_output=True, check=True)
    rows = [line.split() for line in ran.stdout.decode().splitlines()]
    logits = expected(run, samples)
    assert [int(row[1]) for row in rows] == logits.argmax(-1).tolist()
    assert [int(row[2]) for row in rows] == margins(logits)
    assert float(rows[-1][0]) <= 1.0


@pytest.mark.skipif(bool(missing(M4)), reason=str(missing(M4)))
@needs_compiler
def test_a_cortex_m4_decides_as_python_after_every_frame(rheobase, spotter, run, tmp_path):
    arguments = ("--to", "c", "--target", "cortex-m4", "--report", "--json", tmp_path / "said.json")
    done = rheobase("export", run, *arguments)
    assert done.code == 0, done.err
    assert "instructions per second of signal" in done.out
    found = json.loads((tmp_path / "said.json").read_text())["encoder"]["target"]
    logits = expected(run, clip(spotter)[1])
    assert found["decisions"] == logits.argmax(-1).tolist() and found["seconds"] == 1.0
    assert found["frames"] == len(logits) > 10
    total = found["encoder_instructions_per_second"] + found["network_instructions_per_second"]
    assert found["instructions_per_second"] == total > 100_000
    assert 1000 < found["bytes_state_encoder"] < found["bytes_ram"] and found["bytes_flash"] > 1000


@needs_compiler
def test_a_front_end_without_an_integer_form_leaves_the_network_alone(rheobase, spotter, tmp_path):
    front = "{{name: gammatone, sampling: 16000, bands: 4, low: 300, high: 6000}}"
    recipe = SPEECH.replace("{{name: log_mel, bands: 8, window: 0.064, hop: 0.045, low: 50}}", front)
    (tmp_path / "recipe.yaml").write_text(
        recipe.format(root=spotter, neuron="qt_snn", more="", rounds=0).replace("T: 20", "T: 200")
    )
    run = tmp_path / "run"
    for command in (["train", tmp_path / "recipe.yaml", "--out", run], ["compress", run]):
        done = rheobase(*command)
        assert done.code == 0, done.err
    done = rheobase("export", run, "--json", tmp_path / "said.json")
    assert done.code == 0 and "gammatone has no integer form" in " ".join(done.out.split())
    assert json.loads((tmp_path / "said.json").read_text())["encoder"] is None
    assert not (run / "c" / "encoder.c").exists() and (run / "c" / "model.c").exists()


def test_frames_of_the_coding_are_those_of_the_data_set(spotter):
    from rheobase.datasets import load_dataset, load_recorded
    from rheobase.training import open_run

    data = open_run(spotter / "run").recipe.data
    recorded, test = load_recorded(data), load_dataset(data).test
    for i in range(3):
        frames = recorded.coding.encode(recorded.samples(i) * recorded.coding.unit)
        held = test.frames[i].reshape(len(test.frames[i]), -1)
        assert np.array_equal(frames[: len(held)], held[: len(frames)]) and not held[len(frames) :].any()
