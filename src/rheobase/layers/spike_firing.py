"""Spike firing approximation (SFA): integers in training, trains of binary spikes at inference.

    n = round(clip(x, 0, D)),   y = n / norm                          training; no membrane
    s_d = 1[d < n],  d = 0..D-1,   y = (1/norm) sum_d s_d             inference, in D virtual steps

so that W y + b, and every sum of such, is the same whether W meets the integer or the spikes one after the other. The gradient of
the rounding is straight through, 1 within [0, D] and 0 outside. Halves are rounded to even. An integer program counts the
thresholds k - 1/2 that x reaches.

Source: Yao et al., Scaling Spike-driven Transformer with Efficient Spike Firing Approximation Training, TPAMI 2025, arXiv
2411.16061, eq. 7-11 and released code (D = 4; norm = D, and 1 before the classifier).
"""

import torch
from torch import Tensor, nn

from rheobase.errors import RecipeError


def spike_firing(x: Tensor, levels: int = 4, norm: float | None = None) -> Tensor:
    """`round(clip(x, 0, D)) / norm`; `norm` is D where it is not given.

    Shape: any -> same.
    """
    clipped = x.clamp(0, levels)  # its gradient is 1 at both ends, as in the source
    return (clipped + (clipped.round() - clipped).detach()) / (levels if norm is None else norm)


def virtual_spikes(y: Tensor, levels: int = 4, norm: float | None = None) -> Tensor:
    """The binary spikes that `y = spike_firing(x)` stands for: `y = sum over the first axis / norm`.

    Shape: `[...]` -> `[D, ...]`, zeros and ones.
    """
    counts = (y * (levels if norm is None else norm)).round()
    steps = torch.arange(levels, device=y.device).reshape(-1, *[1] * y.dim())
    return (steps < counts).to(y.dtype)


class SpikeFiring(nn.Module):
    """A neuron that fires integers 0..D (over `norm`) and keeps no membrane; see the module's docstring.

    Shape: any -> same.
    Raises:
        RecipeError: fewer than one level, or a norm that is not positive.
    """

    def __init__(self, levels: int = 4, norm: float | None = None) -> None:
        super().__init__()
        if levels < 1 or (norm is not None and norm <= 0):
            raise RecipeError(f"spike firing needs levels >= 1 and norm > 0, got {levels} and {norm}")
        self.levels = levels
        self.norm = float(levels if norm is None else norm)

    def forward(self, x: Tensor) -> Tensor:
        """Integers over the norm."""
        return spike_firing(x, self.levels, self.norm)

    def virtual_spikes(self, y: Tensor) -> Tensor:
        """The D binary maps whose sum over the norm is the output `y`.

        Shape: `[...]` -> `[D, ...]`.
        """
        return virtual_spikes(y, self.levels, self.norm)

    def extra_repr(self) -> str:
        """Levels and norm."""
        return f"levels={self.levels}, norm={self.norm:g}"
