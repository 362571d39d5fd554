"""Spikingformer: Spikformer with every neuron before its convolution, and shortcuts that add membranes in place of spikes."""

from pydantic import Field, PositiveInt
from torch import nn

from rheobase.layers import SpikingSelfAttention
from rheobase.layers.conv_norm import conv_norm, neuron_conv_norm
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.spikformer import Spikformer4_384
from rheobase.models.transformer import block, growing, half, membrane_mlp, pooled_size, shared_width
from rheobase.neurons import build_neuron


class Spikingformer4_384(Spikformer4_384):
    """For 32x32 images: 8x8 tokens. `last_neuron`: a neuron before the head."""

    last_neuron: bool = False


class Spikingformer8_512(Spikingformer4_384):
    """For ImageNet: 14x14 tokens."""

    depth: PositiveInt = 8
    dim: PositiveInt = 512
    heads: PositiveInt = 8
    pools: str = Field(default="1111", pattern="^[01]{4}$")


class SpikingformerEvent(Spikingformer8_512):
    """For events of 128x128 (CIFAR10-DVS): 8x8 tokens."""

    depth: PositiveInt = 2
    dim: PositiveInt = 256
    heads: PositiveInt = 16


class SpikingformerSmall(Spikingformer4_384):
    """For sensors of 28 to 40 pixels; this project's. The last neuron gives the head spikes to read."""

    depth: PositiveInt = 1
    dim: PositiveInt = 128
    heads: PositiveInt = 4
    pools: str = Field(default="0110", pattern="^[01]{4}$")
    last_neuron: bool = True


def spikingformer(config: ModelConfig) -> SpikingModel:
    """Spikingformer: five convolutions to tokens, blocks `x + SSA(LIF(x))`, `x + MLP(LIF(x))` that add membranes.

    Every convolution but the first reads binary spikes. The published head reads the mean membrane: the features are then
    currents; with `last_neuron` they are spikes. Biases before batch-norm are left out.

    Source: Zhou et al., Spikingformer (arXiv 2304.11954) and released code; `last_neuron` is ours.
    """
    options, neuron = Spikingformer4_384.model_validate(config.options), config.neuron_config
    dim = shared_width(options.dim, config.width, options.heads)
    height, width = size = pooled_size(config.input_size, options.pools.count("1"))
    channels, *widths = *growing(dim), dim
    features = nn.Sequential()
    features.add_module("conv0", conv_norm(config.in_channels, channels, kernel=3))
    for stage, (out, pool) in enumerate(zip(widths, options.pools, strict=True), start=1):
        layer = neuron_conv_norm(channels, out, build_neuron(neuron), kernel=3, pool=half(pool == "1"))
        features.add_module(f"conv{stage}", layer)
        channels = out
    for number in range(1, options.depth + 1):
        attention = SpikingSelfAttention(
            dim,
            options.heads,
            neuron,
            tokens=height * width,
            scale=options.attention_scale,
            attention_threshold=options.attention_threshold,
            order=options.order,
            neuron_first=True,
        )
        mlp = membrane_mlp(dim, options.mlp_ratio, lambda: build_neuron(neuron))
        features.add_module(f"block{number}", block(attention, mlp))
    last = f"features.block{options.depth}"
    if options.last_neuron:
        features.add_module("neuron", build_neuron(neuron))
        last = "features.neuron"
    head = build_head(config, dim, size)
    start_linear(head, 0.02)
    return SpikingModel(config, features, head, last)
