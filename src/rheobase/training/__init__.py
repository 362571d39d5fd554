"""Training: recipes, the loop, run folders with checkpoints, and evaluation.

`train(load_recipe(path), folder)` trains into a run folder; `fit(model, data)` trains without files;
`open_run(folder)` reads what a run left; `evaluate(model, frames)` measures any model.
"""

from rheobase.training.augment import AugmentConfig
from rheobase.training.callback import Callback, State
from rheobase.training.checkpoint import Checkpoint, load_checkpoint, load_model_tensors, save_checkpoint
from rheobase.training.compressed import Compressed, compress
from rheobase.training.evaluation import Evaluation, collect_samples, evaluate, measure
from rheobase.training.export import Exported, export_c
from rheobase.training.health import RateMeter, check_rates
from rheobase.training.loader import ArrayFrames, batches, shuffled_batches
from rheobase.training.logs import Metrics, read_metrics
from rheobase.training.loop import DivergenceError, fit, train
from rheobase.training.recipe import (
    CompressConfig,
    ModelRecipe,
    OptimiserConfig,
    Recipe,
    TrainConfig,
    dump_recipe,
    load_recipe,
    parse_recipe,
)
from rheobase.training.run import Run, build_model, open_run
from rheobase.training.sweep import Cell, Outcome, Sweep, cells, load_sweep, run_sweep
from rheobase.training.teacher import recipe_objective

__all__ = [
    "ArrayFrames",
    "AugmentConfig",
    "Callback",
    "Cell",
    "Checkpoint",
    "CompressConfig",
    "Compressed",
    "DivergenceError",
    "Evaluation",
    "Exported",
    "Metrics",
    "ModelRecipe",
    "OptimiserConfig",
    "Outcome",
    "RateMeter",
    "Recipe",
    "Run",
    "State",
    "Sweep",
    "TrainConfig",
    "batches",
    "build_model",
    "cells",
    "check_rates",
    "collect_samples",
    "compress",
    "dump_recipe",
    "evaluate",
    "export_c",
    "fit",
    "load_checkpoint",
    "load_model_tensors",
    "load_recipe",
    "load_sweep",
    "measure",
    "open_run",
    "parse_recipe",
    "read_metrics",
    "recipe_objective",
    "run_sweep",
    "save_checkpoint",
    "shuffled_batches",
    "train",
]
