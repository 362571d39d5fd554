"""SCA: spiking channel activity, the size of the membrane before reset.

    score = (1/NT) sum_n sum_t || U_n[t] ||_1,    U[t] = leak * v[t-1] + gain * I[t]

Source: Li et al., towards efficient deep spiking neural networks construction with spiking activity based pruning
(ICML 2024), as summarised by QP-SNN (arXiv 2502.05905); the score alone, without their regrowth.
"""

import torch
from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.scores.activity import by_activity
from rheobase.compression.pruning.scores.base import Subject
from rheobase.kernels.reference import membrane_trace
from rheobase.neurons import Neuron


def sca(membranes: Tensor) -> Tensor:
    """L1 norm of every channel's map, mean over time. Shape: `[T, N, C, ...]` -> `[N, C]`."""
    return membranes.abs().flatten(3).sum(3).mean(0) if membranes.dim() > 3 else membranes.abs().mean(0)


def membranes(neuron: Neuron, current: Tensor) -> Tensor:
    """The membrane before reset that this neuron has under a current.

    Shape: `[T, N, ...]` -> same.
    """
    return membrane_trace(
        current * neuron.gain(), neuron.leak(), neuron.threshold(), **neuron.reset_options()
    )[1]


class SCA:
    """`sca` of the neurons after each layer, which must be rheobase's: others keep their membrane to themselves."""

    def __call__(self, subject: Subject) -> list[Ranking]:
        """One ranking a group.

        Raises:
            PruneError: a neuron of another library.
        """

        def measure(module: nn.Module, current: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
            if not isinstance(module, Neuron):
                raise PruneError(
                    f"score 'sca' reads membranes before reset, and {type(module).__name__} does not show them; "
                    "use score='svs' or 'hrank', which read spikes"
                )
            activity = sca(membranes(module, current)).sum(0)
            return activity, torch.zeros_like(activity)

        return by_activity(subject, measure, inputs=True)
