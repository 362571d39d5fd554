"""Meta-SpikeFormer (Spike-driven Transformer, version 2): a pyramid of convolution, then of attention blocks; membranes add."""

from collections.abc import Callable

from pydantic import Field, PositiveInt
from torch import nn

from rheobase.config import Config
from rheobase.layers import BatchNorm2d, Conv2d
from rheobase.layers.attention.driven import RepAttention
from rheobase.layers.attention.spiking import Order
from rheobase.layers.conv_norm import conv_norm, named, neuron_conv_norm
from rheobase.models.heads import build_head, start_linear
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import Residual, block, membrane_mlp, pooled_size, shared_width
from rheobase.neurons import build_neuron

Make = Callable[[], nn.Module]
Dims = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class PyramidOptions(Config):
    """Widths of the four stages, and how many attention blocks the last two have."""

    dims: Dims
    heads: PositiveInt = 8
    blocks: tuple[PositiveInt, PositiveInt] = (6, 2)
    mlp_ratio: float = Field(default=4.0, gt=0)
    order: Order = "auto"


class MetaSpikeformer8_384(PyramidOptions):
    """For ImageNet, 31.3 million parameters. `last_neuron`: a neuron before the head."""

    dims: Dims = (96, 192, 384, 480)
    attention_scale: float = Field(default=0.125, gt=0)
    attention_threshold: float = Field(default=0.5, gt=0)
    last_neuron: bool = False


class MetaSpikeformer8_512(MetaSpikeformer8_384):
    """For ImageNet, 55.4 million parameters."""

    dims: Dims = (128, 256, 512, 640)


class MetaSpikeformer8_256(MetaSpikeformer8_384):
    """For ImageNet, 15.1 million parameters."""

    dims: Dims = (64, 128, 256, 360)


class MetaSpikeformerSmall(MetaSpikeformer8_384):
    """For small sensors; this project's. The last neuron gives the head spikes to read."""

    dims: Dims = (16, 32, 64, 96)
    blocks: tuple[PositiveInt, PositiveInt] = (2, 1)
    last_neuron: bool = True


def meta_spikeformer(config: ModelConfig) -> SpikingModel:
    """Meta-SpikeFormer: the map is halved four times; attention works on a sixteenth of the size.

    The published head reads the mean membrane: the features are then currents; with `last_neuron` they are spikes. Biases before
    batch-norm are left out.

    Source: Yao et al., Meta-SpikeFormer (ICLR 2024, arXiv 2404.03663) and released code; `last_neuron` is ours.
    """
    options, neuron = MetaSpikeformer8_384.model_validate(config.options), config.neuron_config

    def fire() -> nn.Module:
        return build_neuron(neuron)

    def attend(dim: int, tokens: int) -> nn.Module:
        attention = RepAttention(
            dim,
            options.heads,
            neuron,
            tokens=tokens,
            scale=options.attention_scale,
            attention_threshold=options.attention_threshold,
            order=options.order,
        )
        return block(attention, membrane_mlp(dim, options.mlp_ratio, fire))

    features, dim = pyramid(
        config, options, fire, lambda dim: conv_block(dim, separable(dim, fire), fire), attend
    )
    size, last = pooled_size(config.input_size, 4), f"features.block4_{options.blocks[1]}"
    if options.last_neuron:
        features.add_module("neuron", fire())
        last = "features.neuron"
    head = build_head(config, dim, size)
    start_linear(head, 0.02)
    return SpikingModel(config, features, head, last)


def pyramid(
    config: ModelConfig,
    options: PyramidOptions,
    fire: Make,
    convolve: Callable[[int], nn.Module],
    attend: Callable[[int, int], nn.Module],
    widen: Callable[[int, int, int], nn.Module] | None = None,
) -> tuple[nn.Sequential, int]:
    """The skeleton of versions 2 and 3, and its last width.

        7x7 s2 (D1/2), conv;  3x3 s2 (D1), conv;  3x3 s2 (D2), conv, conv;  3x3 s2 (D3), 6 blocks;  3x3 s1 (D4), 2 blocks

    `convolve(dim)` makes a convolution block, `attend(dim, tokens)` an attention block, `widen(before, after, stride)` a step
    between stages (default: a neuron, a 3x3 convolution, batch-norm); currents go from one to the next.
    """
    if widen is None:

        def widen(before: int, after: int, stride: int) -> nn.Module:
            return neuron_conv_norm(before, after, fire(), kernel=3, stride=stride)

    first, second = (config.channels(dim) for dim in options.dims[:2])
    third, fourth = (shared_width(dim, config.width, options.heads) for dim in options.dims[2:])
    start = max(1, first // 2)
    height, width = pooled_size(config.input_size, 4)
    features = named(
        down1=conv_norm(config.in_channels, start, kernel=7, stride=2),
        conv1=convolve(start),
        down2=widen(start, first, 2),
        conv2=convolve(first),
        down3=widen(first, second, 2),
        conv3_1=convolve(second),
        conv3_2=convolve(second),
    )
    before = second
    for stage, (dim, count) in enumerate(zip((third, fourth), options.blocks, strict=True), start=3):
        features.add_module(f"down{stage + 1}", widen(before, dim, 2 if stage == 3 else 1))
        for number in range(1, count + 1):
            features.add_module(f"block{stage}_{number}", attend(dim, height * width))
        before = dim
    return features, before


def separable(dim: int, fire: Make) -> nn.Sequential:
    """LIF, 1x1 to twice the width, batch-norm, LIF, depthwise 7x7, 1x1 back, batch-norm."""
    wide = 2 * dim
    return named(
        widen=neuron_conv_norm(dim, wide, fire()),
        neuron=fire(),
        depthwise=Conv2d(wide, wide, 7, padding=3, groups=wide, bias=False),
        conv=Conv2d(wide, dim, 1, bias=False),
        norm=BatchNorm2d(dim),
    )


def conv_block(dim: int, separable: nn.Module, fire: Make) -> nn.Sequential:
    """`x + separable(x)`, then plus two 3x3 convolutions with four times the width between them."""
    convolutions = named(
        up=neuron_conv_norm(dim, 4 * dim, fire(), kernel=3),
        down=neuron_conv_norm(4 * dim, dim, fire(), kernel=3),
    )
    return named(separable=Residual(separable), convolutions=Residual(convolutions))
