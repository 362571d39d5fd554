"""Exchange formats are optional: nothing of theirs is imported before it is used, and what is missing is named."""

import subprocess
import sys

import pytest
from exchange_cases import chain, frames

from rheobase.exchange import ExchangeError, to_nir, to_onnx
from rheobase.exchange.agreement import run_nir


def test_importing_exchange_imports_no_format_and_no_torch():
    code = "import rheobase.exchange, sys; assert not {'nir', 'onnx', 'onnxruntime', 'h5py', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("write", "package"), [(to_nir, "nir"), (to_onnx, "onnx")])
def test_a_missing_package_is_named(monkeypatch, write, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExchangeError, match=rf"pip install 'rheobase\[{package}\]'"):
        write(chain())


def test_a_missing_framework_is_named(monkeypatch):
    pytest.importorskip("nir")
    monkeypatch.setitem(sys.modules, "norse.torch", None)
    with pytest.raises(ExchangeError, match="norse is not installed"):
        run_nir(to_nir(chain(), dialect="norse"), "norse", frames()[:, 0])
