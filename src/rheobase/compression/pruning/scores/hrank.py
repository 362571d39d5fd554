"""HRank: the mean rank of a channel's feature maps.

    score = (1/NT) sum_n sum_t rank(S_n[t])

The original takes the map after ReLU of an image; a spiking network has one map a time step. (SVS is the same on the
time-mean.) Ties go by the sum of singular values.

Source: Lin et al., HRank (CVPR 2020, arXiv 2002.10179), eq. 5; the mean over time is ours.
"""

from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.scores.activity import by_activity
from rheobase.compression.pruning.scores.base import Subject
from rheobase.compression.pruning.scores.svs import as_maps, spectrum


def hrank(spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean rank over time, and mean sum of singular values.

    Shape: spikes `[T, N, C, h, w]` -> two of `[N, C]`.
    """
    ranks, sums = spectrum(as_maps(spikes), None)
    return ranks.mean(0), sums.mean(0)


class HRank:
    """`hrank` of the neurons after each layer."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group."""

        def measure(module: nn.Module, current: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
            ranks, sums = hrank(spikes)
            return ranks.sum(0), sums.sum(0)

        return by_activity(subject, measure)
