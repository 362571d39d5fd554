"""Multi-head spiking self-attention without softmax.

    [Q, K, V] = LIF(BN(x W_qkv^T))                      one projection of 3 D outputs
    A = LIF_A(scale * Q (K^T V)) = LIF_A(scale * (Q K^T) V)
    y = LIF(BN(A W_out^T))

Spikes are not negative, so the products need no softmax; without it they associate, and the cheaper order
can be chosen: `2 L d^2` multiply-adds a head (linear in the number of tokens L) against `2 L^2 d` (quadratic).

Source: Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023, arXiv 2209.15425,
eq. 5-8 and released code (scale 0.125, threshold 0.5 after the products).
"""

from typing import Literal

from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError, unknown
from rheobase.layers.fold import fold
from rheobase.layers.torch_layers import Linear
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

    Shape: q, k, v `[..., L, d]` -> `[..., L, d]`.
    Raises:
        RecipeError: no such order.
    """
    if order not in ORDERS:
        raise RecipeError(unknown("order of attention", order, ORDERS))
    if (choose_order(*q.shape[-2:]) if order == "auto" else order) == "linear":
        return q @ (k.transpose(-2, -1) @ v * scale)  # [d, d], the smallest tensor, is what is scaled
    return (q @ k.transpose(-2, -1) * scale) @ v


class BatchNormLast(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the last axis, statistics over all others: time counts as batch.

    Shape: `[..., D]` -> same.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise per feature."""
        return fold(super().forward, input, 1, "D", once=not self.training)


class SpikingSelfAttention(nn.Module):
    """Spiking self-attention over L tokens of width D; see the module's docstring for the equations.

    `neuron` is that of the projections; the one after the products is the same with `attention_threshold`.
    Queries, keys and values come from one linear layer, one batch-norm and one scan: the rows of
    `qkv.weight` are those of Q, then K, then V.

    Shape: `[T, N, L, D]` -> spikes `[T, N, L, D]`.
    Raises:
        RecipeError: the heads do not divide the width, or there is no such order.
        DataError: the input is not `[T, N, L, D]`.
    Source: Zhou et al., ICLR 2023, arXiv 2209.15425, section 3.2.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        neuron: NeuronConfig | None = None,
        *,
        scale: float = 0.125,
        attention_threshold: float = 0.5,
        order: Order = "auto",
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise RecipeError(
                f"{heads} heads cannot share a width of {width} evenly; choose a number of heads that divides it"
            )
        if order not in ORDERS:
            raise RecipeError(unknown("order of attention", order, ORDERS))
        neuron = NeuronConfig() if neuron is None else neuron
        self.width, self.heads, self.scale, self.order = width, heads, scale, order
        self.qkv = Linear(width, 3 * width, bias=False)
        self.qkv_norm = BatchNormLast(3 * width)
        self.qkv_neuron = build_neuron(neuron)
        self.attention_neuron = build_neuron(neuron.model_copy(update={"v_threshold": attention_threshold}))
        self.out = Linear(width, width, bias=False)
        self.out_norm = BatchNormLast(width)
        self.out_neuron = build_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the attention over the tokens of each image and timestep."""
        if x.dim() != 4 or x.shape[-1] != self.width:
            raise DataError(
                f"attention of width {self.width} takes [T, N, L, {self.width}], got {list(x.shape)}; "
                "an image [T, N, C, H, W] becomes tokens with x.flatten(3).transpose(2, 3)"
            )
        qkv = self.qkv_neuron(self.qkv_norm(self.qkv(x)))
        # [T, N, L, 3 D] -> 3 of [T, N, heads, L, d]
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)
        mixed = spike_attention(q, k, v, self.scale, self.order)
        attended = self.attention_neuron(mixed.transpose(-3, -2).flatten(-2))  # [T, N, L, D]
        return self.out_neuron(self.out_norm(self.out(attended)))

    def extra_repr(self) -> str:
        """Width, heads, scale and order."""
        return f"{self.width}, heads={self.heads}, scale={self.scale:g}, order={self.order}"
