"""Lambert's W function on its principal branch, which torch does not have."""

import math

import torch
from torch import Tensor

ROUNDS = 6


def lambert_w0(x: Tensor) -> Tensor:
    """The w >= -1 with w e^w = x; nan below -1/e.

    Halley's iteration from the branch-point series (x < 0) or log(1 + x). Error at most some 1e-14, near -1/e some
    1e-8 where W itself is that sensitive.

    Shape: like x, float64.
    Source: Corless et al., On the Lambert W function, 1996.
    """
    p = torch.sqrt((2 * (math.e * x + 1)).clamp(min=0))
    w = torch.where(x < 0, -1 + p - p * p / 3 + 11 / 72 * p**3, torch.log1p(x.clamp(min=0)))
    for _ in range(ROUNDS):
        e = torch.exp(w)
        f = w * e - x
        step = f / (e * (w + 1) - (w + 2) * f / (2 * w + 2))
        w = torch.where(step.isfinite(), w - step, w)  # at -1/e the step is 0/0, and w is right
    return w.where(x >= -1 / math.e, torch.nan)
