"""A cache of its own for every test, and the real N-MNIST where it is at hand."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RHEOBASE_CACHE", str(folder))
    return folder


@pytest.fixture
def real_nmnist():
    """The data root, if it holds real recordings."""
    root = os.environ.get("RHEOBASE_DATA")
    if not root or not (Path(root) / "nmnist_small.zip").is_file():
        pytest.skip("real N-MNIST: RHEOBASE_DATA does not name a folder with nmnist_small.zip")
    return Path(root)
