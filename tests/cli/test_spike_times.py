"""`rheobase train` and `export` of spike-time networks: a tiny digits run leaves as C that runs on a microcontroller."""

import json
import shutil
import subprocess

import pytest

from rheobase import native
from rheobase.targets import TARGETS, missing

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
M4 = TARGETS["cortex-m4"]
RECIPE = """\
data: {name: digits-dvs, T: 8, binning: time}
model: {name: spike_time, options: {layers: "24", rule: {name: RULE}, encoder: first_event}}
optimiser: {name: adam, lr: 1.0e-2, schedule: cosine}
train: {epochs: 4, batch_size: 32, threads: 1}
"""


@pytest.fixture(scope="module", params=["rel_psp", "std_ed"])
def spike_times(request, rheobase, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.replace("RULE", request.param))
    done = rheobase("train", recipe, "--out", folder / "run")
    assert done.code == 0, done.err
    return folder / "run"


def test_export_ships_what_was_trained(rheobase, spike_times):
    target = [] if missing(M4) else ["--target", "cortex-m4", "--report", "--samples", "2"]
    done = rheobase("export", spike_times, "--to", "c", *target, "--json", "-")
    assert done.code == 0, done.err
    facts = done.json
    assert facts["equal"] == facts["samples"] == 400
    assert facts["accuracy_float"] > 0.7 and abs(facts["accuracy"] - facts["accuracy_float"]) <= 0.03
    assert 0 < facts["work_per_sample"]["additions"] < facts["synapses"]
    assert facts["spikes_per_sample"] < 512 + 24 + 10
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


def test_compress_says_that_there_is_no_need(rheobase, spike_times, tmp_path):
    run = shutil.copytree(spike_times, tmp_path / "run")
    done = rheobase("compress", run)
    assert done.code == 1 and done.err.startswith("rheobase: ")
