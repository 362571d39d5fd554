"""`rheobase export --target --report` and the packages, on the run that the other tests share."""

import shutil
from pathlib import Path

import pytest

from rheobase import native
from rheobase.targets import TARGETS, missing

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
M4 = TARGETS["cortex-m4"]


@pytest.mark.skipif(bool(missing(M4)), reason=str(missing(M4)))
def test_report_on_a_target(rheobase, shipped, tmp_path):
    folder = Path(shutil.copytree(shipped[0], tmp_path / "run"))
    done = rheobase("export", folder, "--target", "cortex-m4", "--report", "--samples", "2", "--json", "-")
    assert done.code == 0, done.err
    found = done.json["target"]
    assert found["target"] == "cortex-m4" and (found["samples"], found["steps"]) == (2, 4)
    assert found["bytes_flash"] == found["bytes_weights"] + found["bytes_code"] < 64 << 10
    assert 0 < found["instructions_per_dense_mac"] < 2
    assert "equal to the model's on 2 of 2 recordings" in done.err
    assert "instructions per inference" in done.err
    assert "conv2d_lanes" in (folder / "c" / "kernels.h").read_text()


def test_package_beside_the_plain_sources(rheobase, shipped, tmp_path):
    folder = Path(shutil.copytree(shipped[0], tmp_path / "run"))
    done = rheobase("export", folder, "--to", "arduino", "--json", "-")
    assert done.code == 0, done.err
    assert done.json["folder"] == str(folder / "arduino")
    assert (folder / "arduino" / "library.properties").is_file()
    assert (folder / "arduino" / "src" / "model.c").read_text() == (folder / "c" / "model.c").read_text()


def test_report_needs_a_target_that_exists(rheobase, shipped):
    done = rheobase("export", shipped[0], "--report")
    assert done.code == 1 and "--report needs a --target" in done.err
    done = rheobase("export", shipped[0], "--target", "cortex-m44")
    assert done.code == 1 and "did you mean 'cortex-m4'" in done.err
