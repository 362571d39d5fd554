"""SNN-ViT: a patch embedding that sees near and far (GL-SPS), then blocks of saccadic attention and a perceptron.

    x = GL-SPS(frames)
    x = x + SSSA(LIF(x));  x = x + MLP(LIF(x))      (`residual: membrane`: currents are added)
    logits = head(LIF(x))

No code of the authors is public. Their papers' summaries give the blocks, the two branches of the embedding and the numbers of
parameters of each size; widths, depths, heads and everything marked so in docs/methods/snn-vit.md are a reconstruction.

Source: "Spiking Vision Transformer with Saccadic Attention", ICLR 2025, arXiv 2502.12677.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, Conv2d, MaxPool2d, SpikingSelfAttention
from rheobase.layers.attention.saccadic import (
    MemoryGate,
    Mode,
    SaccadicSelfAttention,
    SalienceNorm,
)
from rheobase.layers.conv_norm import named
from rheobase.models.heads import build_head
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.transformer import Residual
from rheobase.neurons import NeuronConfig, build_neuron
from rheobase.neurons.saccadic import SaccadicConfig

Addends = Literal["membrane", "spike"]
Down = Literal["none", "pool", "stride"]
STAGES = 4
PARTS = (8, 4, 2, 1)  # channels of the stages: dim/8, dim/4, dim/2, dim


class SNNViTOptions(Config):
    """What SNN-ViT leaves open; the sizes are subclasses with other defaults.

    `dim`: channels of the tokens at width 1. `mlp_ratio`: hidden over outer channels. `attention`: the network of the paper, or
    the same one with spiking self-attention. `mode`, `salience_norm`, `memory_gate`, `saccadic`: see `SaccadicSelfAttention`.
    `residual`: currents (LIF before the weights) or spikes are added. `gl_dilation`: of the far branch of every stage of the
    embedding, or of each; null: no far branch. `down`: how each stage halves its map: not, by a 3x3 max-pool of its spikes, or
    by the stride of its convolutions. `rpe`: a 3x3 convolution behind the embedding, for relative positions.
    """

    dim: int = Field(default=128, ge=8, multiple_of=8)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=8, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    attention: Literal["saccadic", "spiking"] = "saccadic"
    mode: Mode = "v2a"
    salience_norm: SalienceNorm = "rate"
    memory_gate: MemoryGate = "saccadic"
    saccadic: SaccadicConfig = SaccadicConfig()
    residual: Addends = "membrane"
    gl_dilation: int | list[int] | None = 2
    down: list[Down] = Field(default=["pool", "pool", "none", "none"], min_length=STAGES, max_length=STAGES)
    rpe: bool = False


class SmallOptions(SNNViTOptions):
    """For sensors of some 34x34: 81 tokens."""


class CIFAROptions(SNNViTOptions):
    """For 32x32 images: 64 tokens."""

    dim: int = Field(default=384, ge=8, multiple_of=8)
    heads: int = Field(default=12, ge=1)
    down: list[Down] = Field(default=["none", "none", "pool", "stride"], min_length=STAGES, max_length=STAGES)


class DVSOptions(SNNViTOptions):
    """For sensors of 128x128: 64 tokens."""

    dim: int = Field(default=256, ge=8, multiple_of=8)
    depth: int = Field(default=1, ge=1)
    heads: int = Field(default=16, ge=1)
    down: list[Down] = Field(default=["pool", "pool", "pool", "stride"], min_length=STAGES, max_length=STAGES)


class NearAndFar(nn.Module):
    """Two convolutions of one map, added: 3x3 neighbours, and neighbours `dilation` pixels away.

        y = BN(conv3x3(x)) + BN(conv3x3(x, dilation))

    Without `dilation` the second is left out.

    Shape: `[T, N, C, H, W]` -> currents `[T, N, C_out, ceil(H / stride), ceil(W / stride)]`.
    Source: GL-SPS of SNN-ViT, ICLR 2025, arXiv 2502.12677; one stage as rebuilt from summaries.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, dilation: int | None) -> None:
        super().__init__()
        self.near = Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.near_norm = BatchNorm2d(out_channels)
        self.has_far = dilation is not None
        if dilation is not None:
            self.far = Conv2d(
                in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False
            )
            self.far_norm = BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Currents of both."""
        near = self.near_norm(self.near(x))
        return near + self.far_norm(self.far(x)) if self.has_far else near


def snn_vit_small(config: ModelConfig) -> SpikingModel:
    """SNN-ViT for 34x34 event frames: 128 channels, two blocks, 594,000 parameters; ours, no size of the paper.

    Source: see the module's docstring.
    """
    return _build(config, SmallOptions)


def snn_vit_cifar(config: ModelConfig) -> SpikingModel:
    """SNN-ViT for CIFAR: 384 channels, two blocks, 5.3 M parameters (the paper: 5.57 M, dimensions unknown).

    Source: see the module's docstring.
    """
    return _build(config, CIFAROptions)


def snn_vit_dvs(config: ModelConfig) -> SpikingModel:
    """SNN-ViT for CIFAR10-DVS: 256 channels, one block, 1.57 M parameters (the paper: 1.52 M, dimensions unknown).

    Source: see the module's docstring.
    """
    return _build(config, DVSOptions)


def _build(config: ModelConfig, options_of: type[SNNViTOptions]) -> SpikingModel:
    options, neuron = options_of.model_validate(config.options), config.neuron_config
    _check(config, options)
    dilations = (
        options.gl_dilation if isinstance(options.gl_dilation, list) else STAGES * [options.gl_dilation]
    )
    channels, (height, width) = config.in_channels, config.input_size
    features = nn.Sequential()
    for stage, (part, down, dilation) in enumerate(zip(PARTS, options.down, dilations, strict=True), start=1):
        out, stride = config.channels(options.dim // part), 2 if down == "stride" else 1
        features.add_module(f"stage{stage}", NearAndFar(channels, out, stride, dilation))
        if stage < STAGES or options.residual == "spike":
            features.add_module(f"neuron{stage}", build_neuron(neuron))
        if down == "pool":
            features.add_module(f"pool{stage}", MaxPool2d(3, 2, 1))
        channels = out
        if down != "none":
            height, width = -(-height // 2), -(-width // 2)
    if options.rpe:
        positions = nn.Sequential(Conv2d(channels, channels, 3, padding=1, bias=False), BatchNorm2d(channels))
        features.add_module("rpe", _residual(positions, neuron, options.residual))
    for block in range(1, options.depth + 1):
        branches = {
            "attention": _attention(config, options, channels, height * width),
            "mlp": _residual(_mlp(channels, options.mlp_ratio * channels, neuron), neuron, options.residual),
        }
        for name, branch in branches.items():
            features.add_module(f"block{block}_{name}", branch)
    if options.residual == "membrane":
        features.add_module("neuron", build_neuron(neuron))
    return SpikingModel(config, features, build_head(config, channels, (height, width)))


def _check(config: ModelConfig, options: SNNViTOptions) -> None:
    if isinstance(options.gl_dilation, list) and len(options.gl_dilation) != STAGES:
        raise RecipeError(
            f"{config.name}: gl_dilation is one number for all {STAGES} stages of the embedding or a list of {STAGES}, got "
            f"{options.gl_dilation}"
        )
    if options.residual == "membrane" and options.down[-1] == "pool":
        raise RecipeError(
            f"{config.name}: the last stage of the embedding gives currents (residual: membrane), which cannot be pooled as "
            "spikes are; give down[3] = 'stride', or residual = 'spike'"
        )


def _attention(config: ModelConfig, options: SNNViTOptions, channels: int, tokens: int) -> nn.Module:
    neuron = config.neuron_config
    if options.attention == "spiking":
        first = options.residual == "membrane"
        return Residual(
            SpikingSelfAttention(channels, options.heads, neuron, tokens=tokens, neuron_first=first)
        )
    if config.T is None:
        raise RecipeError(
            f"{config.name} has parameters by time step and must know how many there are: give T, the number of frames of a "
            'recording (create_model(..., T=4)), or options={"attention": "spiking"}, which takes any number'
        )
    saccadic = SaccadicSelfAttention(
        channels,
        options.heads,
        config.T,
        neuron,
        tokens=tokens,
        mode=options.mode,
        salience_norm=options.salience_norm,
        memory_gate=options.memory_gate,
        saccadic=options.saccadic,
    )
    return _residual(saccadic, neuron, options.residual)


def _residual(branch: nn.Module, neuron: NeuronConfig, addends: Addends) -> Residual:
    """`x + branch(LIF(x))`, a sum of currents (`membrane`), or `x + LIF(branch(x))`, a sum of spikes (`spike`)."""
    fires = build_neuron(neuron)
    return Residual(
        named(neuron=fires, sum=branch) if addends == "membrane" else named(sum=branch, neuron=fires)
    )


def _mlp(channels: int, hidden: int, neuron: NeuronConfig) -> nn.Sequential:
    """`BN(conv1x1(LIF(BN(conv1x1(x)))))`: spikes to currents."""
    mlp = nn.Sequential()
    mlp.add_module("conv1", Conv2d(channels, hidden, 1, bias=False))
    mlp.add_module("norm1", BatchNorm2d(hidden))
    mlp.add_module("neuron", build_neuron(neuron))
    mlp.add_module("conv2", Conv2d(hidden, channels, 1, bias=False))
    mlp.add_module("norm2", BatchNorm2d(channels))
    return mlp
