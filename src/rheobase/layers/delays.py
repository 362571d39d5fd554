"""What a network knows of the past beside its membranes: delayed copies of spikes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError


class Delays(nn.Module):
    """Copies of the input, each some steps late, beside one another as channels; zeros come before the first step.

        y[t, n, k*C + c] = x[t - steps[k], n, c]            (0 where t < steps[k])

    A 1x1 convolution of the result is a causal convolution over time with taps at `steps`.

    Shape: `[T, N, C, H, W]` -> `[T, N, K*C, H, W]`, K delays.
    Raises:
        RecipeError: no delay, a negative one, or one twice.
        DataError: the input has not five axes.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        if not self.steps or min(self.steps) < 0 or len(set(self.steps)) < len(self.steps):
            raise RecipeError(
                f"delays are different numbers of steps, 0 or more, got {list(steps)}; [0] alone delays nothing"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Delay and join."""
        if x.dim() != 5:
            raise DataError(f"delays need [T, N, C, H, W] (time first), got {list(x.shape)}")
        return torch.cat([_late(x, steps) for steps in self.steps], 2)

    def extra_repr(self) -> str:
        """The delays."""
        return ", ".join(map(str, self.steps))


def _late(x: Tensor, steps: int) -> Tensor:
    """`x`, `steps` later. Shape: `[T, ...]` -> same."""
    if steps == 0:
        return x
    kept = max(len(x) - steps, 0)
    return torch.cat([x.new_zeros(len(x) - kept, *x.shape[1:]), x[:kept]])
