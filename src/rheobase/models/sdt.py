"""Spike-driven Transformer (version 1): attention that masks channels, shortcuts that add membranes."""

from pydantic import Field, PositiveInt

from rheobase.layers import GlobalAvgPool2d
from rheobase.layers.attention.driven import Erode, MaskedAttention
from rheobase.layers.conv_norm import conv_norm, neuron_conv_norm
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import (
    Residual,
    StackOptions,
    block,
    growing,
    half,
    membrane_mlp,
    shared_width,
    spike_tokens,
)
from rheobase.neurons import build_neuron


class SDT2_512(StackOptions):
    """For 32x32 images: 8x8 tokens."""

    depth: PositiveInt = 2
    dim: PositiveInt = 512
    heads: PositiveInt = 8
    erode: Erode = "off"


class SDT8_384(SDT2_512):
    """For ImageNet: 14x14 tokens."""

    depth: PositiveInt = 8
    dim: PositiveInt = 384
    pools: str = Field(default="1111", pattern="^[01]{4}$")


class SDT8_512(SDT8_384):
    """For ImageNet, wider."""

    dim: PositiveInt = 512


class SDTEvent(SDT2_512):
    """For events of 64x64 (CIFAR10-DVS): 16x16 tokens. DVS-Gesture of 128x128 takes `pools="0111"`."""

    dim: PositiveInt = 256
    erode: Erode = "tokens"


class SDTSmall(SDT2_512):
    """For sensors of 28 to 40 pixels; this project's. Only spikes are pooled."""

    depth: PositiveInt = 1
    dim: PositiveInt = 128
    heads: PositiveInt = 4
    pools: str = Field(default="0110", pattern="^[01]{4}$")


def sdt(config: ModelConfig) -> SpikingModel:
    """Spike-driven Transformer: Q K^T is never formed, and every convolution but the first reads binary spikes.

    The tokeniser's first three stages pool spikes, the fourth pools currents, which the blocks add to. The mean over space goes
    through a last neuron: the features are its spikes, on one pixel. Biases before batch-norm are left out.

    Source: Yao et al., Spike-driven Transformer (NeurIPS 2023, arXiv 2307.01694) and released code.
    """
    options, neuron = SDT2_512.model_validate(config.options), config.neuron_config
    dim = shared_width(options.dim, config.width, options.heads)
    *widths, last = growing(dim)
    features = spike_tokens(config.in_channels, widths, options.pools[:3], neuron)
    pool = half(options.pools[3] == "1")
    features.add_module("conv4", conv_norm(widths[-1], last, kernel=3, pool=pool))
    features.add_module("position", Residual(neuron_conv_norm(dim, dim, build_neuron(neuron), kernel=3)))
    for number in range(1, options.depth + 1):
        attention = MaskedAttention(
            dim,
            options.heads,
            neuron,
            attention_threshold=options.attention_threshold,
            erode=options.erode,
        )
        mlp = membrane_mlp(dim, options.mlp_ratio, lambda: build_neuron(neuron))
        features.add_module(f"block{number}", block(attention, mlp))
    features.add_module("pool", GlobalAvgPool2d())
    features.add_module("neuron", build_neuron(neuron))
    head = build_head(config, dim, (1, 1))
    start_linear(head, 0.02)
    return SpikingModel(config, features, head)
