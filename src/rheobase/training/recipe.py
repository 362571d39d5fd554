"""Recipes: everything that decides a training run, in one YAML file.

    data: {name: ..., T: 4}
    model: {name: ..., neuron: lif_soft, width: 1.0, head: flatten}
    objective: {name: cross_entropy}
    optimiser: {name: sgd, lr: 0.1, schedule: cosine}
    train: {epochs: 20, batch_size: 64, seed: 0}

`load_recipe(path, ["optimiser.lr=0.05", "train.seed=1"])` reads one and changes single values; an unknown key
or a wrong type is a `RecipeError` that names file, key and the nearest known key.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, JsonValue, ValidationError, model_validator

from rheobase.compression.pruning.config import PruneConfig
from rheobase.compression.quantise import QuantConfig
from rheobase.compression.quantisers import QuantiserBase, QuantiserConfig, quantiser_config
from rheobase.compression.quantisers.base import Bits
from rheobase.compression.quantisers.rescaw import STE, GammaMode
from rheobase.config import Config
from rheobase.datasets import DataConfig
from rheobase.errors import RecipeError
from rheobase.models.model import Head
from rheobase.neurons import NeuronConfig
from rheobase.objectives import CrossEntropyConfig, ObjectiveConfig
from rheobase.training.augment.config import AugmentConfig
from rheobase.training.recipe_errors import explain

# YAML reads `precision: 32` as a number; both spellings mean the same.
Precision = Annotated[
    Literal["auto", "32", "bf16"], BeforeValidator(lambda value: str(value) if value == 32 else value)
]

QuantiserName = Literal[
    "rescaw",
    "uniform",
    "max_abs",
    "libra",
    "irnet",
    "lsq",
    "dorefa",
    "bwn",
    "ternary",
    "mint",
    "standardised_sign",
    "shared",
]


class ModelRecipe(Config):
    """Which registered model to build.

    `neuron` (a preset's name or a full configuration) and `head` default to those of the model's paper;
    `options` are those of its family (`rheobase models --options NAME` lists them). `quantise` gives its weights quantisers
    before the first epoch (`quantise: {weights: {name: standardised_sign}, edge_bits: null}`); `compress` quantises what it
    leaves float.
    """

    name: str = "vgg_small"
    neuron: str | NeuronConfig | None = None
    width: float = Field(default=1.0, gt=0)
    head: Head | None = None
    options: dict[str, JsonValue] = {}
    quantise: QuantConfig | None = None


class OptimiserConfig(Config):
    """Optimiser and learning-rate schedule.

    `momentum` is read by `sgd` alone; `weight_decay` by all (decoupled in `adamw`). With `e` the time in
    epochs, `w` the warm-up and `E` the whole length, the rate is `lr * e/w` during the warm-up and then

        cosine:    lr * (1 + cos(pi * (e - w)/(E - w))) / 2
        step:      lr * gamma^floor(e / step_size)
        constant:  lr

    `slimming` is the strength of the L1 penalty on batch-norm scales that pruning by `score: slimming` reads.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    step_size: int = Field(default=30, ge=1)
    gamma: float = Field(default=0.1, gt=0)
    warmup_epochs: int = Field(default=0, ge=0)
    slimming: float = Field(default=0.0, ge=0)

    def lr_at(self, time: float, epochs: int) -> float:
        """Learning rate at `time`, in epochs from the start (fractional), of a run of `epochs`.

        >>> OptimiserConfig(lr=0.2).lr_at(5.0, 10)
        0.1
        """
        if time < self.warmup_epochs:
            return self.lr * time / self.warmup_epochs
        if self.schedule == "cosine":
            done = (time - self.warmup_epochs) / max(epochs - self.warmup_epochs, 1)
            return self.lr * (1 + math.cos(math.pi * min(done, 1.0))) / 2
        if self.schedule == "step":
            return self.lr * self.gamma ** (int(time) // self.step_size)
        return self.lr


class TrainConfig(Config):
    """Length, batch, seed and arithmetic of a run, and how its work is cut and shared.

    None but the first three and the arithmetic has a part in the numbers, rounding apart (and batch-norm,
    for `accumulate`).
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    """Samples of one optimiser step: of all processes and all micro-batches together."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Precision = "auto"
    """`auto` is bf16 where the machine multiplies it in hardware, else 32; a run folder keeps which it was."""

    channels_last: bool | Literal["auto"] = "auto"
    """Memory layout of convolutions; `auto` as measured, see `training.arithmetic`. Shards
    (`strategy: fsdp`) are contiguous."""

    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step, one after another, whose gradients add up to that of the batch. Batch-norm
    takes its statistics over each micro-batch, so networks that have it train differently."""

    recompute: bool = False
    """Keep only what enters each stage of the network and compute the rest again in the backward pass: less
    memory for many steps of time, one more forward pass."""

    workers: int = Field(default=1, ge=0)
    """Threads that gather the next batches while one is trained on; 0 gathers them in between."""

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several processes (`torchrun`) share the work: whole models (`ddp`, `auto`) or shards (`fsdp`)."""

    threads: int | None = Field(default=None, ge=1)
    """Of torch, in each process; None leaves them as they are."""

    tensorboard: bool = False


class CompressConfig(Config):
    """Fewer bits and channels after training: quantise, prune, fine-tune each for `epochs` at `lr`, harden.

    `bits` goes to all weighted layers but the first and the last, which take `edge_bits`; each method allows its
    own widths. `gamma_mode` and `ste` are read by `rescaw` alone. `overrides` maps name patterns to the quantiser
    of the layers they match (`"*conv3": {name: lsq, bits: 8}`).
    """

    quantiser: QuantiserName = "rescaw"
    bits: Bits = 4
    per_channel: bool | None = None
    """Whether each output channel has a scale of its own; None as in the method's paper."""

    edge_bits: Bits | None = 8
    gamma_mode: GammaMode = "l1"
    ste: STE = "clip"
    overrides: dict[str, QuantiserConfig | None] = {}
    budget_bytes: int | None = Field(default=None, ge=1)
    """Of all packed weights: the width of each layer is then searched for; `bits` and `edge_bits` are not read."""

    prune: PruneConfig | None = None
    """Channels to remove (`prune: {ratio: 0.5, score: svs}`); `epochs` of fine-tuning follow each of its iterations."""

    order: Literal["quantise_then_prune", "prune_then_quantise"] = "quantise_then_prune"
    calibration: int = Field(default=640, ge=1)
    """Training recordings that channels are scored on."""

    epochs: int = Field(default=5, ge=0)
    round_epochs: int = Field(default=0, ge=0)
    """Epochs of fine-tuning through the roundings of the integer lattice, with batch-norm frozen, after all others."""

    lr: float = Field(default=0.01, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    """Of fine-tuning, which is by SGD. None: that of training, but 0 after AdamW, whose decay is decoupled from the gradient: as
    SGD's it would halve weights and batch-norm in a few epochs, and neurons fall silent."""

    def weights(self) -> QuantiserBase:
        """The quantiser of the inner layers.

        Raises:
            RecipeError: the method does not have this many bits, or no scale per channel.
        """
        options: dict[str, Any] = {"bits": self.bits}
        if self.quantiser == "rescaw":
            options |= {"gamma_mode": self.gamma_mode, "ste": self.ste}
        if self.per_channel is not None:
            options["per_channel"] = self.per_channel
        return quantiser_config(self.quantiser, **options)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            self.weights()
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return self


class Recipe(Config):
    """Everything that decides a training run."""

    data: DataConfig
    model: ModelRecipe = ModelRecipe()
    objective: ObjectiveConfig = CrossEntropyConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    compress: CompressConfig = CompressConfig()


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Recipe of a YAML file, with `key.sub=value` overrides whose values are read as YAML.

    Raises:
        RecipeError: the file cannot be read or is not YAML, a key is unknown, or a value has the wrong type
            or range; one line that names file (or override), key, given value, and for an unknown key the
            nearest known one.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RecipeError(f"recipe {path} cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is not valid YAML: {' '.join(str(error).split())}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise RecipeError(
            f"recipe {path} must hold keys such as 'data:' and 'model:', got {type(values).__name__}"
        )
    return parse_recipe(values, overrides, origin=str(path))


def parse_recipe(values: dict[str, Any], overrides: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """Recipe of nested dictionaries; `origin` is what error messages call them.

    Raises:
        RecipeError: as `load_recipe`.
    """
    changed: dict[tuple[str, ...], str] = {}
    for override in overrides:
        keys, value = _parse_override(override)
        values = _replace(values, keys, value, override)
        changed[keys] = override
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, Recipe, origin, changed)) from error


def dump_recipe(recipe: Recipe) -> str:
    """YAML text of a recipe, every default written out; `load_recipe` reads it back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _parse_override(override: str) -> tuple[tuple[str, ...], Any]:
    key, equals, text = override.partition("=")
    keys = tuple(key.strip().split("."))
    if not equals or not all(keys):
        raise RecipeError(
            f"override {override!r} must look like key.sub=value, for example optimiser.lr=0.05"
        )
    try:
        return keys, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"override {override!r}: the value is not valid YAML: {' '.join(str(error).split())}"
        ) from error


def _replace(values: dict[str, Any], keys: tuple[str, ...], value: Any, override: str) -> dict[str, Any]:
    """Copy of nested dictionaries with one value replaced; missing levels are made."""
    if len(keys) == 1:
        return {**values, keys[0]: value}
    inner = values.get(keys[0])
    inner = {} if inner is None else inner
    if not isinstance(inner, dict):
        raise RecipeError(f"override {override!r}: {keys[0]!r} is {inner!r}, which holds no key {keys[1]!r}")
    return {**values, keys[0]: _replace(inner, keys[1:], value, override)}
