"""The VGG family: convolution, batch-norm, neuron, again and again, with pooling between.

A network is a string of layers: `64C3` is a 3x3 convolution to 64 channels with batch-norm and neuron, `AP2`
average and `MP2` maximum pooling by 2. A final `AP2` is linear and therefore belongs to the head.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from rheobase.errors import RecipeError
from rheobase.layers import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.neurons import build_neuron

VGG9 = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-AP2"
VGG11 = "64C3-AP2-128C3-AP2-256C3-256C3-AP2-512C3-512C3-512C3-512C3"
VGG16 = "64C3-64C3-MP2-128C3-128C3-MP2-256C3-256C3-256C3-MP2-512C3-512C3-512C3-MP2-512C3-512C3-512C3-AP2"
VGG_SMALL = "16C3-AP2-32C3-AP2-64C3-AP2-64C3"
VGG_TINY = "AP2-12C3-AP2-24C3-AP2-48C3"

POOLS = {"AP2": AvgPool2d, "MP2": MaxPool2d}


@dataclass(frozen=True)
class VGG:
    """A layer string and how its convolutions and batch-norms start.

    `init`: `torch` keeps torch's; `he_fan_out` draws weights from N(0, 2/n) with n = k*k*out.
    `threshold_gain`: batch-norm weights start at the threshold (tdBN), else at 1. `zero_bias`: convolution
    biases start at 0. `linear_std`: the linear layer's weights start as N(0, linear_std^2), its biases at 0.
    """

    layers: str
    conv_bias: bool = False
    init: Literal["torch", "he_fan_out"] = "torch"
    threshold_gain: bool = False
    zero_bias: bool = False
    linear_std: float | None = None

    def build(self, config: ModelConfig) -> SpikingModel:
        """The network of this string.

        Raises:
            RecipeError: the input is too small for the poolings.
        """
        tokens = self.layers.split("-")
        last_pool = tokens[-1] == "AP2"
        body = tokens[:-1] if last_pool else tokens
        needed = 2 ** (sum(token in POOLS for token in body) + (last_pool and config.head == "flatten"))
        if min(config.input_size) < needed:
            raise RecipeError(
                f"{config.name} with head {config.head!r} needs an input of at least {needed} x {needed}, "
                f"got {config.input_size[0]} x {config.input_size[1]}: use larger frames "
                "or a model with fewer poolings"
            )
        features = nn.Sequential()
        channels, (height, width) = config.in_channels, config.input_size
        depth = 0
        for token in body:
            if token in POOLS:
                features.add_module(f"pool{depth}", POOLS[token](2))
                height, width = height // 2, width // 2
                continue
            depth += 1
            out = config.channels(int(token.removesuffix("C3")))
            features.add_module(f"conv{depth}", Conv2d(channels, out, 3, padding=1, bias=self.conv_bias))
            features.add_module(f"norm{depth}", BatchNorm2d(out))
            features.add_module(f"neuron{depth}", build_neuron(config.neuron_config))
            channels = out
        self._initialise(features, config)
        head = build_head(config, channels, (height, width), last_pool)
        if self.linear_std is not None:
            start_linear(head, self.linear_std)
        return SpikingModel(config, features, head)

    def _initialise(self, features: nn.Sequential, config: ModelConfig) -> None:
        for module in features:
            if isinstance(module, Conv2d):
                if self.init == "he_fan_out":
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if self.zero_bias and module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, BatchNorm2d) and self.threshold_gain:
                nn.init.constant_(module.weight, config.neuron_config.v_threshold)


def vgg9(config: ModelConfig) -> SpikingModel:
    """VGG-9 of the event-camera literature: 8 convolutions and one linear layer; 48x48 ends in a 3x3 map.

    9,268,746 parameters with 10 classes at 48x48 (head `flatten`).

    Source: Ding et al., Stable Spike (CVPR 2026); layer string and head are reconstructed.
    """
    return VGG(VGG9).build(config)


def vggsnn(config: ModelConfig) -> SpikingModel:
    """VGGSNN: the string of VGG-9 with convolution biases and Kaiming initialisation by fan-out.

    9,271,498 parameters with 10 classes at 48x48 (head `flatten`).

    Source: Deng et al., temporal efficient training (ICLR 2022), released code.
    """
    return VGG(VGG9, conv_bias=True, init="he_fan_out").build(config)


def vgg11(config: ModelConfig) -> SpikingModel:
    """VGG-11 of neuromorphic data augmentation: 8 convolutions, tdBN, global pooling, one linear layer.

    9,230,538 parameters with 10 classes.

    Source: Li et al., neuromorphic data augmentation (ECCV 2022), released code.
    """
    return VGG(VGG11, conv_bias=True, init="he_fan_out", threshold_gain=True, zero_bias=True).build(config)


def vgg16(config: ModelConfig) -> SpikingModel:
    """VGG-16 of QP-SNN for 32x32 images: 13 convolutions, maximum pooling of spikes (the OR of a window), one linear layer.

    14,724,042 parameters with 10 classes and 3 input channels. At 32x32 the head `gap` is the paper's average pooling
    of a 2x2 map; its 64x64 network, with a linear layer on 2,048 values, is the head `flatten`. Batch-norm makes the
    bias that the paper's first convolution has inert: it is left out.

    Source: Wei et al., QP-SNN (ICLR 2025, arXiv 2502.05905), appendix and released code.
    """
    return VGG(VGG16, init="he_fan_out", linear_std=0.01).build(config)


def vgg16_avg(config: ModelConfig) -> SpikingModel:
    """`vgg16` with average pooling throughout, as many parameters: the form that hardens to sums of spikes.

    Source: the pooling is ours; the rest is that of `vgg16`.
    """
    return VGG(VGG16.replace("MP2", "AP2"), init="he_fan_out", linear_std=0.01).build(config)


def vgg_small(config: ModelConfig) -> SpikingModel:
    """A small VGG (16-32-64-64) for sensors of 16 to 40 pixels and for microcontrollers.

    71,819 parameters with 11 classes at 32x32.

    Source: ours; the network of this project's reference measurements.
    """
    return VGG(VGG_SMALL).build(config)


def vgg_tiny(config: ModelConfig) -> SpikingModel:
    """A VGG (12-24-48) that pools its frames first: for microcontrollers with 16 kB of memory for data.

    21,106 parameters with 10 classes at 34x34. The largest map, 12 channels of 17x17, is what its memory is spent on; with
    membranes of 4 bits and weights of 4 bits it needs least.

    Source: ours.
    """
    return VGG(VGG_TINY).build(config)
