"""The table of models and how to make one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from rheobase.config import Config
from rheobase.errors import RecipeError, unknown
from rheobase.models.bestformer import (
    BESTformer4Config,
    BESTformer8Config,
    BESTformerConfig,
    bestformer,
)
from rheobase.models.meta_spikeformer import (
    MetaSpikeformer8_256,
    MetaSpikeformer8_384,
    MetaSpikeformer8_512,
    MetaSpikeformerSmall,
    meta_spikeformer,
)
from rheobase.models.model import Head, ModelConfig, SpikingModel
from rheobase.models.ms_resnet import ms_resnet18
from rheobase.models.qkformer import (
    HST10_384,
    HST10_512,
    HST10_768,
    QKFormerCIFAR,
    QKFormerEvent,
    QKFormerSmall,
    qkformer,
)
from rheobase.models.resnet import resnet19, resnet20
from rheobase.models.sdt import SDT2_512, SDT8_384, SDT8_512, SDTEvent, SDTSmall, sdt
from rheobase.models.sdt_v3 import SDTV3L, SDTV3M, SDTV3S, SDTV3Small, sdt_v3
from rheobase.models.sequence import DelayedOptions, SequenceOptions, spiking_mlp, spiking_rnn
from rheobase.models.snn_vit import (
    CIFAROptions,
    DVSOptions,
    SmallOptions,
    snn_vit_cifar,
    snn_vit_dvs,
    snn_vit_small,
)
from rheobase.models.snn_vit_pyramid import SNNViT8_256, SNNViT8_384, SNNViT8_512, snn_vit_pyramid
from rheobase.models.spike_time import SpikeTimeOptions, spike_time
from rheobase.models.spikformer import (
    Spikformer4_384,
    Spikformer8_512,
    Spikformer8_768,
    SpikformerEvent,
    SpikformerSmall,
    spikformer,
)
from rheobase.models.spikingformer import (
    Spikingformer4_384,
    Spikingformer8_512,
    SpikingformerEvent,
    SpikingformerSmall,
    spikingformer,
)
from rheobase.models.vgg import vgg9, vgg11, vgg16, vgg16_avg, vgg_small, vgg_tiny, vggsnn
from rheobase.neurons import NeuronConfig


@dataclass(frozen=True)
class Entry:
    """A family's builder, with the neuron and the head of its paper, and the class of its own options.

    Spike-time networks, which do not compute step by step, have neither.
    """

    build: Callable[[ModelConfig], SpikingModel]
    neuron: str | None
    head: Head | None
    options: type[Config] = Config


MODELS: dict[str, Entry] = {
    "bestformer_4_384": Entry(bestformer, "lif_sj", "gap", BESTformer4Config),
    "bestformer_8_512": Entry(bestformer, "lif_sj", "gap", BESTformer8Config),
    "bestformer_small": Entry(bestformer, "lif_sj", "gap", BESTformerConfig),
    "meta_spikeformer_8_256": Entry(meta_spikeformer, "lif_sj", "gap", MetaSpikeformer8_256),
    "meta_spikeformer_8_384": Entry(meta_spikeformer, "lif_sj", "gap", MetaSpikeformer8_384),
    "meta_spikeformer_8_512": Entry(meta_spikeformer, "lif_sj", "gap", MetaSpikeformer8_512),
    "meta_spikeformer_small": Entry(meta_spikeformer, "lif_sj", "gap", MetaSpikeformerSmall),
    "ms_resnet18": Entry(ms_resnet18, "lif_soft", "gap"),
    "qkformer_cifar": Entry(qkformer, "lif_sj", "gap", QKFormerCIFAR),
    "qkformer_event": Entry(qkformer, "lif_sj", "gap", QKFormerEvent),
    "qkformer_hst_10_384": Entry(qkformer, "lif_sj", "gap", HST10_384),
    "qkformer_hst_10_512": Entry(qkformer, "lif_sj", "gap", HST10_512),
    "qkformer_hst_10_768": Entry(qkformer, "lif_sj", "gap", HST10_768),
    "qkformer_small": Entry(qkformer, "lif_sj", "gap", QKFormerSmall),
    "resnet19": Entry(resnet19, "lif_tet", "gap"),
    "resnet20": Entry(resnet20, "lif_tet", "gap"),
    "sdt_2_512": Entry(sdt, "lif_sj", "flatten", SDT2_512),
    "sdt_8_384": Entry(sdt, "lif_sj", "flatten", SDT8_384),
    "sdt_8_512": Entry(sdt, "lif_sj", "flatten", SDT8_512),
    "sdt_event": Entry(sdt, "lif_sj", "flatten", SDTEvent),
    "sdt_small": Entry(sdt, "lif_sj", "flatten", SDTSmall),
    "sdt_v3_l": Entry(sdt_v3, "lif_sj", "flatten", SDTV3L),
    "sdt_v3_m": Entry(sdt_v3, "lif_sj", "flatten", SDTV3M),
    "sdt_v3_s": Entry(sdt_v3, "lif_sj", "flatten", SDTV3S),
    "sdt_v3_small": Entry(sdt_v3, "lif_sj", "flatten", SDTV3Small),
    "spikformer_4_384": Entry(spikformer, "lif_sj", "gap", Spikformer4_384),
    "spikformer_8_512": Entry(spikformer, "lif_sj", "gap", Spikformer8_512),
    "spikformer_8_768": Entry(spikformer, "lif_sj", "gap", Spikformer8_768),
    "spikformer_event": Entry(spikformer, "lif_sj", "gap", SpikformerEvent),
    "spikformer_small": Entry(spikformer, "lif_sj", "gap", SpikformerSmall),
    "spikingformer_4_384": Entry(spikingformer, "lif_sj", "gap", Spikingformer4_384),
    "spikingformer_8_512": Entry(spikingformer, "lif_sj", "gap", Spikingformer8_512),
    "spikingformer_event": Entry(spikingformer, "lif_sj", "gap", SpikingformerEvent),
    "spikingformer_small": Entry(spikingformer, "lif_sj", "gap", SpikingformerSmall),
    "snn_vit_8_256": Entry(snn_vit_pyramid, "lif_sj", "gap", SNNViT8_256),
    "snn_vit_8_384": Entry(snn_vit_pyramid, "lif_sj", "gap", SNNViT8_384),
    "snn_vit_8_512": Entry(snn_vit_pyramid, "lif_sj", "gap", SNNViT8_512),
    "snn_vit_cifar": Entry(snn_vit_cifar, "lif_sj", "gap", CIFAROptions),
    "snn_vit_dvs": Entry(snn_vit_dvs, "lif_sj", "gap", DVSOptions),
    "snn_vit_small": Entry(snn_vit_small, "lif_sj", "gap", SmallOptions),
    "spike_time": Entry(spike_time, None, None, SpikeTimeOptions),
    "spiking_mlp": Entry(spiking_mlp, "lif_soft", "flatten", SequenceOptions),
    "spiking_rnn": Entry(spiking_rnn, "lif_soft", "flatten", SequenceOptions),
    "spiking_tcn": Entry(spiking_mlp, "lif_soft", "flatten", DelayedOptions),
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


def family_of(name: str) -> str:
    """The family of a registered model: the file of this package that builds it, such as `vgg` or `qkformer`."""
    return MODELS[name].build.__module__.rpartition(".")[2]


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
