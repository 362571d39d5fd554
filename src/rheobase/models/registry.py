"""The table of models and how to make one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from rheobase.config import Config
from rheobase.errors import RecipeError, unknown
from rheobase.models.model import Head, ModelConfig, SpikingModel
from rheobase.models.ms_resnet import ms_resnet18
from rheobase.models.resnet import resnet19, resnet20
from rheobase.models.snn_vit import (
    CIFAROptions,
    DVSOptions,
    SmallOptions,
    snn_vit_cifar,
    snn_vit_dvs,
    snn_vit_small,
)
from rheobase.models.vgg import vgg9, vgg11, vgg16, vgg16_avg, vgg_small, vgg_tiny, vggsnn
from rheobase.neurons import NeuronConfig


@dataclass(frozen=True)
class Entry:
    """A family's builder, with the neuron and the head of its paper, and the class of its own options."""

    build: Callable[[ModelConfig], SpikingModel]
    neuron: str
    head: Head
    options: type[Config] = Config


MODELS: dict[str, Entry] = {
    "ms_resnet18": Entry(ms_resnet18, "lif_soft", "gap"),
    "resnet19": Entry(resnet19, "lif_tet", "gap"),
    "resnet20": Entry(resnet20, "lif_tet", "gap"),
    "snn_vit_cifar": Entry(snn_vit_cifar, "lif_sj", "gap", CIFAROptions),
    "snn_vit_dvs": Entry(snn_vit_dvs, "lif_sj", "gap", DVSOptions),
    "snn_vit_small": Entry(snn_vit_small, "lif_sj", "gap", SmallOptions),
    "vgg11": Entry(vgg11, "lif_nda", "gap"),
    "vgg16": Entry(vgg16, "lif_tet", "gap"),
    "vgg16_avg": Entry(vgg16_avg, "lif_tet", "gap"),
    "vgg9": Entry(vgg9, "lif_soft", "flatten"),
    "vgg_small": Entry(vgg_small, "lif_soft", "flatten"),
    "vgg_tiny": Entry(vgg_tiny, "lif_soft", "flatten"),
    "vggsnn": Entry(vggsnn, "lif_tet", "flatten"),
}


def list_models() -> list[str]:
    """Names that `create_model` knows, sorted."""
    return sorted(MODELS)


def model_options(name: str) -> dict[str, JsonValue]:
    """The options of a model's family with their defaults.

    Raises:
        RecipeError: an unknown model.
    """
    if name not in MODELS:
        raise RecipeError(unknown("model", name, MODELS))
    return MODELS[name].options().model_dump(mode="json")


def create_model(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 2,
    input_size: tuple[int, int],
    neuron: str | NeuronConfig | None = None,
    width: float = 1.0,
    head: Head | None = None,
    input_unit: float = 1.0,
    T: int | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> SpikingModel:
    """A new network with fresh weights; `width` scales its channels.

    `input_unit` is what one count of the input is worth: frames of event counts need none, images of bytes 1/255.

    `T` is needed by models with parameters by step. `options` are the family's own; those left out take its defaults.

    `neuron` (a preset's name or a configuration) and `head` default to those of the model's paper. They are
    filled in in the model's `config`, so `create_model(**dict(model.config))` makes the same network again.

    Shape: the model maps x `[T, N, in_channels, *input_size]` -> logits `[T, N, num_classes]`.
    Raises:
        RecipeError: an unknown model or preset, an option out of range, or an input too small for the
        network.
    """
    if name not in MODELS:
        raise RecipeError(unknown("model", name, MODELS))
    entry = MODELS[name]
    try:
        config = ModelConfig(
            name=name,
            num_classes=num_classes,
            in_channels=in_channels,
            input_size=input_size,
            neuron=entry.neuron if neuron is None else neuron,
            width=width,
            head=entry.head if head is None else head,
            input_unit=input_unit,
            T=T,
            options=entry.options.model_validate(options or {}).model_dump(mode="json"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{name}: {option} = {first['input']!r} cannot be used: {first['msg']}") from None
    return entry.build(config)
