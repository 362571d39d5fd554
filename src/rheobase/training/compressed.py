"""`compress`: a trained run becomes a quantised, fine-tuned and hardened model, and a Program; each state is measured.

    float --quantise_, fine-tune--> quantised --harden--> hardened --lower--> Program

Written to `compressed/` in the run folder: `checkpoint.json` and its tensors (the quantised model), `compressed.json`
(configuration and figures), `program.safetensors`.
"""

from dataclasses import dataclass
from pathlib import Path

from rheobase.compression import Hardened, QuantConfig, ReScaWConfig, code_usages, harden, quantise_
from rheobase.datasets import DataSet
from rheobase.files import atomic_write_json
from rheobase.models import SpikingModel
from rheobase.objectives import build_objective
from rheobase.program import Program, save
from rheobase.program.lower import lower
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


def quant_config(config: CompressConfig) -> QuantConfig:
    """The quantiser configuration that a recipe's `compress` section stands for."""
    weights = ReScaWConfig(bits=config.bits, gamma_mode=config.gamma_mode, ste=config.ste)
    return QuantConfig(weights=weights, edge_bits=config.edge_bits)


def compress(run: Run, config: CompressConfig | None = None, *, quiet: bool | None = None) -> Compressed:
    """Quantise a trained run, fine-tune with its own objective, harden, lower, and measure on the test set.

    `config` defaults to the recipe's `compress` section. The run's float checkpoint is not touched.

    Raises:
        LatticeError: the model has a layer the lattice does not hold; the message names it.
    """
    recipe = run.recipe
    config = config or recipe.compress
    data = run.dataset()
    model = run.model()
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
            "quantised": result.quantised_evaluation.to_json(),
            "hardened": result.hardened_evaluation.to_json(),
            "program_digest": result.program.digest(),
        },
    )
