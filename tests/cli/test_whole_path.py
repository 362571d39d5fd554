"""train, eval, compress, export, report on a tiny recipe: what each says, writes and promises."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

from rheobase import native, open_run
from rheobase.cli import demo

COMPRESS_KEYS = {"run", "bits", "bytes_weights_packed", "bytes_weights_float", "code_usage", "channels"}
TINY = ["data.train_size=120", "model.width=0.5", "train.epochs=1", "train.batch_size=8", "compress.epochs=1"]
PROGRAM_KEYS = {
    "accuracy",
    "accuracy_at",
    "samples",
    "equal",
    "digest",
    "bytes_weights",
    "bytes_state",
    "bytes_code",
    "float_bytes",
    "spikes_per_sample",
    "synops_per_sample",
    "dense_macs_per_sample",
    "exit_curve",
    "early_exit",
}
LAYER_KEYS = {
    "name",
    "kind",
    "weight_bits",
    "weight_bytes",
    "state_bytes",
    "synops_per_sample",
    "dense_macs_per_sample",
}


def test_train_says_and_keeps(trained):
    folder, done = trained
    found = done.json  # standard output holds nothing but JSON
    assert {
        "run",
        "epochs",
        "final",
        "test_accuracy",
        "seconds",
        "seeds",
        "environment",
        "test",
    } <= found.keys()
    assert found["run"] == str(folder)
    assert found["samples"] == {"train": 120, "validation": 200, "test": 400}
    assert found["test"]["accuracy"] == found["test_accuracy"] == found["test"]["accuracy_at"][-1]
    assert f"test accuracy {100 * found['test_accuracy']:.1f}% on 400 test samples" in done.err
    assert "epoch 2/2" in done.err
    assert {"recipe.yaml", "metrics.csv", "checkpoint.json", "result.json"} <= {
        p.name for p in folder.iterdir()
    }


def test_eval_finds_what_training_found(trained, shipped):
    found = shipped[1]["eval"].json
    before = trained[1].json["test"]
    assert {**found, "robustness": {}} == before
    assert set(found["robustness"]) == {"noise", "drop"}
    assert all(curve[0] == [0.0, found["accuracy"]] for curve in found["robustness"].values())


def test_compress_tells_all_states(trained, shipped):
    found = shipped[1]["compress"].json
    assert set(found) == COMPRESS_KEYS | {"float", "quantised", "hardened"}
    assert found["bits"] == 4
    assert found["float"] == trained[1].json["test_accuracy"]
    kept = json.loads((shipped[0] / "compressed" / "compressed.json").read_text())
    assert found["hardened"] == kept["states"]["hardened"]["accuracy"]
    assert found["quantised"] == kept["states"]["quantised"]["accuracy"]
    assert all(rate > 0 for rate in kept["states"]["hardened"]["rates"].values()), (
        "a dead network proves nothing"
    )


def test_compress_keeps_the_evaluation(shipped):
    assert set(open_run(shipped[0]).evaluation.robustness) == {"noise", "drop"}


def test_export_proves_the_program(shipped):
    folder, said = shipped
    found = json.loads((folder / "export.json").read_text())
    assert set(found) == PROGRAM_KEYS | {"run", "folder", "layers", "encoder"}
    assert found["encoder"] is None  # frames go in as they are
    assert found["equal"] == found["samples"] == 400
    assert found["accuracy"] == said["compress"].json["hardened"]
    assert len(found["layers"]) == 5
    assert all(set(layer) == LAYER_KEYS for layer in found["layers"])
    assert [layer["weight_bits"] for layer in found["layers"]] == [8, 4, 4, 4, 8]
    for key in ("synops_per_sample", "dense_macs_per_sample"):
        assert all(layer[key] > 0 for layer in found["layers"])
        assert sum(layer[key] for layer in found["layers"]) == pytest.approx(found[key])
    assert (
        sum(layer["weight_bytes"] for layer in found["layers"])
        == said["compress"].json["bytes_weights_packed"]
    )
    assert found["bytes_weights"] < found["float_bytes"] / 4
    assert "C equals the model on 400 of 400 recordings" in said["export"].out
    assert "cc -std=c99 -O2 model.c self_test.c -o self_test && ./self_test\n" in said["export"].out


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
def test_exported_c_compiles_and_passes(shipped, tmp_path):
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    cc = [native.compiler(), *strict, "model.c", "self_test.c", "-o", tmp_path / "self_test"]
    done = subprocess.run(cc, cwd=shipped[0] / "c", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([tmp_path / "self_test"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "PASS" in done.stdout


def test_report_is_one_page(rheobase, shipped, tmp_path):
    page = tmp_path / "pages" / "page.html"
    done = rheobase("report", shipped[0], "--out", page, "--json", tmp_path / "report.json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "report.json").read_text()) == {"report": str(page)}
    assert f"report: {page}\n" in done.out
    html = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)|@import|url\((?!["']?(data:|#))""", html)
    export = json.loads((shipped[0] / "export.json").read_text())
    for accuracy in (open_run(shipped[0]).evaluation.accuracy, export["accuracy"]):
        assert f"{100 * accuracy:.1f}" in html
    assert export["digest"][:16] in html


def test_report_beside_a_baseline(rheobase, run, trained):
    done = rheobase("report", run, "--baseline", trained[0])
    assert done.code == 0, done.err
    assert "baseline 1" in (run / "report.html").read_text()


def test_report_does_not_show_an_outdated_program(rheobase, shipped, tmp_path):
    folder = shutil.copytree(shipped[0], tmp_path / "run")
    path = folder / "compressed" / "compressed.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["program_digest"], "0" * 64))
    assert rheobase("report", folder).code == 0
    assert (
        json.loads((folder / "program.json").read_text())["digest"][:16]
        not in (folder / "report.html").read_text()
    )


def test_compress_again_with_other_bits(rheobase, shipped, tmp_path):
    folder = shutil.copytree(shipped[0], tmp_path / "run")
    assert (
        rheobase("compress", folder, "--bits", "2", "--epochs", "0", "--quiet", "--json", "-").json["bits"]
        == 2
    )
    done = rheobase("export", folder, "--out", tmp_path / "c", "--json", "-")
    assert done.code == 0, done.err
    assert [layer["weight_bits"] for layer in done.json["layers"]] == [8, 2, 2, 2, 8]
    assert (tmp_path / "c" / "model.c").is_file()


@pytest.mark.parametrize("order", ["quantise_then_prune", "prune_then_quantise"])
def test_compress_prunes_and_the_program_is_smaller(rheobase, shipped, tmp_path, order):
    folder = shutil.copytree(shipped[0], tmp_path / "run")
    done = rheobase(
        *("compress", folder, f"order={order}", "round_epochs=1", "calibration=40"),
        *("--bits", "2", "--prune", "0.5", "--score", "svs", "--epochs", "1", "--quiet", "--json", "-"),
    )
    assert done.code == 0, done.err
    states = ["quantised", "pruned"] if order == "quantise_then_prune" else ["pruned", "quantised"]
    kept = json.loads((folder / "compressed" / "compressed.json").read_text())
    assert list(kept["states"]) == [*states, "rounded", "hardened"]
    assert [share for _, share in done.json["channels"].items()] == [[4, 8], [8, 16], [16, 32], [16, 32]]
    before = json.loads((shipped[0] / "compressed" / "compressed.json").read_text())["states"]["hardened"]
    assert kept["states"]["hardened"]["weight_bytes"] < 0.5 * before["weight_bytes"]
    exported = rheobase("export", folder, "--out", tmp_path / "c", "--json", "-")
    assert exported.code == 0, exported.err
    assert exported.json["equal"] == exported.json["samples"] == 400
    assert exported.json["accuracy"] == done.json["hardened"]
    assert rheobase("report", folder).code == 0
    assert "50 % of the channels removed by svs" in (folder / "report.html").read_text()


# Runs `rheobase` with the arguments given, and dies after the first epoch as a power cut would have it.
VICTIM = """
import os, signal
from rheobase.training.keeper import Keeper

keep = Keeper.epoch_ended

def keep_and_die(self, state):
    keep(self, state)
    os.kill(os.getpid(), signal.SIGKILL)

Keeper.epoch_ended = keep_and_die
from rheobase.cli.main import run
run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
def test_killed_and_resumed_equals_uninterrupted(rheobase, trained, recipe, tmp_path):
    folder = tmp_path / "run"
    line = [sys.executable, "-c", VICTIM, "train", recipe, "--out", folder]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert open_run(folder).epoch == 1
    resumed = rheobase("train", recipe, "--out", folder, "--resume", "--json", "-")
    assert resumed.code == 0, resumed.err
    assert resumed.json["test"] == trained[1].json["test"]
    numbers = [[{**row, "seconds": 0} for row in open_run(f).metrics] for f in (folder, trained[0])]
    assert numbers[0] == numbers[1]


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, demo.run_demo("digits-dvs", folder, seeds=2, overrides=TINY)


def test_demo_keys(demonstrated):
    folder, found = demonstrated
    assert found["data"] == "digits-dvs"
    for state in ("baseline", "float", "quantised", "hardened", "program"):
        assert 0 <= found[state]["accuracy"] <= 1
    assert found["program"].keys() == PROGRAM_KEYS
    assert found["program"]["equal"] == found["program"]["samples"] == 400
    assert found["program"]["accuracy"] == found["hardened"]["accuracy"]
    assert found["program"]["accuracy_at"] == found["hardened"]["accuracy_at"]
    assert found["float"]["bytes"] == found["program"]["float_bytes"]
    assert len(found["baseline"]["accuracy_at"]) == len(found["float"]["accuracy_at"]) == 4
    assert [pair["seed"] for pair in found["pairs"]] == [0, 1]
    assert found["pairs"][0]["baseline"] == found["baseline"]["accuracy_at"]
    assert found["pairs"][0]["stable_spike"] == found["float"]["accuracy_at"]
    html = (folder / "stable_spike-seed0" / "report.html").read_text()
    assert found["report"] == str(folder / "stable_spike-seed0" / "report.html")
    assert "rheobase demo --data digits-dvs --seeds 2 data.train_size=120" in html
    assert "means over 2 seeds" in html
    assert "Stable Spike" in html
    assert json.loads(json.dumps(found)) == found


def test_demo_runs_differ_in_the_objective_alone(demonstrated):
    one, two = (open_run(demonstrated[0] / arm).recipe for arm in ("baseline-seed0", "stable_spike-seed0"))
    assert (one.objective.name, two.objective.name) == ("cross_entropy", "stable_spike")
    assert one.model_copy(update={"objective": two.objective}) == two


def test_demo_command(rheobase, demonstrated, tmp_path, monkeypatch):
    asked = {}

    def run_demo(data, folder, **options):
        asked.update(data=data, folder=folder, **options)
        return dict(demonstrated[1])

    monkeypatch.setattr(demo, "run_demo", run_demo)
    line = ["demo", "--data", "digits-dvs", "--out", tmp_path, "--keep", "train.epochs=1"]
    done = rheobase(*line, "--json", tmp_path / "demo.json")
    assert done.code == 0, done.err
    assert asked == {
        "data": "digits-dvs",
        "folder": tmp_path,
        "fresh": False,
        "seeds": 3,
        "overrides": ["train.epochs=1"],
    }
    found = json.loads((tmp_path / "demo.json").read_text())
    assert found.pop("seconds") >= 0
    assert found == demonstrated[1]
    assert "400/400" in done.out


def test_sweep_command(rheobase, tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        f"recipe: {demo.files('rheobase.cli').joinpath('recipes', 'demo_digits.yaml')}\n"
        "arms: {baseline: [], tet: [objective.name=tet]}\nseeds: [0, 1]\n"
    )
    line = ["sweep", tmp_path / "sweep.yaml", *TINY, "--out", tmp_path / "out", "--jobs", "1"]
    done = rheobase(*line, "--json", "-")
    assert done.code == 0, done.err
    assert [row["cell"] for row in done.json["rows"]] == [
        "baseline-seed0",
        "tet-seed0",
        "baseline-seed1",
        "tet-seed1",
    ]
    table = (tmp_path / "out" / "sweep.csv").read_text()
    assert table.count("\n") == 5
    again = rheobase(*line)
    assert again.code == 0, again.err
    assert "±" in again.out
    assert (tmp_path / "out" / "sweep.csv").read_text() == table, "nothing was trained again"
    bad = rheobase(*line, "model.width=0.25")
    assert bad.code == 1
    assert "model.width was 0.5 and is 0.25" in bad.err


def test_report_averages_seeds(rheobase, demonstrated):
    folder = demonstrated[0]
    runs = [folder / f"stable_spike-seed{k}" for k in (0, 1)]
    base = [folder / f"baseline-seed{k}" for k in (0, 1)]
    done = rheobase(
        "report", *runs, "--baseline", base[0], "--baseline", base[1], "--out", folder / "two.html"
    )
    assert done.code == 0, done.err
    assert "means over 2 seeds" in (folder / "two.html").read_text()
    one = rheobase("report", *runs, "--baseline", base[0])
    assert one.code == 1
    assert "2 runs need as many --baseline" in one.err
    twice = rheobase("report", runs[0], runs[0])
    assert twice.code == 1
    assert "in its training seed alone" in twice.err
