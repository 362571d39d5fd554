"""QKFormer: a pyramid of tokens, QK attention in the early stages, spiking self-attention in the last; spikes are added."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveInt
from torch import nn

from rheobase.config import Config
from rheobase.layers import SpikingSelfAttention
from rheobase.layers.attention.qk import Over, QKAttention
from rheobase.layers.attention.spiking import Order
from rheobase.layers.conv_norm import conv_norm, named
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import Residual, block, half, pooled_size, shared_width, spike_mlp
from rheobase.neurons import NeuronConfig

Form = Literal["event", "cifar", "imagenet", "small"]
Pooled = Literal["currents", "spikes"]


@dataclass(frozen=True)
class Stem:
    """The first embedding, to e channels: 3x3 convolutions to e/part channels, some of which pool.

    The shortcut starts behind convolution `kept` (from 0). `stage_pool` is the convolution of a later embedding that pools.
    """

    parts: tuple[int, ...]
    pools: tuple[bool, ...]
    kept: int
    stage_pool: int

    @property
    def shortcut_stride(self) -> int:
        """How much the convolutions after `kept` shrink the map."""
        return 2 ** sum(self.pools[self.kept + 1 :])


STEMS: dict[Form, Stem] = {
    "event": Stem((8, 4, 2, 1), (False, True, True, True), kept=1, stage_pool=1),
    "cifar": Stem((2, 1), (False, False), kept=0, stage_pool=1),
    "imagenet": Stem((2, 1, 1), (True, True, False), kept=0, stage_pool=0),
    "small": Stem((2, 1), (True, True), kept=0, stage_pool=1),
}


class QKFormerOptions(Config):
    """A stem, then stages of blocks: the last of width `dim`, each before it of half the width of the next.

    `pool`: the paper takes the maximum of currents, before the neuron; of `spikes`, behind it, is what integer programs hold.
    """

    form: Form
    dim: PositiveInt
    heads: PositiveInt
    blocks: tuple[PositiveInt, ...] = Field(min_length=1)
    mlp_ratio: float = Field(default=4.0, gt=0)
    over: Over = "token"
    pool: Pooled = "currents"
    attention_threshold: float = Field(default=0.5, gt=0)
    attention_scale: float = Field(default=0.125, gt=0)
    order: Order = "auto"


class QKFormerEvent(QKFormerOptions):
    """For events of 128x128: 16x16, then 8x8 tokens. DVS-Gesture takes `mlp_ratio=4`."""

    form: Form = "event"
    dim: PositiveInt = 256
    heads: PositiveInt = 16
    blocks: tuple[PositiveInt, ...] = Field(default=(1, 1), min_length=1)
    mlp_ratio: float = Field(default=1.0, gt=0)


class QKFormerCIFAR(QKFormerOptions):
    """For 32x32 images: 32x32, 16x16, then 8x8 tokens."""

    form: Form = "cifar"
    dim: PositiveInt = 384
    heads: PositiveInt = 8
    blocks: tuple[PositiveInt, ...] = Field(default=(1, 1, 2), min_length=1)


class HST10_384(QKFormerOptions):
    """For ImageNet: 56x56, 28x28, then 14x14 tokens."""

    form: Form = "imagenet"
    dim: PositiveInt = 384
    heads: PositiveInt = 6
    blocks: tuple[PositiveInt, ...] = Field(default=(1, 2, 7), min_length=1)


class HST10_512(HST10_384):
    """For ImageNet, wider."""

    dim: PositiveInt = 512
    heads: PositiveInt = 8


class HST10_768(HST10_384):
    """For ImageNet, widest."""

    dim: PositiveInt = 768
    heads: PositiveInt = 12


class QKFormerSmall(QKFormerOptions):
    """For sensors of 28 to 40 pixels (34x34: 9x9, then 5x5 tokens); this project's. Only spikes are pooled."""

    form: Form = "small"
    dim: PositiveInt = 128
    heads: PositiveInt = 4
    blocks: tuple[PositiveInt, ...] = Field(default=(1, 1), min_length=1)
    pool: Pooled = "spikes"


def qkformer(config: ModelConfig) -> SpikingModel:
    """QKFormer: embeddings with a shortcut of their own (SPEDS), blocks of QK attention, and of self-attention in the last stage.

    The features are counts: 0..2 after an embedding, and up to 2 more with each block of the last stage (0..4 with one). 1.50
    million parameters for events of CIFAR10-DVS, 6.74 for CIFAR-100, 16.47, 29.08 and 64.96 for ImageNet. Biases before
    batch-norm are left out: they change nothing.

    Source: Zhou et al., QKFormer (NeurIPS 2024, arXiv 2403.16552) and released code.
    """
    options, neuron = QKFormerOptions.model_validate(config.options), config.neuron_config
    stem, heads = STEMS[options.form], options.heads
    stages = len(options.blocks)
    dim = shared_width(max(1, options.dim // 2 ** (stages - 1)), config.width, heads)
    size = pooled_size(config.input_size, sum(stem.pools))
    features = nn.Sequential()
    features.add_module("embed1", _stem(config.in_channels, dim, stem, options.pool, neuron))
    last = ""
    for stage, count in enumerate(options.blocks, start=1):
        if stage > 1:
            dim, size = 2 * dim, pooled_size(size, 1)
            features.add_module(f"embed{stage}", _embedding(dim, stem.stage_pool, options.pool, neuron))
        for number in range(1, count + 1):
            attention = (
                SpikingSelfAttention(
                    dim,
                    heads,
                    neuron,
                    tokens=size[0] * size[1],
                    scale=options.attention_scale,
                    attention_threshold=options.attention_threshold,
                    order=options.order,
                )
                if stage == stages
                else QKAttention(
                    dim, heads, neuron, over=options.over, attention_threshold=options.attention_threshold
                )
            )
            last = f"stage{stage}_block{number}"
            features.add_module(last, block(attention, spike_mlp(dim, options.mlp_ratio, neuron)))
    head = build_head(config, dim, size)
    start_linear(head, 0.02)
    return SpikingModel(config, features, head, f"features.{last}")


def _stem(inputs: int, dim: int, stem: Stem, pooled: Pooled, neuron: NeuronConfig) -> nn.Sequential:
    widths = [max(1, dim // part) for part in stem.parts]
    layers = [
        _conv(before, after, pool, pooled, neuron)
        for before, after, pool in zip([inputs, *widths[:-1]], widths, stem.pools, strict=True)
    ]
    shortcut = conv_norm(widths[stem.kept], dim, neuron, stride=stem.shortcut_stride)
    return nn.Sequential(
        *layers[: stem.kept + 1], Residual(nn.Sequential(*layers[stem.kept + 1 :]), shortcut)
    )


def _embedding(dim: int, pooling: int, pooled: Pooled, neuron: NeuronConfig) -> Residual:
    branch = nn.Sequential(
        _conv(dim // 2, dim, pooling == 0, pooled, neuron), _conv(dim, dim, pooling == 1, pooled, neuron)
    )
    return Residual(branch, conv_norm(dim // 2, dim, neuron, stride=2))


def _conv(inputs: int, outputs: int, pool: bool, pooled: Pooled, neuron: NeuronConfig) -> nn.Sequential:
    if pooled == "currents":
        return conv_norm(inputs, outputs, neuron, kernel=3, pool=half(pool))
    return named(spikes=conv_norm(inputs, outputs, neuron, kernel=3), pool=half(pool))
