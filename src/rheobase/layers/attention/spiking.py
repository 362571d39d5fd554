"""Spiking self-attention (SSA): queries, keys and values of spikes, multiplied without softmax.

    Q, K, V = LIF(BN(W_q x)), LIF(BN(W_k x)), LIF(BN(W_v x))
    A = LIF_A(scale * Q (K^T V)) = LIF_A(scale * (Q K^T) V)
    y = LIF(BN(W_out A))

Spikes are not negative, so the products need no softmax; without it they associate, and the cheaper order
can be chosen: `2 L d^2` multiply-adds a head (linear in the number of tokens L) against `2 L^2 d` (quadratic).

Source: Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023, arXiv 2209.15425,
eq. 5-8 and released code (scale 0.125, threshold 0.5 after the products).
"""

from typing import Literal

from torch import Tensor, nn

from rheobase.errors import RecipeError, unknown
from rheobase.layers.conv_norm import conv_norm
from rheobase.layers.tokens import HeadMatMul, Scale
from rheobase.neurons import NeuronConfig, build_neuron

Order = Literal["auto", "linear", "quadratic"]
ORDERS: tuple[Order, ...] = ("auto", "linear", "quadratic")


def choose_order(tokens: int, width: int) -> Literal["linear", "quadratic"]:
    """The cheaper order for L tokens and heads of width d: `linear`, unless there are fewer tokens than width."""
    return "linear" if tokens >= width else "quadratic"


def spike_attention(q: Tensor, k: Tensor, v: Tensor, scale: float, order: Order = "auto") -> Tensor:
    """`scale * Q (K^T V)` (`linear`) or `scale * (Q K^T) V` (`quadratic`); `auto` takes the cheaper.

    With spikes and a scale that is a power of two both orders give the same numbers, not nearly the same: all
    sums are of small integers.

    Shape: q, k `[..., L, d]`, v `[..., L, e]` -> `[..., L, e]`.
    Raises:
        RecipeError: no such order.
    """
    if order not in ORDERS:
        raise RecipeError(unknown("order of attention", order, ORDERS))
    if (choose_order(*q.shape[-2:]) if order == "auto" else order) == "linear":
        return q @ (k.transpose(-2, -1) @ v * scale)  # the smallest tensor is what is scaled
    return (q @ k.transpose(-2, -1) * scale) @ v


class AttentionProducts(nn.Module):
    """`spike_attention` of maps, in one order: two products of heads, then the scale.

    Shape: q, k `[..., C, H, W]`, v `[..., E, H, W]` -> `[..., E, H, W]`.
    Raises:
        RecipeError: no such order.
    """

    def __init__(self, heads: int, scale: float, order: Literal["linear", "quadratic"]) -> None:
        super().__init__()
        if order not in ORDERS[1:]:
            raise RecipeError(unknown("order of attention", order, ORDERS[1:]))
        self.order = order
        self.first = HeadMatMul(heads, "first" if order == "linear" else "second")
        self.second = HeadMatMul(heads)
        self.scale = Scale(scale)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Multiply."""
        if self.order == "linear":
            return self.scale(self.second(q, self.first(k, v)))
        return self.scale(self.second(self.first(q, k), v))


class SpikingSelfAttention(nn.Module):
    """Spiking self-attention over the pixels of a map; see the module's docstring for the equations.

    `neuron` is that of the projections; the one after the products is the same with `attention_threshold`. With
    `neuron_first` the last neuron moves to the front, as residual streams of membranes need it: `y = BN(W_out A)` of `LIF(x)`.
    `tokens` is H*W, which the order `auto` asks for; it decides what is computed first and changes no result.

    Shape: `[T, N, C, H, W]` -> spikes (`neuron_first`: currents) `[T, N, C, H, W]`.
    Raises:
        RecipeError: the heads do not divide the width, there is no such order, or `auto` does not know the tokens.
    Source: Zhou et al., ICLR 2023, arXiv 2209.15425, section 3.2; `neuron_first` is Spikingformer's, arXiv 2304.11954.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        neuron: NeuronConfig | None = None,
        *,
        tokens: int | None = None,
        scale: float = 0.125,
        attention_threshold: float = 0.5,
        order: Order = "auto",
        neuron_first: bool = False,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        neuron = NeuronConfig() if neuron is None else neuron
        self.neuron = build_neuron(neuron) if neuron_first else nn.Identity()
        self.q, self.k, self.v = (conv_norm(width, width, neuron) for _ in range(3))
        self.products = AttentionProducts(heads, scale, resolve_order(order, tokens, width // heads))
        self.attention_neuron = attention_neuron(neuron, attention_threshold)
        self.out = conv_norm(width, width, None if neuron_first else neuron)

    def forward(self, x: Tensor) -> Tensor:
        """What the tokens of each image and timestep say to each other."""
        x = self.neuron(x)
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.out(self.attention_neuron(self.products(q, k, v)))


def attention_neuron(neuron: NeuronConfig, threshold: float) -> nn.Module:
    """The neuron after the products: that of the layer, with a threshold of its own."""
    return build_neuron(neuron.model_copy(update={"v_threshold": threshold}))


def check_heads(width: int, heads: int) -> None:
    """Refuse heads that do not share the width evenly.

    Raises:
        RecipeError: the heads do not divide the width.
    """
    if heads < 1 or width % heads:
        raise RecipeError(
            f"{heads} heads cannot share a width of {width} evenly; choose a number of heads that divides it"
        )


def resolve_order(order: Order, tokens: int | None, width: int) -> Literal["linear", "quadratic"]:
    """`order`, with `auto` decided for so many tokens and heads of this width.

    Raises:
        RecipeError: `auto` without the number of tokens.
    """
    if order != "auto":
        return order
    if tokens is None:
        raise RecipeError(
            "order 'auto' depends on the size of the map: give tokens=H*W, or order='linear' or 'quadratic'"
        )
    return choose_order(tokens, width)
