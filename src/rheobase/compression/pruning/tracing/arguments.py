"""Arguments of torch functions: tensors in them, by name, and the axes that a reduction runs over."""

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten


def tensors_in(tree: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dictionaries, in order."""
    return [each for each in tree_flatten(tree)[0] if isinstance(each, Tensor)]


def bind(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def dims_of(args: tuple[Any, ...], kwargs: dict[str, Any], rank: int) -> tuple[list[int], bool]:
    """The axes that a reduction runs over, and whether it keeps them."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 and isinstance(args[2], bool) else False))
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return list(range(rank)), keep
    return [each % rank for each in ([dim] if isinstance(dim, int) else dim)], keep
