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


@needs_compiler
@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine")
def test_a_package_carries_the_encoder_and_tests_the_chain(rheobase, run, tmp_path):
    done = rheobase("export", run, "--to", "cmake", "--json", tmp_path / "said.json")
    assert done.code == 0, done.err
    facts = json.loads((tmp_path / "said.json").read_text())["encoder"]
    assert facts["files"] == ["encoder.h", "encoder.c", "chain_test.c"] and facts["decisions"] >= 10
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"], ["ctest", "--test-dir", "b"]):
        built = subprocess.run(command, cwd=run / "cmake", capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    assert "0 tests failed out of 2" in built.stdout
    readme = (run / "cmake" / "README.md").read_text()
    assert "one channel at 16000 Hz" in readme and "_encoder_push" in readme


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


def test_a_program_on_a_stream_equals_one_on_a_whole(spotter):
    if native.compiler() is None:
        pytest.skip("no C compiler on this machine")
    from rheobase.program.stream import ProgramStream

    program = load(spotter / "run" / "compressed" / "program.safetensors")
    frames = np.random.default_rng(0).integers(-1, 2, (90, 1, *program.input_shape)).astype(np.int8)
    whole, stream = reference.run(program, frames).logits[:, 0], ProgramStream(program)
    parts = [stream.push(part[:, 0]) for part in np.split(frames, [0, 1, 40])]
    assert np.array_equal(np.concatenate(parts), whole)
    stream.reset()
    assert np.array_equal(stream.push(frames[:5, 0]), whole[:5])


@needs_compiler
def test_live_prints_decisions_over_time(rheobase, spotter, run):
    path, samples = clip(spotter)
    done = rheobase("live", "--audio", path, run, "--json", "-")
    assert done.code == 0, done.err
    program, classes = (
        load(run / "compressed" / "program.safetensors"),
        json.loads((run / "result.json").read_text())["classes"],
    )
    logits = expected(run, samples)
    steps = np.diff(logits, axis=0, prepend=0)
    recent = np.array([steps[max(t + 1 - program.T, 0) : t + 1].sum(0) for t in range(len(steps))])
    assert [d["label"] for d in done.json] == [classes[i] for i in recent.argmax(-1)]
    scaled = [m * program.logit_scale for m in margins(recent)]
    assert np.allclose([d["margin"] for d in done.json], scaled)
    times = [d["time"] for d in done.json]
    # a window of 1,024 samples every 720, told when the block of 160 samples that completes it is there
    assert np.allclose(times, [-(-(1024 + 720 * i) // 160) * 0.01 for i in range(len(times))])
    assert all(d["latency"] > 0 for d in done.json)
    fewer = rheobase("live", "--audio", path, run, "--hop", 200, "--lines")
    told = [json.loads(line)["time"] for line in fewer.out.splitlines()]
    assert set(told) < set(times) and (np.diff(told) >= 0.2 - 1e-9).all()


def write(path, samples, rate=16000):
    """A WAV of int16 [L, C]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@needs_compiler
def test_live_mixes_channels_and_refuses_other_rates(rheobase, spotter, run, tmp_path):
    path, samples = clip(spotter)
    wide = np.stack([samples + (samples % 7), samples - (samples % 7)], 1)
    stereo = write(tmp_path / "stereo.wav", wide)
    said = [rheobase("live", "--audio", each, run, "--lines").out.splitlines() for each in (path, stereo)]
    labels = [[json.loads(line)["label"] for line in lines] for lines in said]
    assert labels[0] == labels[1] and len(labels[0]) > 10
    slow = write(tmp_path / "slow.wav", samples[:, None], 8000)
    done = rheobase("live", "--audio", slow, run)
    assert done.code == 1 and "8000 Hz" in done.err and "-ar 16000" in done.err


@needs_compiler
def test_live_on_a_program_file_wants_its_coding(rheobase, spotter, run, tmp_path):
    path, _ = clip(spotter)
    program = Path(shutil.copy(run / "compressed" / "program.safetensors", tmp_path / "p.safetensors"))
    done = rheobase("live", "--audio", path, program)
    assert done.code == 1 and "coding.json" in done.err
    heard = rheobase("live", "--audio", path, run, "--lines").out.splitlines()
    shutil.copy(run / "coding.json", tmp_path)
    done = rheobase("live", "--audio", path, program, "--lines")
    assert done.code == 0 and len(done.out.splitlines()) == len(heard)
    (tmp_path / "coding.json").write_text("{}")
    done = rheobase("live", "--audio", path, program)
    assert done.code == 1 and "no coding" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("--window", 100, "--audio", "a.wav", "run"), ("--reference", "--audio", "a.wav", "run"), ("x.raw",)],
)
def test_live_says_what_goes_together(rheobase, arguments):
    done = rheobase("live", *arguments)
    assert done.code == 1 and "rheobase live --audio" in done.err
