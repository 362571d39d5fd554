"""SVS: singular values of the spatio-temporal spike activity.

    S_avg = (1/T) sum_t S[t]                  of one channel, [h, w]
    score = mean over recordings of #{ i : sigma_i(S_avg) > eps },    eps = 1e-6

A channel whose rate map has many independent rows says more than one that fires everywhere alike. Deep maps of 2x2 have few
ranks and many ties: the sum of the singular values decides those.

Source: QP-SNN (ICLR 2025, arXiv 2502.05905) and its code; tie-break ours.
"""

import torch
from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.scores.activity import by_activity
from rheobase.compression.pruning.scores.base import Subject


def svs(spikes: Tensor, tolerance: float | None = 1e-6) -> tuple[Tensor, Tensor]:
    """Number of singular values above the tolerance, and their sum, of every recording and channel.

    `tolerance=None`: `sigma_max * max(h, w) * eps` of the type, as `torch.linalg.matrix_rank` has it.

    Shape: spikes `[T, N, C, h, w]` (or `[T, N, C, L]`, taken as `[1, L]`; `[T, N, C]` as `[1, 1]`) -> two of `[N, C]`.
    """
    return spectrum(as_maps(spikes).mean(0), tolerance)


def as_maps(spikes: Tensor) -> Tensor:
    """`[T, N, C, ...]` -> `[T, N, C, h, w]`: tokens become one row, further axes are rows."""
    if spikes.dim() == 5:
        return spikes.float()
    if spikes.dim() < 5:
        return spikes.float().reshape(*spikes.shape[:3], 1, -1)
    return spikes.float().flatten(3, -2)


def spectrum(maps: Tensor, tolerance: float | None) -> tuple[Tensor, Tensor]:
    """Number of singular values above the tolerance and their sum. Shape: `[..., h, w]` -> two of `[...]`."""
    values = torch.linalg.svdvals(maps)
    if tolerance is None:
        limit = values[..., :1] * (max(maps.shape[-2:]) * torch.finfo(maps.dtype).eps)
    else:
        limit = torch.full_like(values[..., :1], tolerance)
    return (values > limit).sum(-1).to(maps), values.sum(-1)


class SVS:
    """`svs` of the neurons after each layer."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group."""
        tolerance = subject.config.svs_tolerance

        def measure(module: nn.Module, current: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
            ranks, sums = svs(spikes, tolerance)
            return ranks.sum(0), sums.sum(0)

        return by_activity(subject, measure)
