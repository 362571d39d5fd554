"""Saccadic spike self-attention (SSSA): tokens are scored by counts of spikes, and a binary gate lets some of them pass.

With Q, K, V spikes of L tokens by d entries a head, and Q'_l = sum_i Q[l, i], K'_m = sum_i K[m, i]:

    P_l = sum_m Q'_l K'_m = Q'_l k,   k = sum_m K'_m       salience: a row sum of a matrix of rank one that is never built
    G = 1[M P >= V_th]                                     the saccadic neuron, over time (`neurons.saccadic`)
    y_l = G_l V_l                                          tokens not looked at are zero, the others their spikes

Cost is linear in L and in d. Three modes: `v1_ref` builds the L x L matrix and is what tests compare with; `v2a` is equal to it;
`v2b` needs no keys, since k is taken for a constant that a learned alpha of each head stands for: `G = 1[M Q' >= V_th / alpha]`.
It equals the others only where k is the same at all times and in all samples.

Source: "Spiking Vision Transformer with Saccadic Attention" (SNN-ViT), ICLR 2025, arXiv 2502.12677; no code is public, and this
is a reconstruction from summaries of the paper. What it leaves open is an option.
"""

from typing import Literal

from torch import Tensor, nn

from rheobase.errors import RecipeError, unknown
from rheobase.kernels.surrogates import SurrogateBase
from rheobase.layers.attention.spiking import check_heads
from rheobase.layers.conv_norm import conv_norm
from rheobase.layers.tokens import Gate, HeadSum, MapSum, Scale
from rheobase.layers.torch_layers import BatchNorm2d, Conv2d
from rheobase.neurons import NeuronConfig, build_neuron
from rheobase.neurons.saccadic import SaccadicConfig, SaccadicNeuron, saccade

Mode = Literal["v2a", "v2b"]
SalienceNorm = Literal["rate", "bn", "none"]
MemoryGate = Literal["saccadic", "lif"]


def cross_attention(q: Tensor, k: Tensor) -> Tensor:
    """`CroAtt[l, m] = Q'_l K'_m`: the cross-entropy of two rates of spikes, its logarithms replaced and silent terms dropped.

    Not `Q K^T`: it sums the products of all pairs of bits of the two tokens, and that of the pairs in one place only.

    Shape: q, k `[..., L, d]` -> `[..., L, L]`.
    """
    return q.sum(-1, keepdim=True) * k.sum(-1).unsqueeze(-2)


def v1_ref(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixing: Tensor,
    threshold: Tensor,
    surrogate: SurrogateBase | None = None,
) -> Tensor:
    """SSSA by its definition, through the L x L matrix: a reference, with cost quadratic in L.

    Shape: q, k, v `[T, N, heads, L, d]`, mixing `[T, T]` or `[heads, T, T]`, threshold `[T]` -> `[T, N, heads, L, d]`.
    """
    tokens, d = q.shape[-2:]
    salience = cross_attention(q, k).sum(-1) * (1 / (d * tokens * d))
    return saccade(salience, mixing, threshold, surrogate).unsqueeze(-1) * v


def v2a(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixing: Tensor,
    threshold: Tensor,
    surrogate: SurrogateBase | None = None,
) -> Tensor:
    """SSSA at linear cost, equal to `v1_ref`: counts are integers, and both sum and product of them are exact.

    Shape: as `v1_ref`.
    """
    tokens, d = q.shape[-2:]
    salience = q.sum(-1) * k.sum((-2, -1)).unsqueeze(-1) * (1 / (d * tokens * d))
    return saccade(salience, mixing, threshold, surrogate).unsqueeze(-1) * v


def v2b(
    q: Tensor,
    v: Tensor,
    mixing: Tensor,
    threshold: Tensor,
    alpha: Tensor,
    surrogate: SurrogateBase | None = None,
) -> Tensor:
    """SSSA without keys: `G = 1[M Q'/d >= V_th / alpha]`; `v1_ref` where alpha is k/(L d), for all times and samples.

    Shape: as `v1_ref`; alpha `[heads]`, positive.
    """
    salience = q.sum(-1) * (1 / q.shape[-1])
    return saccade(salience, mixing, threshold[:, None] / alpha, surrogate).unsqueeze(-1) * v


class SaccadicSelfAttention(nn.Module):
    """Saccadic spike self-attention on feature maps, whose pixels are the tokens.

        Q, K, V = LIF(BN(conv1x1(x)));  y = BN(conv1x1(G * V))

    `salience_norm`: `rate` divides counts by their largest values (d, and L d), which the thresholds absorb; `bn` is a
    batch-norm of each head's salience; `none` leaves counts. `memory_gate: lif` puts a plain LIF in place of the saccadic
    neuron, an ablation; its threshold being fixed, it needs `bn`.

    Shape: spikes `[T, N, width, H, W]` with H W = `tokens` -> currents, same shape.
    Raises:
        RecipeError: the heads do not divide the width, there is no such mode or norm, or `lif` without `bn`.
        DataError: more steps than T.
    Source: SNN-ViT, ICLR 2025, arXiv 2502.12677; a reconstruction, see the module's docstring.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        T: int,
        neuron: NeuronConfig,
        *,
        tokens: int,
        mode: Mode = "v2a",
        salience_norm: SalienceNorm = "rate",
        memory_gate: MemoryGate = "saccadic",
        saccadic: SaccadicConfig | None = None,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        d = width // heads
        for kind, name, known in (
            ("mode of saccadic attention", mode, ("v2a", "v2b")),
            ("norm of the salience", salience_norm, ("rate", "bn", "none")),
            ("memory gate", memory_gate, ("saccadic", "lif")),
        ):
            if name not in known:
                raise RecipeError(unknown(kind, name, known))
        if memory_gate == "lif" and salience_norm != "bn":
            raise RecipeError(
                f"memory_gate 'lif' has a fixed threshold, which a salience with salience_norm {salience_norm!r} does not "
                "reach; give salience_norm='bn'"
            )
        self.mode = mode
        self.query = conv_norm(width, width, neuron)
        self.query_sum = HeadSum(heads)
        if mode == "v2a":
            self.key = conv_norm(width, width, neuron)
            self.key_sum = HeadSum(heads)
            self.all_keys = MapSum()
            self.weigh = Gate()
        norms = {
            "rate": lambda: Scale(1 / (d * tokens * d) if mode == "v2a" else 1 / d),
            "bn": lambda: BatchNorm2d(heads),
            "none": nn.Identity,
        }
        self.norm: nn.Module = norms[salience_norm]()
        self.saccade: nn.Module = (
            SaccadicNeuron(T, heads, saccadic, scaled=mode == "v2b")
            if memory_gate == "saccadic"
            else build_neuron(neuron)
        )
        self.value = conv_norm(width, width, neuron)
        self.look = Gate()
        self.out = Conv2d(width, width, 1, bias=False)
        self.out_norm = BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Currents of the tokens that were looked at."""
        salience = self.query_sum(self.query(x))
        if self.mode == "v2a":
            salience = self.weigh(self.all_keys(self.key_sum(self.key(x))), salience)
        gate = self.saccade(self.norm(salience))
        return self.out_norm(self.out(self.look(gate, self.value(x))))

    def extra_repr(self) -> str:
        """The mode."""
        return f"mode={self.mode}"
