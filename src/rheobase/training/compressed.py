"""`compress`: a trained run becomes a quantised, pruned, fine-tuned and hardened model, and a Program; each state is measured.

    quantise_then_prune   float --quantise_--> quantised --prune_--> pruned --> rounded --harden--> hardened --lower--> Program
    prune_then_quantise   float --prune_--> pruned --quantise_--> quantised --> rounded --harden--> hardened --lower--> Program

`epochs` of fine-tuning follow every step of pruning and the quantisation; `rounded` are the last `round_epochs`, which train
through the roundings of the lattice. Written to `compressed/` in the run folder: `checkpoint.json` and its tensors (the model
that is hardened), `compressed.json` (configuration, plan of what was removed, figures), `program.safetensors`.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import torch

from rheobase.compression import (
    Hardened,
    QuantConfig,
    account,
    code_usages,
    harden,
    quantise_,
    quantiser_config,
    quantisers,
    search_bits,
    through_roundings,
    weight_bytes,
)
from rheobase.compression.pruning import PruneConfig, PrunePlan, apply_plan, prune_iteratively
from rheobase.compression.quantise import weighted_layers
from rheobase.compression.quantisers import widths
from rheobase.datasets import DataSet
from rheobase.errors import CheckpointError
from rheobase.files import atomic_write_json
from rheobase.models import SpikingModel
from rheobase.program import Program, save
from rheobase.program.ir import InputType
from rheobase.program.lower import lower
from rheobase.training.callback import Callback, Schedule
from rheobase.training.checkpoint import Checkpoint, load_checkpoint, load_model_tensors, save_checkpoint
from rheobase.training.evaluation import Evaluation, evaluate
from rheobase.training.loader import as_input
from rheobase.training.loop import fit
from rheobase.training.recipe import CompressConfig, OptimiserConfig, Recipe
from rheobase.training.run import Run, build_model
from rheobase.training.teacher import recipe_objective

FOLDER = "compressed"
FIGURES = "compressed.json"


@dataclass(frozen=True)
class Stage:
    """What a state of the model is worth on the test set, and the bytes of its weights, packed as far as quantised."""

    evaluation: Evaluation
    weight_bytes: int


@dataclass(frozen=True, eq=False)
class Compressed:
    """What compression left of a model.

    `stages`: `quantised`, `pruned`, `rounded` (as far as the configuration has them, in the order they were made) and
    `hardened`.
    """

    config: CompressConfig
    model: SpikingModel
    plan: PrunePlan
    hardened: Hardened
    program: Program
    stages: dict[str, Stage]


def quant_config(config: CompressConfig) -> QuantConfig:
    """The quantiser configuration that a recipe's `compress` section stands for.

    Raises:
        RecipeError: the quantiser does not have this many bits, or no scale per channel.
    """
    return QuantConfig.model_validate(
        {"weights": config.weights(), "edge_bits": config.edge_bits, "overrides": config.overrides}
    )


def compress(run: Run, config: CompressConfig | None = None, *, quiet: bool | None = None) -> Compressed:
    """Quantise and prune a trained run, fine-tune with its own objective, harden, lower, and measure on the test set.

    `config` defaults to the recipe's `compress` section. The run's float checkpoint is not touched. With
    `budget_bytes` the widths are searched for first, on the validation part; the configuration that is kept names
    them as overrides.

    Raises:
        LatticeError: the model has a layer the lattice does not hold; the message names it.
        PruneError: the model has no channel that could go, or an operation that cannot be followed.
        RecipeError: the quantiser does not have this many bits, or nothing fits the budget.
    """
    recipe = run.recipe
    config = config or recipe.compress
    data = run.dataset()
    model = run.model(data)
    if config.budget_bytes is not None:
        config = search(model, data, config)
    stages: dict[str, Stage] = {}
    plan = PrunePlan()
    for step in _order(config):
        if step == "quantised":
            _quantise_rest(model, config)
            fine_tune(model, data, recipe, config, callbacks=[Schedule()], quiet=quiet)
        else:
            assert config.prune is not None
            plan = prune(model, data, recipe, config, config.prune, quiet=quiet)
        stages[step] = Stage(evaluate(model, data.test), weight_bytes(model))
    if config.round_epochs:
        with through_roundings(model, input_type(data)):
            fine_tune(model, data, recipe, config, epochs=config.round_epochs, quiet=quiet)
            stages["rounded"] = Stage(evaluate(model, data.test), weight_bytes(model))
    hardened = harden(model, input_type(data))
    stages["hardened"] = Stage(evaluate(hardened, data.test), weight_bytes(model))
    program = lower(
        hardened,
        name=program_name(run),
        T=recipe.data.T,
        metadata={
            "data": data.name,
            "split": data.split_hash,
            "model": recipe.model.name,
            "bits": config.bits,
        },
    )
    result = Compressed(config, model, plan, hardened, program, stages)
    _write(run, result)
    return result


def input_type(data: DataSet) -> InputType:
    """Type of the frames that the program reads: the data set's own."""
    return "int8" if data.train.frames.dtype == np.int8 else "uint8"


def _order(config: CompressConfig) -> list[str]:
    """The states before hardening, in the order they are made."""
    steps = ["quantised"] if config.prune is None else ["quantised", "pruned"]
    return steps if config.order == "quantise_then_prune" else steps[::-1]


def _quantise_rest(model: SpikingModel, config: CompressConfig) -> None:
    """Quantise what the recipe's `model.quantise` left float, if anything."""
    if len(quantisers(model)) < len(weighted_layers(model)):
        quantise_(model, quant_config(config))


def search(model: SpikingModel, data: DataSet, config: CompressConfig) -> CompressConfig:
    """The configuration with the widths that `search_bits` finds within its budget as overrides.

    Raises:
        RecipeError: nothing fits the budget.
    """
    assert config.budget_bytes is not None
    widest = max(widths(quantiser_config(config.quantiser)))
    policy = quant_config(config.model_copy(update={"bits": widest}))
    found = search_bits(model, data, config.budget_bytes, config=policy, edges=True)
    return config.model_copy(
        update={"bits": widest, "overrides": {**found.overrides, **config.overrides}, "budget_bytes": None}
    )


def prune(
    model: SpikingModel,
    data: DataSet,
    recipe: Recipe,
    config: CompressConfig,
    pruning: PruneConfig,
    *,
    quiet: bool | None = None,
) -> PrunePlan:
    """Remove channels in place, scored on training recordings drawn by the recipe's seed; fine-tune after every step."""
    generator = torch.Generator().manual_seed(recipe.train.seed)
    chosen = torch.randperm(len(data.train), generator=generator)[: config.calibration].sort().values.numpy()
    frames = as_input(data.train.frames[chosen])

    def after(pruned: torch.nn.Module, plan: PrunePlan, step: int) -> None:
        fine_tune(model, data, recipe, config, quiet=quiet)

    return prune_iteratively(model, pruning, frames, after)


def fine_tune(
    model: SpikingModel,
    data: DataSet,
    recipe: Recipe,
    config: CompressConfig,
    *,
    epochs: int | None = None,
    callbacks: list[Callback] | None = None,
    quiet: bool | None = None,
) -> None:
    """Train for `epochs` (default `config.epochs`) more with the recipe's objective, from a fresh optimiser."""
    epochs = config.epochs if epochs is None else epochs
    if epochs == 0:
        return
    fit(
        model,
        data,
        recipe_objective(recipe.objective),
        optimiser=OptimiserConfig(name="sgd", lr=config.lr, weight_decay=_weight_decay(recipe, config)),
        train=recipe.train.model_copy(update={"epochs": epochs, "seed": recipe.train.seed + 1}),
        augment=recipe.augment,
        callbacks=callbacks or [],
        quiet=quiet,
    )


def _weight_decay(recipe: Recipe, config: CompressConfig) -> float:
    if config.weight_decay is not None:
        return config.weight_decay
    return 0.0 if recipe.optimiser.name == "adamw" else recipe.optimiser.weight_decay


def program_name(run: Run) -> str:
    """A name fit for C: data set and model, letters, digits and underscores."""
    text = f"{run.recipe.data.name}_{run.recipe.model.name}"
    return "".join(c if c.isalnum() else "_" for c in text)


def load_compressed(run: Run, data: DataSet) -> SpikingModel:
    """The quantised and pruned model that `compress` left, in evaluation mode.

    Raises:
        CheckpointError: the run has not been compressed, or what `compress` wrote is damaged.
    """
    again = f"Compress the run again: `rheobase compress {run.folder}`"
    folder = run.folder / FOLDER
    try:
        figures = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
        config = CompressConfig.model_validate(figures["config"])
        plan = PrunePlan.model_validate(figures["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:  # a ValidationError is a ValueError
        raise CheckpointError(f"{folder / FIGURES} cannot be read ({error}). {again}") from error
    model = build_model(run.recipe, data)
    for step in _order(config):
        if step == "quantised":
            _quantise_rest(model, config)
        else:
            apply_plan(model, plan)
    try:
        load_model_tensors(model, load_checkpoint(folder).model, f"the checkpoint of {folder}")
    except CheckpointError as error:
        raise CheckpointError(f"{error}. {again}") from error
    return model.eval()


def _write(run: Run, result: Compressed) -> None:
    folder = run.folder / FOLDER
    state = {name: tensor.detach() for name, tensor in result.model.state_dict().items()}
    save_checkpoint(folder, Checkpoint(result.config.epochs, state))
    save(result.program, folder / "program.safetensors")
    atomic_write_json(
        folder / FIGURES,
        {
            "config": result.config.model_dump(mode="json"),
            "plan": result.plan.model_dump(mode="json"),
            "code_usage": code_usages(result.model),
            "bytes": asdict(account(result.program)),
            "states": {
                name: {**stage.evaluation.to_json(), "weight_bytes": stage.weight_bytes}
                for name, stage in result.stages.items()
            },
            "program_digest": result.program.digest(),
        },
    )
