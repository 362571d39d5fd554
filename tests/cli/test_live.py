"""`rheobase live`: decisions by hand, from a file and from a pipe."""

import io
import json

import numpy as np
import pytest

from rheobase.events import Recording, write_recording
from rheobase.program import Flatten, Linear, Program, Readout, Weight, save


@pytest.fixture
def counter(tmp_path):
    """A program whose two logits are the numbers of OFF and of ON events."""
    codes = np.zeros((2, 32), np.uint8)
    codes[0, :16] = codes[1, 16:] = 1
    ops = [Flatten(), Linear(Weight(codes, 1, 1, 0)), Readout(np.zeros(2, np.int32))]
    save(Program("counter", (2, 4, 4), 3, ops), tmp_path / "counter.safetensors")
    return tmp_path / "counter.safetensors"


@pytest.fixture
def recording():
    """Windows of 10 ms: mostly ON, silence, mostly OFF, and one ON event."""
    rng = np.random.default_rng(0)
    t = np.concatenate(
        [[7], np.sort(rng.integers(8, 9_000, 40)), np.sort(rng.integers(20_007, 30_007, 30)), [30_100]]
    )
    p = np.concatenate([np.arange(41) % 4 > 0, np.arange(30) % 4 == 0, [True]])
    return Recording(rng.integers(8, size=72), rng.integers(8, size=72), t, p.astype(int), 8, 8)


@pytest.mark.parametrize("mode", [[], ["--reference"]])
def test_decisions_by_hand(rheobase, counter, recording, tmp_path, mode):
    write_recording(recording, tmp_path / "r.npz")
    done = rheobase("live", tmp_path / "r.npz", "--program", counter, "--window", 10, "--json", "-", *mode)
    assert done.code == 0, done.err
    found = done.json
    assert [(round(d["start"], 6), d["label"], d["events"]) for d in found] == [
        (0.0, "1", 41),
        (0.02, "0", 30),
        (0.03, "1", 1),
    ]
    assert [round(d["stop"] - d["start"], 6) for d in found] == [0.01] * 3
    assert all(0.5 < d["share"] <= 1 and d["latency"] > 0 for d in found)


def test_a_pipe_and_lines_of_json(rheobase, counter, recording, tmp_path, monkeypatch):
    write_recording(recording, tmp_path / "r.csv")

    class Standard:
        buffer = io.BytesIO((tmp_path / "r.csv").read_bytes())

    monkeypatch.setattr("sys.stdin", Standard)
    size = ("--width", 8, "--height", 8)
    done = rheobase("live", "-", "--program", counter, "--window", 10, "--hop", 5, "--lines", *size)
    assert done.code == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    starts = [round(d["start"], 6) for d in found]
    assert starts == sorted(starts) and {0.0, 0.02, 0.03} <= set(starts)
    assert all(round(start / 0.005, 6).is_integer() for start in starts)


def test_what_does_not_fit_is_refused(rheobase, counter, tmp_path):
    small = Recording([0], [0], [0], [1], 3, 3)
    write_recording(small, tmp_path / "small.npz")
    done = rheobase("live", tmp_path / "small.npz", "--program", counter)
    assert done.code == 1 and "3 x 3 pixels, and the program takes 4 x 4" in done.err
    done = rheobase("live", tmp_path / "small.npz", "--program", tmp_path)
    assert done.code == 1 and "no run folder" in done.err


def test_a_run_names_its_classes(rheobase, shipped, tmp_path):
    folder, _ = shipped
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(300_000, size=500))
    digit = Recording(
        rng.integers(16, size=500), rng.integers(16, size=500), t, rng.integers(2, size=500), 16, 16
    )
    write_recording(digit, tmp_path / "digit.npz")
    done = rheobase("live", tmp_path / "digit.npz", "-p", folder, "--window", 300, "--json", "-")
    assert done.code == 0, done.err
    assert [d["label"] in "0123456789" for d in done.json] == [True]
