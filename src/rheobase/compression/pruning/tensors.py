"""Parameters and buffers by name, whether or not their weight is quantised.

The float weight behind a quantised layer is `layer.parametrizations.weight.original` in torch's naming. A plan calls it
`layer.weight`, so that a plan made on a quantised model fits the float one and the other way round.
"""

import re

from torch import Tensor, nn

_PARAMETRISED = re.compile(r"(^|\.)parametrizations\.(\w+)\.original$")


def canonical(name: str) -> str:
    """`layer.weight` for the float weight behind a parametrisation; any other name as it is."""
    return _PARAMETRISED.sub(r"\1\2", name)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by their canonical names; the objects themselves."""
    return {canonical(name): t for name, t in (*model.named_parameters(), *model.named_buffers())}


def module_of(name: str) -> str:
    """The module of a tensor's canonical name."""
    return name.rpartition(".")[0]
