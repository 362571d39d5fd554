"""Random draws of a part of a batch, as they fall when the whole batch is drawn.

A process that holds every `world_size`-th sample draws for all samples and keeps its own, so the noise of
sample `i` is the same whatever the number of processes, provided all start from the same random state.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

NEW = {torch.bernoulli, torch.rand_like, torch.randn_like}
IN_PLACE = {Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_}


class WholeDraws(TorchFunctionMode):
    """Within the block, draws of tensors `[n, ...]` are rows `mine` of the draws of `[size, ...]`.

    Covers `bernoulli`, `rand_like`, `randn_like` and the in-place `normal_`, `uniform_`, `bernoulli_`; other
    random functions draw for the process alone.
    """

    def __init__(self, mine: slice, size: int) -> None:
        super().__init__()
        self.mine, self.size = mine, size
        self.rows = len(range(size)[mine])

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if (func not in NEW and func not in IN_PLACE) or not self._is_batch(args):
            return func(*args, **kwargs)
        own, *rest = args
        whole = _like(own, self.size)
        whole[self.mine] = own
        rest = [self._whole(value) for value in rest]
        drawn = func(whole, *rest, **kwargs)[self.mine]
        return own.copy_(drawn) if func in IN_PLACE else drawn

    def _is_batch(self, args: Any) -> bool:
        return bool(args) and isinstance(args[0], Tensor) and args[0].shape[:1] == (self.rows,)

    def _whole(self, value: Any) -> Any:
        """A probability per element, `[n, ...]`, becomes one of the whole batch."""
        if not isinstance(value, Tensor) or value.shape[:1] != (self.rows,):
            return value
        whole = _like(value, self.size)
        whole[self.mine] = value
        return whole


def _like(x: Tensor, size: int) -> Tensor:
    """Zeros `[size, ...]` in the memory order of `x`: elements are drawn in the order they lie in."""
    strides = x.stride()
    order = [0, *sorted(range(1, x.dim()), key=lambda axis: -strides[axis])]
    shape = [size, *x.shape[1:]]
    zeros = x.new_zeros([shape[axis] for axis in order])
    return zeros.permute([order.index(axis) for axis in range(x.dim())])
