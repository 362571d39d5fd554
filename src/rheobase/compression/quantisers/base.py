"""What every weight quantiser is: integers times a unit, and a slope that stands in for the derivative of rounding.

    W_hat = unit * integers,    integers = step * code + offset,    code in 0 .. levels - 1
    dL/dW = slope * dL/dW_hat

The same `integers` and `unit` train the network (`forward`), are counted (`codes`) and are hardened, so that what is
trained is what is shipped. A method is one file: its configuration, and a subclass with `integers` and `slope`.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rheobase.config import Config

Bits = Literal[1, 2, 3, 4, 8]


class QuantiserBase(Config):
    """What all configurations of quantisers have: a `name` that tells them apart, a width, and what shares a unit."""

    name: str
    bits: int
    per_channel: bool


class _StraightThrough(torch.autograd.Function):
    """Value exactly `unit * integers` (no `q - w + w`, which leaves the grid by 2e-7); backward, the slope."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, integers: Tensor, unit: Tensor, slope: Tensor | None) -> Tensor:
        ctx.save_for_backward(slope)
        return unit * integers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] if slope is None else grads[0] * slope, None, None, None


def straight_through(weight: Tensor, integers: Tensor, unit: Tensor, slope: Tensor | None = None) -> Tensor:
    """`unit * integers` whose gradient to `weight` is `slope * upstream` (None: upstream unchanged).

    Shape: `weight`, `integers` and `slope` `[C_out, ...]`, `unit` `[C_out, 1, ...]` or `[1, ...]` -> `[C_out, ...]`.
    """
    return _StraightThrough.apply(weight, integers, unit, slope)


class Quantiser(nn.Module):
    """Base of the parametrisations that `quantise_` puts on weights.

    Odd integers (`step` 2, no zero) unless a subclass says otherwise.

    Shape: W `[C_out, ...]` -> W_hat, same shape; units `[C_out, 1, ...]` per channel, `[1, 1, ...]` per tensor.
    """

    config: Any

    def __init__(self, config: QuantiserBase) -> None:
        super().__init__()
        self.config = config
        self.levels = 2**config.bits
        self.step, self.offset = 2, 1 - 2**config.bits

    def start(self, weight: Tensor) -> None:
        """Called once with the float weight, before training: where learned scales begin."""

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Whole numbers `step * code + offset` (held as floats) and their unit, without gradient."""
        raise NotImplementedError

    def slope(self, weight: Tensor) -> Tensor | None:
        """What stands for `dW_hat/dW`, element by element; None is 1."""
        return None

    def forward(self, weight: Tensor) -> Tensor:
        """Quantised weight `W_hat`, differentiable by the straight-through rule."""
        with torch.no_grad():
            integers, unit = self.integers(weight)
            slope = self.slope(weight)
        return straight_through(weight, integers, unit, slope)

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """What is stored of each weight: a whole number in `0 .. levels - 1`, int64."""
        return ((self.integers(weight)[0] - self.offset) / self.step).round().long()

    @torch.no_grad()
    def scale(self, weight: Tensor) -> Tensor:
        """The unit that the integers count."""
        return self.integers(weight)[1]

    def extra_repr(self) -> str:
        """Shown by `print(model)`: the configuration."""
        values = self.config.model_dump()
        return ", ".join(f"{key}={value}" for key, value in values.items() if key != "name")

    def rows(self, weight: Tensor) -> Tensor:
        """The weights that share a unit, one row each.

        Shape: `[C_out, ...]` -> `[C_out, n]` per channel, `[1, C_out * n]` per tensor.
        """
        w = weight.detach()
        return w.flatten(1) if self.config.per_channel else w.reshape(1, -1)

    @staticmethod
    def like(values: Tensor, weight: Tensor) -> Tensor:
        """One value a row as a tensor that broadcasts against the weight; 1 in place of 0, which nothing divides.

        Shape: `[rows]` -> `[rows, 1, ...]`.
        """
        values = torch.where(values > 0, values, torch.ones_like(values))
        return values.reshape(-1, *[1] * (weight.dim() - 1))


def sign(x: Tensor) -> Tensor:
    """+1 or -1: strictly one bit, a zero counts as +1."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def standardised(weight: Tensor, *, per_channel: bool = True, eps: float = 0.0) -> Tensor:
    """`(w - mean_c) / (std_c + eps)` with the unbiased deviation, differentiable; a channel of equal weights gives zeros.

    Shape: `[C_out, ...]` -> same; statistics over a channel, or over the tensor.
    """
    rows = weight.flatten(1) if per_channel else weight.reshape(1, -1)
    centred = rows - rows.mean(1, keepdim=True)
    spread = centred.std(1, keepdim=True, correction=min(1, rows.shape[1] - 1))
    return (centred / torch.where(spread > 0, spread + eps, torch.ones_like(spread))).reshape(weight.shape)


def uniform_codes(x: Tensor, top: int) -> Tensor:
    """`round(s/2 * (clamp(x, -1, 1) + 1))`: the nearest of `s + 1` even levels over [-1, 1], as float `0..s`."""
    return torch.round((torch.clamp(x, -1, 1) + 1) * (top / 2))
