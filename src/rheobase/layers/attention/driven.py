"""Spike-driven self-attention (SDSA), versions 1 to 3: for residual streams of membranes, so all begin with a neuron and end in a
batch-norm.

    s = LIF(x);  Q, K, V = LIF(BN(W_q s)), LIF(BN(W_k s)), LIF(BN(W_v s))
    v1:  g[i] = LIF_A(sum_l K[l, i] V[l, i]),   A[l, i] = g[i] Q[l, i]         a mask of channels: O(L d), no product of matrices
    v2:  A = LIF_A(scale * Q (K^T V)),          W are `RepConv`
    v3:  A = SFA(scale * Q (K^T V)),            SFA for LIF everywhere, V four times as wide, scale = 2 / sqrt(d)
    y = BN(W_out A)

`erode` (v1 on events) is a maximum over 3x3 with stride 1 of K, V, K V and the output: spikes spread to their neighbours.

Sources: Yao et al., Spike-driven Transformer, NeurIPS 2023, arXiv 2307.01694 (v1); Meta-SpikeFormer, ICLR 2024, arXiv 2404.03663
(v2); Scaling Spike-driven Transformer, TPAMI 2025, arXiv 2411.16061 (v3); released code.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from rheobase.layers.attention.spiking import (
    AttentionProducts,
    Order,
    attention_neuron,
    check_heads,
    resolve_order,
)
from rheobase.layers.conv_norm import conv_norm, named
from rheobase.layers.spike_firing import SpikeFiring
from rheobase.layers.tokens import Gate, MapSum, heads_of, map_of
from rheobase.layers.torch_layers import BatchNorm2d, Conv2d, MaxPool2d
from rheobase.neurons import NeuronConfig, build_neuron

Erode = Literal["off", "spatial", "tokens"]


def masked_attention(q: Tensor, k: Tensor, v: Tensor, fire: Callable[[Tensor], Tensor]) -> Tensor:
    """SDSA v1 between the projections, `A = g Q` with `g = fire(sum_l K V)`.

    Shape: q, k, v `[T, N, heads, L, d]`; fire `[T, N, heads, 1, d]` -> same -> `[T, N, heads, L, d]`.
    """
    return fire((k * v).sum(-2, keepdim=True)) * q


class TokenErode(nn.Module):
    """Maximum over 3x3 of the matrix of tokens by entries of each head, stride 1.

        Y[l, i] = max X[l + a, i + b],  a, b in -1..1          (what lies outside is left out)

    Neighbours are those in the order of the tokens, and entries of one head; this is the axis that the released code of v1
    takes for K V and for the output.

    Shape: `[..., C, H, W]` -> same.
    """

    kernel = 3

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Spread."""
        tokens = heads_of(x, self.heads)
        spread = functional.max_pool2d(tokens.flatten(0, -4), self.kernel, stride=1, padding=self.kernel // 2)
        return map_of(spread.reshape(tokens.shape), (x.shape[-2], x.shape[-1]))

    def extra_repr(self) -> str:
        """Number of heads."""
        return f"heads={self.heads}"


class MaskedAttention(nn.Module):
    """SDSA v1: keys and values that fire together, summed over tokens, decide which channels of the queries pass.

    `erode`: `off`; `spatial` spreads K, V, K V and the output over the pixels; `tokens` spreads the last two over tokens and
    channels, as the released code does on events.

    Shape: currents `[T, N, C, H, W]` -> currents `[T, N, C, H, W]`.
    Raises:
        RecipeError: the heads do not divide the width.
    Source: Yao et al., NeurIPS 2023, arXiv 2307.01694, eq. 8-10.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        neuron: NeuronConfig,
        *,
        attention_threshold: float = 0.5,
        erode: Erode = "off",
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.neuron = build_neuron(neuron)
        self.q = conv_norm(width, width, neuron)
        self.k, self.v = (
            named(spikes=conv_norm(width, width, neuron), erode=_spread(erode)) for _ in range(2)
        )
        self.product = Gate()
        self.product_erode = _spread_product(erode, heads)
        self.sum = MapSum()
        self.attention_neuron = attention_neuron(neuron, attention_threshold)
        self.gate = Gate()
        self.gate_erode = _spread_product(erode, heads)
        self.out = conv_norm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Queries of the channels that pass, projected."""
        x = self.neuron(x)
        q, k, v = self.q(x), self.k(x), self.v(x)
        gate = self.attention_neuron(self.sum(self.product_erode(self.product(k, v))))
        return self.out(self.gate_erode(self.gate(gate, q)))


def _spread(erode: Erode) -> nn.Module | None:
    return None if erode == "off" else MaxPool2d(3, stride=1, padding=1)


def _spread_product(erode: Erode, heads: int) -> nn.Module:
    if erode == "tokens":
        return TokenErode(heads)
    return _spread(erode) or nn.Identity()


class RepConv(nn.Sequential):
    """A 3x3 convolution in parts without a neuron between them: 1x1, batch-norm, depthwise 3x3, 1x1, batch-norm.

    The first convolution pads, so that the border which the 3x3 reads is what batch-norm makes of zero, as at inference in the
    released code (which leaves that border out of the training statistics, and has another batch-norm behind).

    Shape: `[T, N, C, H, W]` -> `[T, N, C, H, W]`.
    Source: Yao et al., Meta-SpikeFormer, ICLR 2024, arXiv 2404.03663, released code.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(width, width, 1, padding=1, bias=False)
        self.norm1 = BatchNorm2d(width)
        self.depthwise = Conv2d(width, width, 3, groups=width, bias=False)
        self.conv2 = Conv2d(width, width, 1, bias=False)
        self.norm2 = BatchNorm2d(width)


class RepAttention(nn.Module):
    """SDSA v2: products of queries, keys and values that come from `RepConv`.

    Shape: currents `[T, N, C, H, W]` -> currents `[T, N, C, H, W]`.
    Raises:
        RecipeError: as `SpikingSelfAttention`.
    Source: Yao et al., Meta-SpikeFormer, ICLR 2024, arXiv 2404.03663, fig. 2 (SDSA-3) and released code.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        neuron: NeuronConfig,
        *,
        tokens: int | None = None,
        scale: float = 0.125,
        attention_threshold: float = 0.5,
        order: Order = "auto",
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.neuron = build_neuron(neuron)
        self.q, self.k, self.v = (named(rep=RepConv(width), neuron=build_neuron(neuron)) for _ in range(3))
        self.products = AttentionProducts(heads, scale, resolve_order(order, tokens, width // heads))
        self.attention_neuron = attention_neuron(neuron, attention_threshold)
        self.out = RepConv(width)

    def forward(self, x: Tensor) -> Tensor:
        """What the tokens say to each other."""
        x = self.neuron(x)
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.out(self.attention_neuron(self.products(q, k, v)))


class WideAttention(nn.Module):
    """SDSA v3: as v2, with 1x1 convolutions, neurons that fire integers, and values `expansion` times as wide as the queries.

    Shape: currents `[T, N, C, H, W]` -> currents `[T, N, C, H, W]`.
    Raises:
        RecipeError: as `SpikingSelfAttention`.
    Source: Yao et al., arXiv 2411.16061, section 4 and released code (scale 2 / sqrt(d)).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        levels: int = 4,
        tokens: int | None = None,
        expansion: int = 4,
        order: Order = "auto",
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        d, wide = width // heads, expansion * width
        self.neuron = SpikeFiring(levels)
        self.q, self.k, self.v = (
            named(project=conv_norm(width, outputs), neuron=SpikeFiring(levels))
            for outputs in (width, width, wide)
        )
        self.products = AttentionProducts(heads, 2 * d**-0.5, resolve_order(order, tokens, d))
        self.attention_neuron = SpikeFiring(levels)
        self.out = conv_norm(wide, width)

    def forward(self, x: Tensor) -> Tensor:
        """What the tokens say to each other."""
        x = self.neuron(x)
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.out(self.attention_neuron(self.products(q, k, v)))
