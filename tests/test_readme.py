"""The README's first program runs as it stands, and reaches what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rheobase import native

README = Path(__file__).parents[1] / "README.md"


def first_program() -> str | None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.S | re.M)
    return next((block for block in blocks if "import rheobase as rb" in block), None)


@pytest.fixture
def program():
    found = first_program()
    if found is None:
        pytest.skip("README.md has no python block with `import rheobase as rb` yet")
    return found


def test_it_is_short(program):
    assert len([line for line in program.splitlines() if line.strip()]) < 25


@pytest.mark.slow
@pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
def test_it_runs(program, tmp_path):
    environment = os.environ | {"RHEOBASE_CACHE": str(tmp_path / "cache")}
    folder = tmp_path / "work"
    folder.mkdir()
    line = [sys.executable, "-W", "error::UserWarning", "-c", program]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    assert "C program" in last
    assert 0.9 < float(last.split()[-1]) <= 1, done.stdout
    written = {path.suffix for path in folder.rglob("*")}
    assert {".c", ".h", ".safetensors"} <= written, written
