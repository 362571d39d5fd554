"""Batch-norm over the samples of all processes, on any backend of `torch.distributed`.

With `S` the sum over processes, and n, x the values of a channel in each of them:

    m = S(sum x) / S(n);  var = S(sum (x - m)^2) / S(n);  y = weight * (x - m) / sqrt(var + eps) + bias

which is what one process computes on the whole batch. `torch.nn.SyncBatchNorm` does the same on GPUs alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def synchronised(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Within the block, every batch-norm of `model` in training mode normalises over all processes.

    The modules, their names and their state stay as they are; only their forward is another. A process
    without samples (`N = 0`) takes part.
    """
    found = [module for module in model.modules() if isinstance(module, _BatchNorm)] if on else []
    for module in found:
        vars(module)["forward"] = partial(_forward, module)
    try:
        yield
    finally:
        for module in found:
            del vars(module)["forward"]


def synchronised_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Training-mode batch-norm of `x` over all processes; running statistics as torch keeps them.

    Shape: `[T, N, C, H, W]`, or what the layer takes without a time axis -> same
    """
    axis = _channel_axis(norm, x)
    others = [i for i in range(x.dim()) if i != axis]
    shape = [x.shape[axis] if i == axis else 1 for i in range(x.dim())]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = wide.new_full((1,), x.numel() // x.shape[axis])
    totals = _Sum.apply(torch.cat([wide.sum(others), count]))
    count = totals[-1].detach()
    mean = totals[:-1] / count
    centred = wide - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(others)) / count
    y = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        _track(norm, mean.detach(), variance.detach() * count / (count - 1))
    return y.to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sum over processes; so is the gradient, since every process' loss depends on it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    return synchronised_norm(norm, x) if norm.training else type(norm).forward(norm, x)


def _channel_axis(norm: _BatchNorm, x: Tensor) -> int:
    """Images have their channels third from the end, whatever stands before; vectors where torch has them."""
    if isinstance(norm, nn.BatchNorm2d):
        return x.dim() - 3
    return 1 if not isinstance(norm, nn.BatchNorm1d) or type(norm) is nn.BatchNorm1d else x.dim() - 1


def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """`running = (1 - momentum) * running + momentum * now`, the variance being the unbiased one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    momentum = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum or 0.0)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum or 0.0)
