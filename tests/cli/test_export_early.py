"""`rheobase export --early-exit`: calibrated on validation data, told, written and drawn."""

import shutil
from pathlib import Path

import pytest

from rheobase import native

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")


def test_a_margin_is_calibrated_written_and_drawn(rheobase, shipped, tmp_path):
    folder = Path(shutil.copytree(shipped[0], tmp_path / "run"))
    header = folder / "c" / "model.h"
    assert "EXIT_MARGIN 4294967295u" in header.read_text()
    done = rheobase("export", folder, "--early-exit", "100", "--json", "-")
    assert done.code == 0, done.err
    found = done.json["early_exit"]
    assert (found["lost"], found["margin"], found["mean_steps"]) == (1.0, 0, 1.0)
    assert found["accuracy"] == done.json["accuracy_at"][0]
    assert "EXIT_MARGIN 0u" in header.read_text()
    assert "early exit at margin 0: test accuracy" in done.err and "1.00 of 4 steps" in done.err
    steps = [point["mean_steps"] for point in done.json["exit_curve"]]
    assert steps[0] == 1 and steps[-1] == 4 and steps == sorted(steps)
    careful = rheobase("export", folder, "--early-exit", "0", "--json", "-").json["early_exit"]
    assert careful["margin"] > 0 and careful["mean_steps"] > 1
    assert rheobase("report", folder).code == 0
    assert "Accuracy with early exit" in (folder / "report.html").read_text()
    refused = rheobase("export", folder, "--early-exit", "101")
    assert refused.code == 1 and "fraction" in refused.err
