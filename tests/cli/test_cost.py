"""`rheobase cost` on a compressed run."""

import json

import pytest


@pytest.fixture(scope="module")
def priced(rheobase, shipped, tmp_path_factory):
    folder, _ = shipped
    path = tmp_path_factory.mktemp("cost") / "cost.json"
    done = rheobase("cost", folder, "--json", path)
    assert done.code == 0, done.err
    return folder, done.out, json.loads(path.read_text())


def test_cost_counts_what_export_counted(priced):
    folder, _, found = priced
    facts = json.loads((folder / "program.json").read_text())
    counted = {row["layer"]: row["synaptic_operations"] for row in found["layers"]}
    for layer in facts["layers"]:
        (same,) = [ops for name, ops in counted.items() if f"'{layer['name']}'" in name]
        assert same == pytest.approx(layer["synops_per_sample"])
    assert found["samples"] == facts["samples"]


def test_cost_compares_after_1_2_and_4_steps(priced):
    _, out, found = priced
    assert [each["steps"] for each in found["comparisons"]] == [1, 2, 4]
    assert [twin["bits"] for twin in found["comparisons"][0]["twins"]] == [8, 4]
    totals = [each["energy"]["compute"] for each in found["comparisons"]]
    assert 0 < totals[0] < totals[1] < totals[2]
    energy = sum(layer["energy"]["memory"] for layer in found["layers"])
    assert energy == pytest.approx(found["comparisons"][-1]["energy"]["memory"])
    assert "without memory" in out and "with memory" in out and "T = 4" in out


def test_cost_takes_model_memory_weights_and_steps(rheobase, shipped):
    folder, _ = shipped
    found = rheobase("cost", folder, "--model", "convention", "--steps", "2", "--json", "-").json
    assert [each["steps"] for each in found["comparisons"]] == [2]
    assert found["comparisons"][0]["energy"]["memory"] == 0
    row = found["layers"][0]
    expected = 0.9 * row["accumulates"] + 4.6 * row["multiply_accumulates"]
    assert row["energy"]["compute"] == pytest.approx(expected)
    options = ("--memory", "8kB", "--weights", "once", "--json", "-")
    found = rheobase("cost", folder, *options).json
    row = found["layers"][0]
    assert row["energy"]["memory"] == pytest.approx((row["bytes_weights"] + row["bytes_spikes_read"]) * 1.25)


def test_a_stream_is_compared_at_every_step(rheobase, shipped, priced):
    folder, _ = shipped
    once = priced[2]["comparisons"][-1]["twins"][0]
    done = rheobase("cost", folder, "--stream", "--json", "-")
    (only,) = done.json["comparisons"]
    assert done.json["stream"] and not priced[2]["stream"] and only["steps"] == 4
    assert only["twins"][0]["energy"]["compute"] == pytest.approx(4 * once["energy"]["compute"])
    assert "dense at every step" in done.err + done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "horowitz"], "unknown energy model 'horowitz'; did you mean 'horowitz45'?"),
        (["--memory", "1GB"], "unknown memory of horowitz45 '1GB'; did you mean '1MB'?"),
        (["--model", "convention", "--memory", "8kB"], "does not charge memory"),
        (["--steps", "1,5"], "must be whole numbers in 1..4"),
        (["--steps", "0"], "must be whole numbers in 1..4"),
        (["--steps", "two"], "must be whole numbers in 1..4"),
    ],
)
def test_what_cannot_be_used_is_told(rheobase, shipped, options, said):
    done = rheobase("cost", shipped[0], *options)
    assert done.code == 1 and said in done.err and len(done.err.splitlines()) == 1


def test_a_run_that_was_not_compressed(rheobase, trained):
    done = rheobase("cost", trained[0])
    assert done.code == 1
    assert f"has not been compressed: run `rheobase compress {trained[0]}` first" in done.err
