"""Data sets by name."""

from collections.abc import Callable

from rheobase.datasets import digits_dvs, folder, motion_dvs_sim, nmnist
from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import DataSet, assemble
from rheobase.datasets.pool import Pool
from rheobase.datasets.split import Split
from rheobase.errors import RecipeError, unknown

DATASETS: dict[str, Callable[[DataConfig], tuple[Pool, Split]]] = {
    "digits-dvs": digits_dvs.load,
    "folder": folder.load,
    "motion-dvs-sim": motion_dvs_sim.load,
    "nmnist": nmnist.load,
}


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted(DATASETS)


def load_dataset(config: DataConfig) -> DataSet:
    """Frames, labels and recordings of a named data set, in three parts that share no recording.

    Raises:
        RecipeError: no such data set or split; the message names the nearest.
        DataError: the data is absent, damaged, or not what the split was drawn from.
    """
    if config.name not in DATASETS:
        raise RecipeError(unknown("data set", config.name, DATASETS))
    pool, split = DATASETS[config.name](config)
    return assemble(config, pool, split)
