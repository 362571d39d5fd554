"""Attention of queries and keys without values: the queries decide which tokens (or channels) of the keys pass.

    Q, K = LIF(BN(W_q x)), LIF(BN(W_k x))
    token:    a[l] = LIF_A(sum_i Q[l, i])       Y[l, i] = a[l] K[l, i]
    channel:  a[i] = LIF_A(sum_l Q[l, i])       Y[l, i] = a[i] K[l, i]
    y = LIF(BN(W_out Y))

`a` is binary, one value per token (or channel) of each head: O(L d) operations, and no L x L matrix.

Source: Zhou et al., QKFormer, NeurIPS 2024, arXiv 2403.16552, eq. 4-7 and released code (threshold 0.5).
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from rheobase.errors import RecipeError, unknown
from rheobase.layers.attention.spiking import attention_neuron, check_heads
from rheobase.layers.conv_norm import conv_norm
from rheobase.layers.tokens import Gate, HeadSum, MapSum
from rheobase.neurons import NeuronConfig

Over = Literal["token", "channel"]
OVER: tuple[Over, ...] = ("token", "channel")


def qk_attention(q: Tensor, k: Tensor, fire: Callable[[Tensor], Tensor], over: Over = "token") -> Tensor:
    """What stands between the projections: `Y = a K` with `a = fire(sum of Q)`.

    Shape: q, k `[T, N, heads, L, d]`; fire `[T, N, heads, L, 1]` (`channel`: `[T, N, heads, 1, d]`) -> same ->
    `[T, N, heads, L, d]`.
    """
    return fire(q.sum(-1 if over == "token" else -2, keepdim=True)) * k


class QKAttention(nn.Module):
    """Attention of queries over keys, per token or per channel; see the module's docstring for the equations.

    Shape: `[T, N, C, H, W]` -> spikes `[T, N, C, H, W]`.
    Raises:
        RecipeError: the heads do not divide the width, or it is neither `token` nor `channel`.
    Source: Zhou et al., QKFormer, NeurIPS 2024, arXiv 2403.16552, section 4.1.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        neuron: NeuronConfig,
        *,
        over: Over = "token",
        attention_threshold: float = 0.5,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        if over not in OVER:
            raise RecipeError(unknown("QK attention", over, OVER))
        self.q, self.k = (conv_norm(width, width, neuron) for _ in range(2))
        # every channel is one of one head, so the sum over tokens needs no heads
        self.sum: nn.Module = HeadSum(heads) if over == "token" else MapSum()
        self.attention_neuron = attention_neuron(neuron, attention_threshold)
        self.gate = Gate()
        self.out = conv_norm(width, width, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keys that the queries let pass, projected."""
        q, k = self.q(x), self.k(x)
        return self.out(self.gate(self.attention_neuron(self.sum(q)), k))
