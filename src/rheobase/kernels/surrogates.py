"""Surrogate derivatives: what stands for the derivative of the Heaviside step in training.

With u = membrane - threshold, the forward pass fires `s = 1[u >= 0]` and the backward pass pretends that
`ds/du = derivative(u)`. Every derivative here has area 1; `smooth` is its antiderivative, a soft step from 0
to 1.
"""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from rheobase.config import Config
from rheobase.kernels.gradients import OPEN

Positive = Annotated[float, Field(gt=0)]


class SurrogateBase(Config):
    """What all surrogates share: a `name`, one shape parameter, `derivative` and `smooth`."""

    name: str

    @property
    def shape(self) -> float:
        """The one number that shapes the curve (width, gamma or alpha)."""
        (value,) = (value for key, value in self if key != "name")
        return float(value)

    def derivative(self, u: Tensor) -> Tensor:
        """What the backward pass uses for ds/du; same shape as u."""
        raise NotImplementedError

    def smooth(self, u: Tensor) -> Tensor:
        """The antiderivative of `derivative` that rises from 0 to 1; same shape as u."""
        raise NotImplementedError


class Rectangular(SurrogateBase):
    """A box: `1/a * 1[|u| < a/2]` with a = width.

    Source: Wu et al., "Spatio-temporal backpropagation" (2018), eq. 24.
    """

    name: Literal["rectangular"] = "rectangular"
    width: Positive = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        """`1/a * 1[|u| < a/2]`."""
        return (u.abs() < 0.5 * self.width).to(u.dtype) * (1.0 / self.width)

    def smooth(self, u: Tensor) -> Tensor:
        """`clip(u/a + 1/2, 0, 1)`."""
        return (u / self.width + 0.5).clamp(0.0, 1.0)


class Triangular(SurrogateBase):
    """A tent of half-width gamma: `max(0, gamma - |u|) / gamma^2`.

    Source: Deng et al., "Temporal efficient training" (2022), released code.
    """

    name: Literal["triangular"] = "triangular"
    gamma: Positive = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        """`max(0, gamma - |u|) / gamma^2`."""
        return (self.gamma - u.abs()).clamp_min(0.0) * (1.0 / self.gamma**2)

    def smooth(self, u: Tensor) -> Tensor:
        """`1/2 + sign(u) * (r - r^2/2)` with r = min(|u|/gamma, 1)."""
        r = (u.abs() / self.gamma).clamp_max(1.0)
        return 0.5 + u.sign() * (r - 0.5 * r * r)


class Sigmoid(SurrogateBase):
    """The derivative of a sigmoid: `alpha * sig(alpha u) * (1 - sig(alpha u))`.

    Source: SpikingJelly's default (alpha = 4).
    """

    name: Literal["sigmoid"] = "sigmoid"
    alpha: Positive = 4.0

    def derivative(self, u: Tensor) -> Tensor:
        """`alpha * sig(alpha u) * (1 - sig(alpha u))`."""
        y = torch.sigmoid(self.alpha * u)
        return self.alpha * y * (1.0 - y)

    def smooth(self, u: Tensor) -> Tensor:
        """`sig(alpha u)`."""
        return torch.sigmoid(self.alpha * u)


class Atan(SurrogateBase):
    """The derivative of an arc tangent: `alpha/2 / (1 + (pi/2 * alpha * u)^2)`.

    Source: Fang et al., "Learnable membrane time constant" (2021), eq. 16 (alpha = 2).
    """

    name: Literal["atan"] = "atan"
    alpha: Positive = 2.0

    def derivative(self, u: Tensor) -> Tensor:
        """`alpha/2 / (1 + (pi/2 * alpha * u)^2)`."""
        z = (0.5 * math.pi * self.alpha) * u
        return (0.5 * self.alpha) / (1.0 + z * z)

    def smooth(self, u: Tensor) -> Tensor:
        """`1/2 + atan(pi/2 * alpha * u) / pi`."""
        return 0.5 + torch.atan((0.5 * math.pi * self.alpha) * u) / math.pi


class PiecewiseQuadratic(SurrogateBase):
    """A tent of height alpha: `max(0, alpha - alpha^2 |u|)`, i.e. `Triangular(gamma=1/alpha)`.

    Source: SpikingJelly's `PiecewiseQuadratic`.
    """

    name: Literal["piecewise_quadratic"] = "piecewise_quadratic"
    alpha: Positive = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        """`max(0, alpha - alpha^2 |u|)`."""
        return (self.alpha - self.alpha**2 * u.abs()).clamp_min(0.0)

    def smooth(self, u: Tensor) -> Tensor:
        """`1/2 + sign(u) * (r - r^2/2)` with r = min(alpha |u|, 1)."""
        r = (self.alpha * u.abs()).clamp_max(1.0)
        return 0.5 + u.sign() * (r - 0.5 * r * r)


Surrogate = Annotated[
    Rectangular | Triangular | Sigmoid | Atan | PiecewiseQuadratic,
    Field(discriminator="name"),
]

SURROGATES: dict[str, type[SurrogateBase]] = {
    "rectangular": Rectangular,
    "triangular": Triangular,
    "sigmoid": Sigmoid,
    "atan": Atan,
    "piecewise_quadratic": PiecewiseQuadratic,
}


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(u: Tensor, surrogate: SurrogateBase, strict: bool, window: tuple[float, float]) -> Tensor:
        return (u > 0 if strict else u >= 0).to(u.dtype)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, SurrogateBase, bool, tuple[float, float]], output: Tensor
    ) -> None:
        u, ctx.surrogate, _, ctx.window = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        passed = grad * ctx.surrogate.derivative(u)
        return passed if ctx.window == OPEN else passed.masked_fill(shut(u, ctx.window), 0), None, None, None


def shut(u: Tensor, window: tuple[float, float]) -> Tensor:
    """Where u lies outside of a window of `gradients.py`; NaN does not.

    Shape: u any -> bool, same shape.
    """
    low, high = window
    return (u < low) | (u > high)


def spike(
    u: Tensor, surrogate: SurrogateBase, strict: bool = False, window: tuple[float, float] = OPEN
) -> Tensor:
    """Fire where the membrane reaches the threshold; the gradient is the surrogate's, within `window`.

    `s = 1[u >= 0]` (`strict`: `1[u > 0]`), `ds/du = surrogate.derivative(u) * 1[low <= u <= high]`.

    Shape: u any; the spikes have the same shape and dtype and are 0 or 1.
    """
    spikes: Tensor = _Spike.apply(u, surrogate, strict, window)
    return spikes
