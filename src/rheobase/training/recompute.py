"""Activation checkpointing by stage: keep what enters a stage, compute the rest again in the backward pass.

A stage ends in its neurons, so what is kept of a network is the spikes (or currents) between stages,
`[T, N, C, H, W]` once instead of once per layer. Time itself is not cut: batch-norm takes its statistics over
all of `T`, so a run in chunks of time would be another network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from rheobase.errors import RecipeError
from rheobase.layers.statistics import norms_of, statistics_kept
from rheobase.neurons import Neuron


@contextmanager
def recomputed(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Within the block, `model.features` in training mode keeps the input of each stage alone.

    Gradients are the same; the forward pass is computed twice; running statistics of batch-norm move once.

    Raises:
        RecipeError: the model has no `features` with neurons in them.
    """
    if not on:
        yield
        return
    features = getattr(model, "features", None)
    if not isinstance(features, nn.Module) or not any(_fires(child) for child in features.children()):
        raise RecipeError(
            f"train.recompute cuts model.features into stages that end in a neuron, and {type(model).__name__} "
            "has none there; set train.recompute=false"
        )
    patched = [features] if isinstance(features, nn.Sequential) else list(filter(_fires, features.children()))
    contexts = partial(_contexts, norms_of(model))
    for module in patched:
        whole = module.forward
        parts = stages(module) if isinstance(module, nn.Sequential) and module is features else [whole]
        vars(module)["forward"] = partial(_run, module, parts, contexts)
    try:
        yield
    finally:
        for module in patched:
            del vars(module)["forward"]


def stages(features: nn.Sequential) -> list[Callable[[Tensor], Tensor]]:
    """The layers of a chain, grouped so that each group but perhaps the last ends in what holds a neuron."""
    groups: list[list[nn.Module]] = [[]]
    for child in features:
        groups[-1].append(child)
        if _fires(child):
            groups.append([])
    return [partial(_chain, group) for group in groups if group]


def _run(module: nn.Module, parts: Sequence[Callable[..., Any]], contexts: Any, *inputs: Any) -> Any:
    again = module.training and torch.is_grad_enabled()
    for part in parts:
        result = (
            checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts) if again else part(*inputs)
        )
        inputs = (result,)
    return inputs[0]


def _chain(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _fires(module: nn.Module) -> bool:
    return any(isinstance(each, Neuron) for each in module.modules())


def _contexts(
    norms: Sequence[_BatchNorm],
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the first and the second forward pass run in."""
    return nullcontext(), statistics_kept(norms)
