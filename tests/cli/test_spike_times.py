"""`rheobase train` and `export` of spike-time networks: a tiny digits run leaves as C that runs on a microcontroller."""

import json
import subprocess

import numpy as np
import pytest

from rheobase import native
from rheobase.errors import LatticeError
from rheobase.spiketime.program import CompiledLearner, Learner
from rheobase.targets import TARGETS, missing
from rheobase.training import open_run
from rheobase.training.export_spike_times import spike_time_program

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
M4 = TARGETS["cortex-m4"]
MARGIN, SHIFT = 1 << 23, 0
RECIPE = """\
data: {name: digits-dvs, T: 8, binning: time}
model: {name: spike_time, options: {layers: "LAYERS", rule: {name: RULE}, encoder: first_event}}
objective: OBJECTIVE
optimiser: {name: adam, lr: RATE, schedule: cosine}
train: {epochs: 4, batch_size: 32, threads: 1}
"""
OPTIONS = {
    "rel_psp": {
        "RULE": "rel_psp",
        "LAYERS": "32",
        "OBJECTIVE": "{name: weight_sum, K: 0.01}",
        "RATE": "5.0e-3",
    },
    "std_ed": {"RULE": "std_ed", "LAYERS": "128", "OBJECTIVE": "{name: cross_entropy}", "RATE": "1.0e-3"},
}


@pytest.fixture(scope="module", params=list(OPTIONS))
def spike_times(request, rheobase, tmp_path_factory):
    folder, text = tmp_path_factory.mktemp(request.param), RECIPE
    for word, value in OPTIONS[request.param].items():
        text = text.replace(word, value)
    recipe = folder / "recipe.yaml"
    recipe.write_text(text)
    done = rheobase("train", recipe, "--out", folder / "run")
    assert done.code == 0, done.err
    return folder / "run"


def test_compress_refuses_and_names_export(rheobase, spike_times):
    done = rheobase("compress", spike_times)
    assert done.code != 0 and "export it directly" in done.err and "rheobase export" in done.err
    assert not (spike_times / "compressed").exists()


def test_export_ships_what_was_trained(rheobase, spike_times):
    target = [] if missing(M4) else ["--target", "cortex-m4", "--report", "--samples", "2"]
    done = rheobase("export", spike_times, "--to", "c", *target, "--json", "-")
    assert done.code == 0, done.err
    facts = done.json
    assert facts["equal"] == facts["samples"] == 400
    assert facts["accuracy_float"] > 0.5 and abs(facts["accuracy"] - facts["accuracy_float"]) <= 0.03
    assert 0 < facts["work_per_sample"]["additions"] < facts["synapses"]
    assert facts["spikes_per_sample"] < 512 + 128 + 10
    assert json.loads((spike_times / "program.json").read_text())["accuracy"] == facts["accuracy"]
    if target:
        assert facts["target"]["samples"] == 2
        least = facts["work_per_sample"]["additions"]  # an addition is several instructions
        assert least < facts["target"]["instructions_per_inference"] < 100 * least


def test_self_test_passes(rheobase, spike_times, tmp_path):
    assert rheobase("export", spike_times, "--out", tmp_path).code == 0
    sources = sorted(str(path) for path in tmp_path.glob("*.c"))
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    subprocess.run([native.compiler(), *flags, *sources, "-o", tmp_path / "self_test"], check=True)
    done = subprocess.run([tmp_path / "self_test"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "PASS\n")


def test_other_formats_are_refused(rheobase, spike_times):
    done = rheobase("export", spike_times, "--to", "arduino")
    assert done.code == 1 and "leaves as --to c" in done.err


def test_a_shifted_sensor_is_learned_on_the_device(spike_times):
    """After export the sensor moves by two pixels: three passes over 1,197 recordings, in C as in NumPy."""
    run = open_run(spike_times)
    program, data = spike_time_program(run), run.dataset()
    if program.kind != "std_ed":
        with pytest.raises(LatticeError, match="only a STD-ED program"):
            Learner(program, margin=0)
        return

    def moved(part):
        return np.roll(part.frames.swapaxes(0, 1), (2, 1), (3, 4))

    device = CompiledLearner(Learner(program, margin=MARGIN, shift=SHIFT))
    straight = np.ascontiguousarray(data.test.frames.swapaxes(0, 1))

    def accuracy(frames):
        return (device.run(frames) == data.test.labels).mean()

    before, broken = accuracy(straight), accuracy(moved(data.test))
    said = device.learn(moved(data.train), data.train.labels)
    for _ in range(2):
        device.learn(moved(data.train), data.train.labels)
    learned = accuracy(moved(data.test))
    assert broken < before - 0.3 and learned > broken + 0.2
    reference = Learner(program, margin=MARGIN, shift=SHIFT)
    assert np.array_equal(reference.learn(moved(data.train)[:, :200], data.train.labels[:200]), said[:200])
