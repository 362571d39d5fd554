"""ReScaW: re-scale the weights, then quantise them uniformly.

    W_hat = gamma * ( 2/s * round( s/2 * (clamp(W/gamma, -1, 1) + 1) ) - 1 ),    s = 2^bits - 1

In integers: with the code `c = round(s/2 * (clamp(W/gamma, -1, 1) + 1))` in `0..s`, the weight is
`(gamma/s) * (2c - s)`, an *odd* integer times a unit. There is no zero level. `gamma` is recomputed at every forward and
carries no gradient. `gamma_mode="unit"` (gamma = 1) is the vanilla uniform quantiser.

Source: QP-SNN (ICLR 2025, arXiv 2502.05905), section on ReScaW; gamma per output channel as in the authors' code.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rheobase.config import Config

GammaMode = Literal["l1", "max", "percentile", "l1_scaled", "unit"]
STE = Literal["clip", "scaled"]


class ReScaWConfig(Config):
    """How one weight tensor is quantised.

    `gamma_mode`: `l1` = mean|W| (published default), `max` = max|W|, `percentile` = the larger magnitude of the two
    `percentile` quantiles, `l1_scaled` = `s/2^(bits-1)` * mean|W|, `unit` = 1 (vanilla).
    `ste`: `clip` passes the gradient where |W/gamma| <= 1; `scaled` passes gradient/gamma everywhere (the authors' code).
    """

    bits: Literal[1, 2, 4, 8] = 4
    gamma_mode: GammaMode = "l1"
    percentile: float = 0.99
    per_channel: bool = True
    ste: STE = "clip"


class _RoundToLevels(torch.autograd.Function):
    """Value exactly on the grid forward (no `q - w + w` detour, which would leave it by 2e-7), straight-through backward."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gamma: Tensor, steps: int, ste: STE) -> Tensor:
        ctx.save_for_backward(weight, gamma)
        ctx.ste = ste
        return gamma / steps * (2 * codes(weight, gamma, steps) - steps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        weight, gamma = ctx.saved_tensors
        return (grad / gamma if ctx.ste == "scaled" else grad * (weight.abs() <= gamma)), None, None, None


def codes(weight: Tensor, gamma: Tensor, steps: int) -> Tensor:
    """`round(s/2 * (clamp(W/gamma, -1, 1) + 1))`: the stored code of each weight, a whole number in `0..s`, as float."""
    return torch.round((torch.clamp(weight / gamma, -1, 1) + 1) * (steps / 2))


class ReScaW(nn.Module):
    """Parametrisation of a weight by ReScaW.

    `forward(W) -> W_hat`; `integers(W) -> (odd integers, unit)` with `W_hat = unit * integers`.

    Shape:
        W `[C_out, ...]`; gamma and unit `[C_out, 1, ...]` per channel, `[1, ...]` per tensor.
    """

    def __init__(self, config: ReScaWConfig) -> None:
        super().__init__()
        self.config = config
        self.steps = 2**config.bits - 1

    def gamma(self, weight: Tensor) -> Tensor:
        """Scale of each output channel (or of the tensor), without gradient; 1 for an all-zero channel."""
        w = weight.detach()
        flat = w.flatten(1) if self.config.per_channel else w.reshape(1, -1)
        mode = self.config.gamma_mode
        if mode == "unit":
            gamma = torch.ones_like(flat[:, 0])
        elif mode == "max":
            gamma = flat.abs().amax(1)
        elif mode == "percentile":
            q = self.config.percentile
            gamma = torch.maximum(flat.quantile(q, dim=1).abs(), flat.quantile(1 - q, dim=1).abs())
        else:
            gamma = flat.abs().mean(1)
            if mode == "l1_scaled":
                gamma = gamma * (self.steps / 2 ** (self.config.bits - 1))
        gamma = torch.where(gamma > 0, gamma, torch.ones_like(gamma))
        return gamma.reshape(-1, *[1] * (w.dim() - 1))

    def forward(self, weight: Tensor) -> Tensor:
        """Quantised weight `W_hat`, differentiable by the straight-through rule."""
        return _RoundToLevels.apply(weight, self.gamma(weight), self.steps, self.config.ste)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Odd integers `2c - s` and their unit `gamma/s`: what the integer program stores and what it stands for."""
        gamma = self.gamma(weight)
        return 2 * codes(weight, gamma, self.steps) - self.steps, gamma / self.steps

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"bits={self.config.bits}, gamma_mode={self.config.gamma_mode}, per_channel={self.config.per_channel}"


@torch.no_grad()
def code_usage(quantiser: ReScaW, weight: Tensor) -> float:
    """Share of the `2^bits` levels that a weight tensor uses: the figure that motivates ReScaW.

    Vanilla quantisation of trained weights uses 14-32 % of the levels at 8 bit (QP-SNN).
    """
    used = torch.unique(codes(weight, quantiser.gamma(weight), quantiser.steps)).numel()
    return used / 2**quantiser.config.bits
