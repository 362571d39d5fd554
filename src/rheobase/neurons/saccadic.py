"""The saccadic neuron: patches compete for a look, with a memory of every step so far and no reset.

H[t] = sum_{j <= t} M[t, j] * P[j]      M lower triangular, learned; P[t] the salience of the patches
G[t] = 1[H[t] >= V[t]]                  V learned, by step

Evaluated in three ways. `parallel`: the whole sequence at once, as in training. `causal`: step by step from the saliences seen
so far; the additions are those of `parallel`, in the same order, so the gates are equal to the last bit. `decoupled`: the
paper's rule for inference, M folded into the thresholds,

    G[t] = 1[P[t] >= (M^-1 V)[t]]

which has no memory and gives other gates unless M is diagonal: `M P >= V` by entry is not `P >= M^-1 V` by entry. `mismatch`
counts them.

Source: "Spiking Vision Transformer with Saccadic Attention" (SNN-ViT), ICLR 2025, arXiv 2502.12677; no code is public, and this
is a reconstruction from summaries of the paper. It is a masked parallel spiking neuron (Fang et al., NeurIPS 2023) with a
threshold by step.
"""

from typing import Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError
from rheobase.kernels import Sigmoid, Surrogate
from rheobase.kernels.surrogates import SurrogateBase, spike

Inference = Literal["causal", "parallel", "decoupled"]


class SaccadicConfig(Config):
    """How a saccadic neuron starts, what it shares, and how it is evaluated.

    `infer`: the rule in evaluation mode; training is always `parallel`. `threshold`: V starts at the median of H over the first
    training batch (half of the patches pass), or at a number. `mixing`: M starts as the LIF of time constant `tau`,
    `M[t, j] = (1 - 1/tau)^(t - j) / tau`, or as the identity. `diagonal`: kept positive by a softplus, or `free`. `sharing`: one
    M for the layer, or one a head.
    """

    infer: Inference = "causal"
    threshold: Literal["median"] | float = "median"
    mixing: Literal["lif", "identity"] = "lif"
    tau: float = Field(default=2.0, ge=1)
    diagonal: Literal["softplus", "free"] = "softplus"
    sharing: Literal["layer", "head"] = "layer"
    surrogate: Surrogate = Sigmoid(alpha=4.0)


def lif_mixing(T: int, tau: float) -> Tensor:
    """What a LIF without reset does, as a matrix: `M[t, j] = (1 - 1/tau)^(t - j) / tau` for j <= t.

    Shape: `[T, T]`, float64.
    """
    lag = torch.arange(T, dtype=torch.float64)[:, None] - torch.arange(T, dtype=torch.float64)
    return torch.tril((1 - 1 / tau) ** lag.clamp_min(0) / tau)


def integrate(salience: Tensor, mixing: Tensor) -> Tensor:
    """`H[t] = sum_{j <= t} M[t, j] P[j]`, added up from j = 0 on; fewer steps than M has take its leading block.

    Shape: salience `[T', N, heads, ...]`, mixing `[T, T]` or `[heads, T, T]` with T >= T' -> `[T', N, heads, ...]`.
    Raises:
        DataError: more steps than M has.
    """
    steps = _steps(salience, mixing)
    weights = _spread(mixing.movedim(0, -1) if mixing.dim() == 3 else mixing, 2, salience)
    total = weights[:steps, 0] * salience[0]
    for j in range(1, steps):
        total = torch.cat([total[:j], total[j:] + weights[j:steps, j] * salience[j]])
    return total


def saccade(
    salience: Tensor, mixing: Tensor, threshold: Tensor, surrogate: SurrogateBase | None = None
) -> Tensor:
    """Gates of a whole sequence, `1[H >= V]` (`parallel`); `surrogate` stands for the derivative in H - V.

    Shape: salience `[T', N, heads, ...]`, mixing `[T, T]` or `[heads, T, T]`, threshold `[T]` or `[T, heads]` -> zeros and ones,
    shape of salience.
    """
    h = integrate(salience, mixing)
    return spike(h - _spread(threshold[: len(h)], 1, h), surrogate or Sigmoid())


def saccade_step(past: Tensor, mixing: Tensor, threshold: Tensor) -> Tensor:
    """The gate of the last step of `past`, equal to `saccade(past, ...)[-1]`: what an online system computes at each step.

    The saliences of the steps so far are all its state.

    Shape: past `[t + 1, N, heads, ...]` -> zeros and ones `[N, heads, ...]`.
    """
    now = _steps(past, mixing) - 1
    row = mixing[..., now, : now + 1]  # [t + 1] or [heads, t + 1]
    weights = _spread(row.movedim(0, -1) if row.dim() == 2 else row, 1, past)
    h = weights[0] * past[0]
    for weight, salience in zip(weights[1:], past[1:], strict=True):
        h = h + weight * salience
    return (h >= _spread(threshold[now : now + 1], 1, past)[0]).to(h.dtype)


def folded_thresholds(mixing: Tensor, threshold: Tensor) -> Tensor:
    """`M^-1 V`, by substitution: what single saliences are compared with in the decoupled rule.

    Shape: mixing `[T, T]` or `[heads, T, T]`, threshold `[T]` or `[T, heads]` -> `[T]`, or `[T, heads]` where either has heads.
    """
    columns = threshold if threshold.dim() == 2 else threshold[:, None]  # [T, heads | 1]
    if mixing.dim() == 2:
        found = torch.linalg.solve_triangular(mixing, columns, upper=False)
    else:
        right = columns.T.expand(len(mixing), -1).unsqueeze(-1)  # [heads, T, 1]
        found = torch.linalg.solve_triangular(mixing, right, upper=False).squeeze(-1).T
    return found.squeeze(-1) if mixing.dim() == 2 and threshold.dim() == 1 else found


def decoupled(salience: Tensor, mixing: Tensor, threshold: Tensor) -> Tensor:
    """Gates by the paper's rule for inference, `1[P[t] >= (M^-1 V)[t]]`; not those of `saccade` unless M is diagonal.

    Shape: as `saccade`.
    """
    folded = folded_thresholds(mixing, threshold)
    return (salience >= _spread(folded[: _steps(salience, mixing)], 1, salience)).to(salience.dtype)


def mismatch(salience: Tensor, mixing: Tensor, threshold: Tensor) -> Tensor:
    """Share of gates that `decoupled` decides otherwise than `saccade`.

    Shape: as `saccade` -> `[]`.
    """
    differs = decoupled(salience, mixing, threshold) != saccade(salience, mixing, threshold)
    return differs.double().mean()


class SaccadicNeuron(nn.Module):
    """Module of `saccade` for T steps, without state between calls; see the module's docstring for the equations.

    `scaled`: V is divided by a learned alpha > 0 of each head (SNN-ViT's V2, where alpha stands for the count of keys).

    Salience has no unit of its own, and neither has the surrogate's argument `H - V`: both are taken in units of the standard
    deviation of H in the first training batch, so that any constant factor on the salience changes neither gates nor
    gradients. Until that batch, or with a number as `threshold`, the unit is 1; a median not yet taken counts as 0.

    Shape: salience `[T', N, heads, ...]`, T' <= T -> gates of zeros and ones, same shape.
    Raises:
        RecipeError: no step.
        DataError: more steps than T, or another number of heads where each has parameters.
    """

    start: Tensor
    unit: Tensor
    begun: Tensor

    def __init__(
        self, T: int, heads: int, config: SaccadicConfig | None = None, *, scaled: bool = False
    ) -> None:
        super().__init__()
        if T < 1:
            raise RecipeError(f"a saccadic neuron has parameters by step and needs T >= 1, got T = {T}")
        config = SaccadicConfig() if config is None else config
        self.T, self.heads, self.config = T, heads, config
        matrix = lif_mixing(T, config.tau) if config.mixing == "lif" else torch.eye(T, dtype=torch.float64)
        if config.diagonal == "softplus":
            matrix = matrix.tril(-1) + _softplus_inverse(matrix.diagonal()).diag()
        if config.sharing == "head":
            matrix = matrix.expand(heads, T, T)
        self.mixing = nn.Parameter(matrix.to(torch.get_default_dtype(), copy=True).contiguous())
        self.threshold = nn.Parameter(torch.zeros(T))
        self.alpha = nn.Parameter(_softplus_inverse(torch.ones(heads))) if scaled else None
        median = config.threshold == "median"
        self.register_buffer("start", torch.full((T,), 0.0 if median else float(config.threshold)))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("begun", torch.tensor(not median))

    def mixing_matrix(self) -> Tensor:
        """M as it is used, lower triangular: `[T, T]`, or `[heads, T, T]` with `sharing: head`."""
        if self.config.diagonal == "free":
            return self.mixing.tril()
        diagonal = functional.softplus(self.mixing.diagonal(dim1=-2, dim2=-1))
        return self.mixing.tril(-1) + diagonal.diag_embed()

    def thresholds(self) -> Tensor:
        """V as it is used: `[T]`, or `[T, heads]` if `scaled`."""
        threshold = self.start + self.unit * self.threshold
        return threshold if self.alpha is None else threshold[:, None] / functional.softplus(self.alpha)

    def forward(self, salience: Tensor) -> Tensor:
        """Gates over time."""
        if salience.dim() < 3 or (
            salience.shape[2] != self.heads and (self.alpha is not None or self.mixing.dim() == 3)
        ):
            raise DataError(
                f"this saccadic neuron takes saliences [T, N, {self.heads}, ...], got {list(salience.shape)}"
            )
        mixing, threshold = self.mixing_matrix(), self.thresholds()
        if self.training:
            h = integrate(salience, mixing)
            if not self.begun:
                self._begin(h.detach())
                threshold = self.thresholds()
            u = (h - _spread(threshold[: len(h)], 1, h)) / self.unit
            gates = spike(u, self.config.surrogate)
        elif self.config.infer == "decoupled":
            gates = decoupled(salience, mixing, threshold)
        elif self.config.infer == "causal":
            steps = range(1, len(salience) + 1)
            gates = torch.stack([saccade_step(salience[:t], mixing, threshold) for t in steps])
        else:
            gates = saccade(salience, mixing, threshold, self.config.surrogate)
        return gates.to(salience.dtype)

    @torch.no_grad()
    def _begin(self, h: Tensor) -> None:
        """Put V between the halves of H of each step, and take the deviation of H as its unit."""
        values = _of_all_processes(h.flatten(1).to(self.start.dtype).T).T
        self.start[: len(h)] = torch.stack([_halving(step) for step in values])
        self.start[len(h) :] = self.start[len(h) - 1]
        deviation = values.std(correction=0)
        self.unit.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        self.begun.fill_(True)

    def extra_repr(self) -> str:
        """Steps, heads, and the options that shape it."""
        c = self.config
        scaled = "" if self.alpha is None else ", scaled"
        return f"T={self.T}, heads={self.heads}, {c.infer}, mixing={c.mixing}, {c.diagonal}{scaled}"


def _steps(salience: Tensor, mixing: Tensor) -> int:
    """Steps of a salience, checked to be no more than M has.

    Raises:
        DataError: they are more.
    """
    given, known = len(salience), mixing.shape[-1]
    if given > known:
        raise DataError(
            f"the saccadic neuron has parameters for T = {known} steps, got {given}: give at most {known} steps, or create the "
            f"model with T={given}"
        )
    return given


def _spread(values: Tensor, steps: int, salience: Tensor) -> Tensor:
    """Values by step `[T.., (heads)]` with `steps` axes of time, shaped to meet `[..., N, heads, ...]`."""
    heads = values.shape[steps:] or (1,)
    return values.reshape(*values.shape[:steps], 1, *heads, *[1] * (salience.dim() - 3))


def _halving(values: Tensor) -> Tensor:
    """The midpoint between two neighbouring values that comes nearest to halving them; ties are on one side.

    Shape: `[n]` -> `[]`; the common value where all are equal.
    """
    distinct, counts = values.unique(return_counts=True)
    if len(distinct) == 1:
        return distinct[0]
    below = counts.cumsum(0)[:-1] / len(values)
    at = (below - 0.5).abs().argmin()
    return (distinct[at] + distinct[at + 1]) / 2


def _of_all_processes(values: Tensor) -> Tensor:
    """The rows of all processes of a distributed run, so that each starts from the same thresholds.

    Shape: `[n, T]` -> `[all n, T]`.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    parts: list[Tensor] = [values] * dist.get_world_size()
    dist.all_gather_object(parts, values.cpu())
    return torch.cat(parts).to(values.device)


def _softplus_inverse(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
