"""`rheobase encode`, in this process."""

import contextlib
import io
import json
import re
import sys

import numpy as np
import pytest
import signal_cases as cases

from rheobase.cli import main
from rheobase.signals import load_encoded
from rheobase.signals.compare import COMPARED


@pytest.fixture
def encode(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    x = cases.bursts(3, 1200)[:, 0, 0]
    np.savez(tmp_path / "x.npz", x=np.stack([100 + 7 * x, x[::-1]], axis=1), rate=250.0)

    def run(*arguments):
        out, err, code = io.StringIO(), io.StringIO(), 0
        monkeypatch.setattr(sys, "argv", ["rheobase", "encode", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.run()
            except SystemExit as end:
                code = end.code or 0
        return code, out.getvalue(), err.getvalue()

    return run


def test_a_signal_becomes_spikes_that_decode_to_it(encode, tmp_path):
    code, out, err = encode("x.npz", "--to", "s.npz", "--json", "-")
    assert code == 0, err
    said = json.loads(out)
    assert said["spikes_per_sample"] == pytest.approx(0.3, rel=0.02)
    assert said["encoder"]["name"] == "tae" and said["sampling"] == 250
    found = load_encoded(tmp_path / "s.npz")
    x = np.load("x.npz")["x"]
    assert found.code.spikes.shape == (1200, 1, 2)
    assert np.abs(found.code.spikes).mean() == said["spikes_per_sample"]
    scaled, back = (found.scaling.apply(signal) for signal in (x[:, None], found.signal()))
    decibels = 10 * np.log10((scaled**2).sum() / ((scaled - back) ** 2).sum())
    assert said["snr_db"] == pytest.approx(decibels, abs=1e-6)


def test_options_targets_and_channels(encode, tmp_path):
    assert (
        encode("x.npz", "--to", "s.npz", "-o", "th0=0.07", "-o", "base_mode=send_on_delta", "--channel", "1")[
            0
        ]
        == 0
    )
    found = load_encoded("s.npz")
    assert (found.encoder.th0, found.encoder.base_mode, found.channels) == (0.07, "send_on_delta", ("1",))
    code, out, _ = encode("x.npz", "--to", "s.npz", "--encoder", "step_forward", "--snr", "12", "--json", "-")
    assert code == 0 and json.loads(out)["snr_db"] >= 12
    code, out, _ = encode("x.npz", "--to", "s.npz", "--encoder", "phase", "--raw", "-o", "high=120")
    assert code == 0 and "phase (high 120)" in out
    assert load_encoded("s.npz").scaling is None


def test_encoders_are_compared_on_a_page_that_needs_nothing_else(encode, tmp_path):
    code, out, err = encode("x.npz", "--compare", "--figure", "page.html", "--json", "r.json")
    assert code == 0, err
    said = json.loads((tmp_path / "r.json").read_text())
    assert [entry["name"] for entry in said["compared"]] == list(COMPARED)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == len(COMPARED)
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|<link|src=", page)
    for entry in said["compared"]:
        assert entry["name"] in out and f">{entry['name']}<" in page
        assert f"{entry['snr_db']:.1f}" in page
    assert len(page) < 1_500_000


def test_a_short_constant_signal_is_compared_too(encode, tmp_path):
    (tmp_path / "flat.csv").write_text("level\n" + "5\n" * 6)
    code, out, err = encode("flat.csv", "--compare")
    assert code == 0, err
    assert "cannot spike" in out
    assert (tmp_path / "encoders.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("x.npz", "nothing to do"),
        ("x.npz --to s.csv", "spikes are written as .npz"),
        ("x.npz --to s.npz --rate 0.2 --snr 3", "two targets"),
        ("x.npz --to s.npz --encoder teo", "did you mean 'tae'"),
        ("x.npz --to s.npz -o th0", "write name=value"),
        ("x.npz --to s.npz -o th0=-1", "greater than 0"),
        ("x.npz --to s.npz -o th0=[", "cannot be read"),
        ("x.npz --to s.npz --channel lead", "there are 0, 1"),
        ("x.npz --to s.npz --sampling 100", "resample"),
        ("x.npz --to s.npz --snr 300", "cannot reach 300 dB"),
        ("none.wav --to s.npz", "no such file"),
    ],
)
def test_bad_input_is_one_line(encode, tmp_path, words, message):
    code, out, err = encode(*words.split())
    assert code == 1 and out == ""
    assert message in err and err.startswith("rheobase: ") and err.count("\n") == 1
    assert not (tmp_path / "s.npz").exists()
