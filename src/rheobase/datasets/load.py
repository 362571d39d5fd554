"""Data sets by name."""

from collections.abc import Callable
from functools import partial

from rheobase.datasets import (
    bci_iv_2a,
    bonn_eeg,
    cifar,
    digits_dvs,
    folder,
    image_dvs_sim,
    image_folder,
    mnist,
    motion_dvs_sim,
    motor_imagery,
    moving_digits_dvs,
    nmnist,
    physionet_mi,
    qtdb,
    speech_commands,
    speech_commands_35,
    spike_trains,
    spoken_digits,
)
from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import DataSet
from rheobase.datasets.event_sets import EVENT_SETS
from rheobase.datasets.pool import Pool
from rheobase.datasets.sequences import Recorded, SignalPool
from rheobase.datasets.split import Split, split_digest
from rheobase.errors import DataError, RecipeError, unknown

RECORDED: dict[str, Callable[[DataConfig], tuple[SignalPool, Split]]] = {
    "bonn-eeg": bonn_eeg.load,
    "free-spoken-digits": spoken_digits.load,
    "speech-commands-12": speech_commands.load,
    "speech-commands-35": speech_commands_35.load,
}
DATASETS: dict[str, Callable[[DataConfig], tuple[Pool, Split]]] = {
    **RECORDED,
    "bci-iv-2a": partial(motor_imagery.load, bci_iv_2a.STUDY),
    "cifar10": cifar.load_10,
    "cifar10-dvs-sim": image_dvs_sim.load,
    "cifar100": cifar.load_100,
    "digits-dvs": digits_dvs.load,
    "fashion-dvs-sim": image_dvs_sim.load,
    "fashion-mnist": mnist.load,
    "folder": folder.load,
    "image-folder": image_folder.load_folder,
    "imagenet": image_folder.load_imagenet,
    "mnist": mnist.load,
    "motion-dvs-sim": motion_dvs_sim.load,
    "moving-digits-dvs": moving_digits_dvs.load,
    "nmnist": nmnist.load,
    "shd": spike_trains.load,
    "ssc": spike_trains.load,
    **{name: published.load for name, published in EVENT_SETS.items()},
    "physionet-mi": partial(motor_imagery.load, physionet_mi.STUDY),
    "qtdb": qtdb.load,
    "tiny-imagenet": image_folder.load_tiny,
}


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted(DATASETS)


def load_dataset(config: DataConfig) -> DataSet:
    """Frames, labels and recordings of a named data set, in three parts that share no sample.

    Raises:
        RecipeError: no such data set or split (the message names the nearest), or an option the data set has not.
        DataError: the data is absent, damaged, or not what the split was drawn from.
    """
    if config.name not in DATASETS:
        raise RecipeError(unknown("data set", config.name, DATASETS))
    pool, split = DATASETS[config.name](config)
    return assemble(config, pool, split)


def load_recorded(config: DataConfig) -> Recorded:
    """How `load_dataset` makes frames of a data set's recordings, scaled and tuned as its training part asks, and its test part.

    Raises:
        RecipeError, DataError: as `load_dataset`, or the data set holds no recorded signals.
    """
    if config.name not in RECORDED:
        raise RecipeError(f"{config.name} holds no recorded signals; {', '.join(RECORDED)} do")
    pool, split = RECORDED[config.name](config)
    assert pool.origin is not None, "data sets of RECORDED have one"
    names = tuple(pool.names[i] for i in split.test)
    return Recorded(pool.coding(config, split.train[: config.train_size]), names, pool.origin.read)


def assemble(config: DataConfig, pool: Pool, split: Split) -> DataSet:
    """Make frames of the pool and deal them out.

    Raises:
        DataError: `train_size` asks for more samples than there are, or one cannot be made frames of.
    """
    size = len(split.train) if config.train_size is None else config.train_size
    if size > len(split.train):
        raise DataError(f"train_size is {size}; {config.name} ({config.split}) has {len(split.train)}")
    split = Split(split.train[:size], split.validation, split.test)
    train, validation, test = pool.parts(config, [split.train, split.validation, split.test])
    return DataSet(
        pool.title or config.name,
        pool.classes,
        pool.sensor if config.size is None else (config.size, config.size),
        config.T,
        train,
        validation,
        test,
        split_hash=split_digest(split, pool.names, pool.content),
        input_unit=pool.input_unit,
    )
