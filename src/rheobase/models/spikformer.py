"""Spikformer: a convolutional tokeniser and blocks of spiking self-attention that add spikes."""

from pydantic import Field, PositiveInt

from rheobase.layers import SpikingSelfAttention
from rheobase.layers.attention.spiking import Order
from rheobase.layers.conv_norm import conv_norm
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import (
    Residual,
    StackOptions,
    block,
    growing,
    pooled_size,
    shared_width,
    spike_mlp,
    spike_tokens,
)


class Spikformer4_384(StackOptions):
    """For 32x32 images: 8x8 tokens. The order decides no result; the paper's code has `quadratic`."""

    depth: PositiveInt = 4
    dim: PositiveInt = 384
    heads: PositiveInt = 12
    attention_scale: float = Field(default=0.125, gt=0)
    order: Order = "auto"


class Spikformer8_512(Spikformer4_384):
    """For ImageNet: 14x14 tokens."""

    depth: PositiveInt = 8
    dim: PositiveInt = 512
    heads: PositiveInt = 8
    pools: str = Field(default="1111", pattern="^[01]{4}$")


class Spikformer8_768(Spikformer8_512):
    """For ImageNet, wider."""

    dim: PositiveInt = 768
    heads: PositiveInt = 12


class SpikformerEvent(Spikformer8_512):
    """For events of 128x128 (CIFAR10-DVS): 8x8 tokens."""

    depth: PositiveInt = 2
    dim: PositiveInt = 256
    heads: PositiveInt = 16
    attention_scale: float = Field(default=0.25, gt=0)


class SpikformerSmall(Spikformer4_384):
    """For sensors of 28 to 40 pixels; this project's."""

    depth: PositiveInt = 1
    dim: PositiveInt = 128
    heads: PositiveInt = 4
    pools: str = Field(default="0110", pattern="^[01]{4}$")


def spikformer(config: ModelConfig) -> SpikingModel:
    """Spikformer: tokeniser, a 3x3 convolution added for position, blocks `x + SSA(x)`, `x + MLP(x)` that add spikes.

    The features are counts: 0..2 after the tokeniser, and up to 2 more with each block. 9.3 million parameters as 4-384 with 10
    classes, 29.7 million as 8-512 with 1,000. Biases before batch-norm are left out: they change nothing.

    Source: Zhou et al., Spikformer (ICLR 2023, arXiv 2209.15425) and released code.
    """
    options, neuron = Spikformer4_384.model_validate(config.options), config.neuron_config
    dim = shared_width(options.dim, config.width, options.heads)
    height, width = size = pooled_size(config.input_size, options.pools.count("1"))
    features = spike_tokens(config.in_channels, growing(dim), options.pools, neuron)
    features.add_module("position", Residual(conv_norm(dim, dim, neuron, kernel=3)))
    for number in range(1, options.depth + 1):
        attention = SpikingSelfAttention(
            dim,
            options.heads,
            neuron,
            tokens=height * width,
            scale=options.attention_scale,
            attention_threshold=options.attention_threshold,
            order=options.order,
        )
        features.add_module(f"block{number}", block(attention, spike_mlp(dim, options.mlp_ratio, neuron)))
    head = build_head(config, dim, size)
    start_linear(head, 0.02)
    return SpikingModel(config, features, head, f"features.block{options.depth}")
