"""Spike-driven Transformer, version 3: the pyramid of version 2 with integers in training and binary spikes at inference."""

from pydantic import PositiveInt
from torch import nn

from rheobase.layers import GlobalAvgPool2d
from rheobase.layers.attention.driven import WideAttention
from rheobase.layers.conv_norm import named, neuron_conv_norm
from rheobase.layers.spike_firing import SpikeFiring
from rheobase.models.heads import build_head, start_linear
from rheobase.models.meta_spikeformer import Dims, Make, PyramidOptions, conv_block, pyramid
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import Residual, membrane_mlp


class SDTV3S(PyramidOptions):
    """For ImageNet, 5.1 million parameters. `levels` is the largest integer that a neuron fires."""

    dims: Dims = (32, 64, 128, 192)
    levels: PositiveInt = 4


class SDTV3M(SDTV3S):
    """For ImageNet, 10.0 million parameters."""

    dims: Dims = (48, 96, 192, 240)


class SDTV3L(SDTV3S):
    """For ImageNet, 19.0 million parameters."""

    dims: Dims = (64, 128, 256, 360)


class SDTV3Small(SDTV3S):
    """For small sensors; this project's."""

    dims: Dims = (16, 32, 64, 96)
    blocks: tuple[PositiveInt, PositiveInt] = (2, 1)


def sdt_v3(config: ModelConfig) -> SpikingModel:
    """Spike-driven Transformer V3 (E-SpikeFormer): neurons that fire integers 0..4 without a membrane (`layers.SpikeFiring`).

    The features are the integers of the last one, of the mean over space. `config.neuron` is not read: time steps do not depend
    on each other. Biases before batch-norm are left out.

    Source: Yao et al., Scaling Spike-driven Transformer (arXiv 2411.16061) and released code.
    """
    options = SDTV3S.model_validate(config.options)
    _ = config.neuron_config  # an unknown preset is refused here as everywhere

    def fire() -> nn.Module:
        return SpikeFiring(options.levels)

    def convolve(dim: int) -> nn.Module:
        return conv_block(dim, spiking_separable(dim, 7, fire), fire)

    def attend(dim: int, tokens: int) -> nn.Module:
        return named(
            separable=Residual(spiking_separable(dim, 3, fire)),
            attention=Residual(
                WideAttention(dim, options.heads, levels=options.levels, tokens=tokens, order=options.order)
            ),
            mlp=Residual(membrane_mlp(dim, options.mlp_ratio, fire)),
        )

    features, dim = pyramid(config, options, fire, convolve, attend)
    features.add_module("pool", GlobalAvgPool2d())
    features.add_module("neuron", SpikeFiring(options.levels, norm=1))
    head = build_head(config, dim, (1, 1))
    start_linear(head, 0.02)
    return SpikingModel(config, features, head, "features.neuron")


def spiking_separable(dim: int, kernel: int, fire: Make) -> nn.Sequential:
    """1x1 to twice the width, depthwise, 1x1 back: each behind a neuron and before a batch-norm."""
    wide = 2 * dim
    return named(
        widen=neuron_conv_norm(dim, wide, fire()),
        depthwise=neuron_conv_norm(wide, wide, fire(), kernel=kernel, groups=wide),
        narrow=neuron_conv_norm(wide, dim, fire()),
    )
