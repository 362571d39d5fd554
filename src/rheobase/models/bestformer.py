"""BESTformer: a spiking transformer for one-bit weights, with binary attention maps, reversible residuals and two heads.

    tokenizer:  conv-BN, then 4 times [neuron, (3x3 maximum pooling by 2,) conv-BN]           currents
    block:      x2 = attention(x1) + (x0 + x1)/2;   x3 = mlp(x2) + (x1 + x2)/2;   x0, x1 := x2, x3
    logits:     (head_0(z0) + head_1(z1)) / 2,   z_i the spatial mean of x_i

The network is built with float weights, which is the full-precision twin. `quantise_` (in a recipe, `model.quantise`) with
`StandardisedSignConfig` and `edge_bits=None` makes all weights binary but those of the first convolution and of the heads.

Source: BESTformer (IJCAI 2025, arXiv 2501.05904) and released code.
"""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.layers import (
    BatchNorm2d,
    BinaryAttention,
    Concat,
    Conv2d,
    HalfResidual,
    MaxPool2d,
    PlainResidual,
    Scale,
    TwoStreams,
)
from rheobase.layers.attention.binary import BinaryOrder
from rheobase.models.heads import build_head
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.neurons import NeuronConfig, build_neuron

STAGES = (8, 4, 2, 1, 1)  # channels of the tokenizer's convolutions: D over these


class BESTformerConfig(Config):
    """Options of the family; `bestformer_small`, `bestformer_4_384` and `bestformer_8_512` differ in their defaults.

    `width`: D, which the model's own `width` scales. `pools`: stages of the tokenizer (1 to 4) that pool in front of their
    convolution. `lam`: learned factors of attention by step and head (as published; the model then needs T), by head alone (what
    an integer program holds, so the default of `bestformer_small`), or none. `reversible` off is the plain residual network;
    `two_heads` off has one head, on the last stream. `recompute`: invert in training instead of storing activations, see
    `layers.TwoStreams`.
    """

    width: int = Field(default=128, ge=8)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=8, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    pools: tuple[int, ...] = (1, 3, 4)
    order: BinaryOrder = "qk_first"
    binary_attention: bool = True
    attn_scale: float = Field(default=0.125, gt=0)
    lam: Literal["step_head", "head", "none"] = "head"
    reversible: bool = True
    recompute: bool = False
    two_heads: bool = True


class BESTformer4Config(BESTformerConfig):
    """The CIFAR model."""

    width: int = Field(default=384, ge=8)
    depth: int = Field(default=4, ge=1)
    pools: tuple[int, ...] = (3, 4)
    lam: Literal["step_head", "head", "none"] = "step_head"


class BESTformer8Config(BESTformerConfig):
    """The ImageNet model."""

    width: int = Field(default=512, ge=8)
    depth: int = Field(default=8, ge=1)
    pools: tuple[int, ...] = (1, 2, 3, 4)
    order: BinaryOrder = "kv_first"
    lam: Literal["step_head", "head", "none"] = "step_head"


class MLP(nn.Module):
    """Two 1x1 convolutions in front of which neurons fire: `BN(W2 LIF(BN(W1 LIF(x))))`.

    Shape: currents `[T, N, C, H, W]` -> currents, same.
    """

    def __init__(self, channels: int, hidden: int, neuron: NeuronConfig) -> None:
        super().__init__()
        self.neuron1 = build_neuron(neuron)
        self.conv1, self.norm1 = Conv2d(channels, hidden, 1, bias=False), BatchNorm2d(hidden)
        self.neuron2 = build_neuron(neuron)
        self.conv2, self.norm2 = Conv2d(hidden, channels, 1, bias=False), BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Currents."""
        return self.norm2(self.conv2(self.neuron2(self.norm1(self.conv1(self.neuron1(x))))))


class Features(nn.Module):
    """Tokenizer and trunk; both streams as one map, or the last alone.

    Shape: frames `[T, N, C, H, W]` -> currents `[T, N, 2 D, H', W']` (D with one head).
    """

    def __init__(self, tokenizer: nn.Sequential, trunk: TwoStreams, *, two_heads: bool) -> None:
        super().__init__()
        self.tokenizer, self.trunk = tokenizer, trunk
        self.join = Concat() if two_heads else None

    def forward(self, x: Tensor) -> Tensor:
        """Currents of the streams."""
        attended, mixed = self.trunk(self.tokenizer(x))
        return mixed if self.join is None else self.join(attended, mixed)


class TwoHeads(nn.Sequential):
    """The mean of two linear heads, each on one half of the channels, as one linear layer: `W_0 z0/2 + W_1 z1/2 + b`.

    The heads share the bias b: of two biases the mean is all that is left at inference.

    Shape: `[..., 2 D, H, W]` -> `[..., K]`.
    """

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each head: `W_i z_i + b`, whose mean `forward` gives.

        Shape: `[..., 2 D, H, W]` -> two of `[..., K]`.
        """
        z = x
        for name, layer in self.named_children():
            if name not in ("halve", "linear"):
                z = layer(z)
        linear = self.linear
        assert isinstance(linear, nn.Linear)
        parts = zip(z.chunk(2, -1), linear.weight.chunk(2, -1), strict=True)
        first, second = (F.linear(part, weight, linear.bias) for part, weight in parts)
        return first, second


class BESTformer(SpikingModel):
    """A spiking transformer whose features are currents: those of both streams, one after the other.

    Shape: x `[T, N, C, H, W]` -> logits `[T, N, K]`.
    """

    def forward_heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of each head, whose mean is `forward_head`: of the stream after the last attention, of that after the last MLP.

        Shape: features `[T, N, 2 D, H, W]` -> two of `[T, N, K]` (features `[T, N, D, H, W]` -> one).
        """
        return self.head.both(x) if isinstance(self.head, TwoHeads) else (self.head(x),)


def bestformer(config: ModelConfig) -> SpikingModel:
    """The network of a configuration; `config.options` are a `BESTformerConfig`.

    Raises:
        RecipeError: `lam` by step without T, or options that do not go together.
    """
    o = BESTformerConfig.model_validate(config.options)
    if o.lam == "step_head" and config.T is None:
        raise RecipeError(f"{config.name} learns factors by step: give T, or options lam='head' (or 'none')")
    if not set(o.pools) <= {1, 2, 3, 4}:
        raise RecipeError(f"{config.name}: pools {list(o.pools)} must be among the stages 1 to 4")
    unit = math.lcm(8, o.heads)
    channels = max(1, round(o.width * config.width / unit)) * unit
    neuron = config.neuron_config
    step = HalfResidual if o.reversible else PlainResidual
    steps = {}
    for block in range(1, o.depth + 1):
        attention = BinaryAttention(
            channels,
            o.heads,
            neuron,
            order=o.order,
            binary=o.binary_attention,
            scale=o.attn_scale,
            lam=o.lam != "none",
            T=config.T if o.lam == "step_head" else None,
        )
        steps[f"attention{block}"] = step(attention)
        steps[f"mlp{block}"] = step(MLP(channels, o.mlp_ratio * channels, neuron))
    tokenizer = _tokenizer(config.in_channels, channels, o.pools, neuron)
    features = Features(tokenizer, TwoStreams(steps, recompute=o.recompute), two_heads=o.two_heads)
    height, width = (math.ceil(size / 2 ** len(o.pools)) for size in config.input_size)
    head = build_head(config, channels * (2 if o.two_heads else 1), (height, width))
    linear = head.linear
    assert isinstance(linear, nn.Linear)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return BESTformer(config, features, _two_heads(head) if o.two_heads else head)


def _tokenizer(
    in_channels: int, channels: int, pools: tuple[int, ...], neuron: NeuronConfig
) -> nn.Sequential:
    tokenizer = nn.Sequential()
    before = in_channels
    for stage, part in enumerate(STAGES):
        if stage:
            tokenizer.add_module(f"neuron{stage}", build_neuron(neuron))
        if stage in pools:
            tokenizer.add_module(f"pool{stage}", MaxPool2d(3, stride=2, padding=1))
        tokenizer.add_module(f"conv{stage}", Conv2d(before, channels // part, 3, padding=1, bias=False))
        tokenizer.add_module(f"norm{stage}", BatchNorm2d(channels // part))
        before = channels // part
    return tokenizer


def _two_heads(head: nn.Sequential) -> TwoHeads:
    """The layers of a head with the halving of the mean in front of the linear one."""
    heads = TwoHeads()
    for name, layer in head.named_children():
        if name == "linear":
            heads.add_module("halve", Scale(0.5))
        heads.add_module(name, layer)
    return heads
