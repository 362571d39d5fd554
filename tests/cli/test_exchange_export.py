"""`rheobase export --to nir|onnx`, on the run that the other tests share."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from rheobase import native
from rheobase.training import open_run
from rheobase.training.export import load_program


@pytest.fixture
def compressed(shipped, tmp_path):
    return Path(shutil.copytree(shipped[0], tmp_path / "run"))


@pytest.mark.skipif(find_spec("nir") is None, reason="nir is not installed")
def test_nir_reads_back_to_the_same_program(rheobase, compressed):
    from rheobase.exchange import import_nir

    done = rheobase("export", compressed, "--to", "nir", "--json", "-")
    assert done.code == 0, done.err
    assert "other readers lose: " in done.err, "soft reset and floored leak are in the metadata alone"
    again = import_nir(Path(done.json["file"]))
    assert again.digest() == load_program(open_run(compressed)).digest()


@pytest.mark.skipif(find_spec("nir") is None or find_spec("norse") is None, reason="norse is not installed")
def test_a_framework_that_cannot_say_it_all_is_refused_until_asked(rheobase, compressed):
    refused = rheobase("export", compressed, "--to", "nir", "--dialect", "norse")
    assert refused.code == 1 and "reset" in refused.err
    done = rheobase("export", compressed, "--to", "nir", "--dialect", "norse", "--allow-loss", "--json", "-")
    assert done.code == 0, done.err
    assert done.json["losses"] and "lost:" in done.err
    assert all(0.5 < share <= 1 for share in done.json["agreement"].values())


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
@pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
def test_onnx_runtime_gives_the_same_logits(rheobase, compressed):
    pytest.importorskip("onnx")
    done = rheobase("export", compressed, "--to", "onnx", "--json", "-")
    assert done.code == 0, done.err
    assert done.json["equal"] == done.json["samples"] == 400
