"""Computing a layer a second time without moving its running statistics a second time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def norms_of(*modules: nn.Module) -> list[_BatchNorm]:
    """All batch-norms within modules."""
    return [norm for module in modules for norm in module.modules() if isinstance(norm, _BatchNorm)]


@contextmanager
def statistics_kept(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Running statistics with momentum 0 and no count: the layers compute, and save, what they did before."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
