"""`compress`: a trained run becomes a quantised, fine-tuned and hardened model, and a Program; each state is measured.

    float --quantise_, fine-tune--> quantised --harden--> hardened --lower--> Program

Written to `compressed/` in the run folder: `checkpoint.json` and its tensors (the quantised model), `compressed.json`
(configuration and figures), `program.safetensors`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from rheobase.compression import (
    Hardened,
    QuantConfig,
    account,
    code_usages,
    harden,
    quantise_,
    quantiser_config,
    search_bits,
    set_progress,
)
from rheobase.compression.quantisers import widths
from rheobase.datasets import DataSet
from rheobase.files import atomic_write_json
from rheobase.models import SpikingModel
from rheobase.objectives import build_objective
from rheobase.program import Program, save
from rheobase.program.lower import lower
from rheobase.training.callback import Callback, State
from rheobase.training.checkpoint import Checkpoint, save_checkpoint
from rheobase.training.evaluation import Evaluation, evaluate
from rheobase.training.loop import fit
from rheobase.training.recipe import CompressConfig, OptimiserConfig, Recipe
from rheobase.training.run import Run


@dataclass(frozen=True, eq=False)
class Compressed:
    """The states of one model after compression, with what each is worth on the test set."""

    config: CompressConfig
    model: SpikingModel
    hardened: Hardened
    program: Program
    quantised_evaluation: Evaluation
    hardened_evaluation: Evaluation


class Schedule(Callback):
    """Tells quantisers with a schedule (Libra's error decay) before every epoch how much of the training is over.

    Fine-tuning uses it; so should any other `fit` of a model with such quantisers.
    """

    def started(self, state: State) -> None:
        """Before the first epoch, or the first after resuming."""
        set_progress(state.model, state.epoch / state.epochs)

    def epoch_ended(self, state: State) -> None:
        """Before the next epoch."""
        set_progress(state.model, state.epoch / state.epochs)


def quant_config(config: CompressConfig) -> QuantConfig:
    """The quantiser configuration that a recipe's `compress` section stands for.

    Raises:
        RecipeError: the quantiser does not have this many bits, or no scale per channel.
    """
    return QuantConfig.model_validate(
        {"weights": config.weights(), "edge_bits": config.edge_bits, "overrides": config.overrides}
    )


def compress(run: Run, config: CompressConfig | None = None, *, quiet: bool | None = None) -> Compressed:
    """Quantise a trained run, fine-tune with its own objective, harden, lower, and measure on the test set.

    `config` defaults to the recipe's `compress` section. The run's float checkpoint is not touched. With
    `budget_bytes` the widths are searched for first, on the validation part; the configuration that is kept names
    them as overrides.

    Raises:
        LatticeError: the model has a layer the lattice does not hold; the message names it.
        RecipeError: the quantiser does not have this many bits, or nothing fits the budget.
    """
    recipe = run.recipe
    config = config or recipe.compress
    data = run.dataset()
    model = run.model()
    if config.budget_bytes is not None:
        config = search(model, data, config)
    quantise_(model, quant_config(config))
    fine_tune(model, data, recipe, config, quiet=quiet)
    hardened = harden(model)
    program = lower(
        hardened,
        name=program_name(run),
        T=recipe.data.T,
        metadata={
            "data": recipe.data.name,
            "split": data.split_hash,
            "model": recipe.model.name,
            "bits": config.bits,
        },
    )
    result = Compressed(
        config, model, hardened, program, evaluate(model, data.test), evaluate(hardened, data.test)
    )
    _write(run.folder / "compressed", result)
    return result


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


def fine_tune(
    model: SpikingModel, data: DataSet, recipe: Recipe, config: CompressConfig, *, quiet: bool | None = None
) -> None:
    """Train a quantised model for `config.epochs` more epochs with the recipe's objective, from a fresh optimiser."""
    if config.epochs == 0:
        return
    fit(
        model,
        data,
        build_objective(recipe.objective),
        optimiser=OptimiserConfig(name="sgd", lr=config.lr, weight_decay=recipe.optimiser.weight_decay),
        train=recipe.train.model_copy(update={"epochs": config.epochs, "seed": recipe.train.seed + 1}),
        augment=recipe.augment,
        callbacks=[Schedule()],
        quiet=quiet,
    )


def program_name(run: Run) -> str:
    """A name fit for C: data set and model, letters, digits and underscores."""
    text = f"{run.recipe.data.name}_{run.recipe.model.name}"
    return "".join(c if c.isalnum() else "_" for c in text)


def _write(folder: Path, result: Compressed) -> None:
    state = {name: tensor.detach() for name, tensor in result.model.state_dict().items()}
    save_checkpoint(folder, Checkpoint(result.config.epochs, state))
    save(result.program, folder / "program.safetensors")
    atomic_write_json(
        folder / "compressed.json",
        {
            "config": result.config.model_dump(mode="json"),
            "code_usage": code_usages(result.model),
            "bytes": asdict(account(result.program)),
            "quantised": result.quantised_evaluation.to_json(),
            "hardened": result.hardened_evaluation.to_json(),
            "program_digest": result.program.digest(),
        },
    )
