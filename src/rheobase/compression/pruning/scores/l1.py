"""L1 norm of a filter.

    score(f) = sum |W_f|

Of the weight as it computes: quantised, where it is. Layers that share their channels give the mean of their norms.

Source: Li et al., pruning filters for efficient convnets (ICLR 2017, arXiv 1608.08710), section 3.1.
"""

from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.groups import positions
from rheobase.compression.pruning.scores.base import Mean, Subject, first_axis


def l1(weight: Tensor) -> Tensor:
    """Shape: `[O, ...]` -> `[O]`."""
    return first_axis(weight).abs().sum(1)


class L1:
    """`l1` of the weights that make each group's channels."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group."""
        rankings = []
        for group in subject.groups:
            mean = Mean(group.size)
            for layer in group.layers:
                weight = _weight(subject.model.get_submodule(layer))
                mean.add(positions(subject.trace, f"{layer}.weight".lstrip("."), 0, group), l1(weight))
            rankings.append(mean.ranking())
        return rankings


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
