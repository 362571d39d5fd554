from importlib.metadata import version

import pytest

COMMANDS = [
    "demo",
    "train",
    "sweep",
    "eval",
    "compress",
    "export",
    "live",
    "cost",
    "encode",
    "report",
    "data",
    "models",
    "doctor",
]
NESTED = [f"data {name}" for name in ("list", "show", "info", "fetch")]


@pytest.mark.parametrize("words", ["", *COMMANDS, *NESTED])
def test_help_shows_an_example(rheobase, words):
    done = rheobase(*words.split(), "--help")
    assert done.code == 0, done.err
    assert f"Example: rheobase {words}".rstrip() in done.out


def test_help_names_every_command(rheobase):
    out = rheobase("--help").out
    assert all(f" {name} " in out for name in COMMANDS)


def test_version(rheobase):
    assert rheobase("--version").out.strip() == version("rheobase")


@pytest.mark.parametrize(
    "words", ["trian x.yaml", "train", "export runs/x --to fpga", "eval runs/x --robust"]
)
def test_wrong_usage_is_told_on_stderr(rheobase, words):
    done = rheobase(*words.split())
    assert done.code == 2
    assert done.out == ""
    assert "Usage: rheobase" in done.err
    assert "Traceback" not in done.err
