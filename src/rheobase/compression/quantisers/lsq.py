"""LSQ: uniform quantisation whose step size is learned.

    v_q = round(clip(v/s, -Qn, Qp)) * s,    Qn = 2^(b-1),    Qp = 2^(b-1) - 1
    dv_q/dv = 1{-Qn < v/s < Qp}
    dv_q/ds = round(v/s) - v/s inside,  -Qn below,  Qp above;    times g = 1/sqrt(N*Qp)

with N weights to a step size. It starts at `2*mean|v|/sqrt(Qp)`, and is held above 0 in the forward pass.

Source: Esser et al., Learned Step Size Quantization (ICLR 2020), eq. 1-5 and section 2.2.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase
from rheobase.errors import LatticeError

SMALLEST = 1e-8  # a step size that training would push to 0 or below stays here


class LSQConfig(QuantiserBase):
    """Width; `symmetric` leaves out the level -Qn, so that weights of either sign fit the same integers."""

    name: Literal["lsq"] = "lsq"
    bits: Literal[2, 3, 4, 8] = 4
    per_channel: bool = False
    symmetric: bool = False


class _LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        s = step.clamp_min(SMALLEST)
        ctx.save_for_backward(v, s)
        ctx.low, ctx.high = low, high
        return s * torch.round(torch.clamp(v / s, low, high))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        v, s = ctx.saved_tensors
        ratio = v / s
        inside = (ratio > ctx.low) & (ratio < ctx.high)
        to_step = torch.where(inside, torch.round(ratio) - ratio, torch.clamp(ratio, ctx.low, ctx.high))
        count = v.numel() / s.numel()
        g = 1 / math.sqrt(count * ctx.high)
        shared = (grad * to_step).sum_to_size(s.shape)
        return grad * inside, shared * g, None, None


class LSQ(Quantiser):
    """Parametrisation of a weight with a learned step size, the parameter `step_size`.

    Raises:
        LatticeError: used before `start` has seen the weight.
    """

    config: LSQConfig

    def __init__(self, config: LSQConfig | None = None) -> None:
        super().__init__(config or LSQConfig())
        self.high = 2 ** (self.config.bits - 1) - 1
        self.low = -self.high if self.config.symmetric else -self.high - 1
        self.levels, self.step, self.offset = self.high - self.low + 1, 1, self.low
        self.step_size: nn.Parameter | None = None

    @torch.no_grad()
    def start(self, weight: Tensor) -> None:
        """The step size of the paper, `2*mean|v|/sqrt(Qp)`; 1 for a channel of zeros."""
        mean = self.like(self.rows(weight).abs().mean(1), weight)
        self.step_size = nn.Parameter(2 * mean / math.sqrt(self.high))

    def forward(self, weight: Tensor) -> Tensor:
        """`v_q`; the gradient reaches weight and step size."""
        return _LearnedStep.apply(weight, self._step(), self.low, self.high)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`round(clip(v/s, -Qn, Qp))` and s."""
        s = self._step().clamp_min(SMALLEST)
        return torch.round(torch.clamp(weight / s, self.low, self.high)), s

    def _step(self) -> Tensor:
        if self.step_size is None:
            raise LatticeError(
                "LSQ learns its step size from where the weights are: call quantiser.start(weight) first "
                "(quantise_ does)"
            )
        return self.step_size
