"""A folder of tiny recordings, small enough that a training run takes a second."""

import numpy as np
import pytest

from rheobase.training import ArrayFrames, parse_recipe


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHEOBASE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def events(tmp_path_factory):
    """Class `low` has its events in the lower half of an 8 x 8 sensor, `high` in the upper."""
    folder = tmp_path_factory.mktemp("events")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("high", "low")):
        (folder / name).mkdir()
        for i in range(30):
            np.savez(
                folder / name / f"{i:02}.npz",
                x=rng.integers(8, size=200),
                y=rng.integers(4, size=200) + 4 * label,
                t=np.sort(rng.integers(1000, size=200)),
                p=rng.integers(2, size=200),
                width=8,
                height=8,
            )
    return folder


@pytest.fixture
def values(events):
    """A recipe as nested dictionaries."""
    return {
        "data": {"name": "folder", "folder": str(events), "T": 3},
        "model": {"name": "vgg_small", "width": 0.25},
        "objective": {"name": "stable_spike"},
        "optimiser": {"lr": 0.05},
        "train": {"epochs": 4, "batch_size": 16, "threads": 1},
        "augment": {"shift": 1},
    }


@pytest.fixture
def recipe(values):
    return parse_recipe(values)


@pytest.fixture
def frames():
    """40 random samples of 2 classes that differ in their counts, `[N, 3, 2, 8, 8]`."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    counts = rng.integers(3, size=(40, 3, 2, 8, 8))
    counts[labels == 1, :, :, :4] = 0
    return ArrayFrames(counts.astype(np.uint8), labels)
