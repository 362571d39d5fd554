"""Reading and running a program must not cost the import of torch."""

import subprocess
import sys

import pytest

import rheobase

LIGHT = [
    "rheobase",
    "rheobase.events",
    "rheobase.program",
    "rheobase.cost",
    "rheobase.engine",
    "rheobase.exchange",
    "rheobase.signals",
    "rheobase.report",
    "rheobase.cli.main",
]


def test_light_packages_leave_torch_alone():
    lines = ["import sys", "from importlib import import_module"]
    for name in LIGHT:
        lines += [f"import_module({name!r})", f"assert 'torch' not in sys.modules, {name!r}"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", rheobase.__all__)
def test_top_level_names_resolve(name):
    assert getattr(rheobase, name).__module__.startswith("rheobase.")
    assert name in dir(rheobase)


def test_unknown_top_level_name():
    with pytest.raises(AttributeError, match="no attribute 'quantize_'"):
        rheobase.quantize_  # noqa: B018
