"""Train spiking networks that need few timesteps, few bits and few spikes; ship them as integer C programs.

The whole path is a few lines: `load_dataset`, `create_model`, `fit` with an objective, `quantise_`, `harden`, `lower`, `write_c`.
Each room has its own page of names: `rheobase.neurons`, `rheobase.objectives`, `rheobase.compression`, `rheobase.program`, ...

The names below are imported when first used, so that reading and running a program (`rheobase.program`) never loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rheobase.compression import QuantConfig, ReScaWConfig, harden, quantise_
    from rheobase.datasets import DataConfig, list_datasets, load_dataset
    from rheobase.models import create_model, list_models
    from rheobase.objectives import CrossEntropy, StableSpike, StableSpikeConfig
    from rheobase.program import CompiledProgram, Program, load, save, write_c
    from rheobase.program.lower import lower
    from rheobase.training import OptimiserConfig, TrainConfig, evaluate, fit, load_recipe, open_run, train

_HOMES = {
    "rheobase.compression": ("QuantConfig", "ReScaWConfig", "harden", "quantise_"),
    "rheobase.datasets": ("DataConfig", "list_datasets", "load_dataset"),
    "rheobase.models": ("create_model", "list_models"),
    "rheobase.objectives": ("CrossEntropy", "StableSpike", "StableSpikeConfig"),
    "rheobase.program": ("CompiledProgram", "Program", "load", "save", "write_c"),
    "rheobase.program.lower": ("lower",),
    "rheobase.training": (
        "OptimiserConfig",
        "TrainConfig",
        "evaluate",
        "fit",
        "load_recipe",
        "open_run",
        "train",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CompiledProgram",
    "CrossEntropy",
    "DataConfig",
    "OptimiserConfig",
    "Program",
    "QuantConfig",
    "ReScaWConfig",
    "StableSpike",
    "StableSpikeConfig",
    "TrainConfig",
    "create_model",
    "evaluate",
    "fit",
    "harden",
    "list_datasets",
    "list_models",
    "load",
    "load_dataset",
    "load_recipe",
    "lower",
    "open_run",
    "quantise_",
    "save",
    "train",
    "write_c",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rheobase' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
