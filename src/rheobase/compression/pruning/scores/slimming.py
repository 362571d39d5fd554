"""Network slimming: the scale of the batch-norm that follows.

    score(c) = |gamma_c|                        L = L_task + strength * sum_c |gamma_c|

The penalty, added to the loss in training, drives the scales of channels that matter little to zero; the score then reads
them off. Channels that several batch-norms follow take the mean.

Source: Liu et al., learning efficient convolutional networks through network slimming (ICCV 2017, arXiv 1708.06519), eq. 1.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.groups import positions
from rheobase.compression.pruning.scores.base import Mean, Subject
from rheobase.compression.pruning.tensors import tensors


class Slimming:
    """|gamma| of the batch-norms that each group's channels pass."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group.

        Raises:
            PruneError: no batch-norm with a scale follows a layer.
        """
        own = tensors(subject.model)
        rankings = []
        for group in subject.groups:
            mean = Mean(group.size)
            for name in subject.trace.norms:
                mean.add(positions(subject.trace, name, 0, group), own[name].abs())
            if mean.missing.all():
                raise PruneError(
                    f"score 'slimming' reads batch-norm scales, and no batch-norm follows {group.name!r}; use score='l1'"
                )
            rankings.append(mean.ranking())
        return rankings


def batch_norm_scales(model: nn.Module) -> list[Tensor]:
    """The scales gamma of all batch-norms of a model.

    Raises:
        PruneError: there are none.
    """
    scales: list[Tensor] = [
        m.weight for m in model.modules() if isinstance(m, _BatchNorm) and m.weight is not None
    ]
    if not scales:
        raise PruneError("network slimming needs batch-norm layers with a scale, and this model has none")
    return scales


class SlimmingPenalty:
    """`strength * sum |gamma|` over all batch-norm scales of a model; add it to the loss of a training loop of your own.

    Recipes take `optimiser.slimming` instead.

    Shape: `penalty(model) -> []`, with gradient.
    """

    def __init__(self, strength: float = 1e-4) -> None:
        self.strength = strength

    def __call__(self, model: nn.Module) -> Tensor:
        """The term of the loss.

        Raises:
            PruneError: the model has no batch-norm with a scale.
        """
        return self.strength * torch.stack([scale.abs().sum() for scale in batch_norm_scales(model)]).sum()
