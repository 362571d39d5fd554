"""Residual networks for 32x32 images whose blocks end in a neuron, after the addition."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from rheobase.layers import BasicBlock, BatchNorm2d, Conv2d
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.neurons import build_neuron

STAGES_20 = ((128, 3, 1), (256, 3, 2), (512, 3, 2))  # channels, blocks, stride of the first block
STAGES_19 = ((128, 3, 1), (256, 3, 2), (512, 2, 2))


def resnet20(config: ModelConfig) -> SpikingModel:
    """Wide ResNet-20 of QP-SNN: a 3x3 stem of 64, three stages of three blocks, shortcuts without weights.

    17,048,906 parameters with 10 classes and 3 input channels; 32x32 ends in an 8x8 map.

    Source: Wei et al., QP-SNN (ICLR 2025, arXiv 2502.05905), appendix and released code.
    """
    return _build(config, 64, STAGES_20, "pad")


def resnet19(config: ModelConfig) -> SpikingModel:
    """ResNet-19 of Q-SNN: a 3x3 stem of 128, stages of 3, 3 and 2 blocks, 1x1 convolutions where the shape changes.

    12,569,226 parameters with 10 classes and 3 input channels; 32x32 ends in an 8x8 map.

    Source: Wei et al., Q-SNNs (ACM MM 2024, arXiv 2406.13672), released code.
    """
    model = _build(config, 128, STAGES_19, "conv")
    start_linear(model.head)
    return model


def _build(
    config: ModelConfig, stem: int, stages: Sequence[tuple[int, int, int]], shortcut: Literal["pad", "conv"]
) -> SpikingModel:
    """The network; its convolutions start as N(0, 2/n) with n = k*k*out."""
    neuron = config.neuron_config
    channels, (height, width) = config.channels(stem), config.input_size
    features = nn.Sequential()
    features.add_module("stem", Conv2d(config.in_channels, channels, 3, padding=1, bias=False))
    features.add_module("norm", BatchNorm2d(channels))
    features.add_module("neuron", build_neuron(neuron))
    for stage, (count, blocks, first_stride) in enumerate(stages, start=1):
        out = config.channels(count)
        for block in range(1, blocks + 1):
            stride = first_stride if block == 1 else 1
            features.add_module(
                f"stage{stage}_block{block}", BasicBlock(channels, out, stride, neuron, shortcut)
            )
            channels, height, width = out, -(-height // stride), -(-width // stride)
    for module in features.modules():
        if isinstance(module, Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return SpikingModel(config, features, build_head(config, channels, (height, width)))
