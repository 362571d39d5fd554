"""Modules that are not looked into: neurons, whose channels are independent, and parametrisations of one weight."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._pytree import tree_flatten

from rheobase.compression.pruning.labels import Fields, squeeze, varying
from rheobase.compression.pruning.states import is_activation
from rheobase.compression.pruning.tensors import canonical
from rheobase.compression.pruning.tracing.found import Site
from rheobase.compression.pruning.tracing.record import Record
from rheobase.neurons import Neuron


def parametrisation(record: Record, name: str, module: ParametrizationList, output: Tensor) -> None:
    """A parametrised weight has the channels of its original; scales by channel go with them."""
    original = getattr(module, "original", None)
    if not isinstance(original, Tensor):
        raise record.refuse("parametrisation", "it computes one weight from several tensors")
    fields = record.fields(original)
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor is original or tensor.dim() > original.dim():
            continue
        for axis, size in enumerate(tensor.shape):
            if size > 1 and size == original.shape[axis]:
                record.join(
                    record.axis(f"{name}.{key}", axis, size),
                    record.axis(canonical(f"{name}.original"), axis, size),
                    f"parametrisation {key!r}",
                )
    if output.shape != original.shape:
        raise record.refuse("parametrisation", "it changes the shape of its weight")
    record.see(output, fields)


def neuron(record: Record, name: str, module: nn.Module, x: Tensor, output: Any) -> None:
    """A neuron keeps the channels of its current; its parameters by channel go with them."""
    fields = record.fields(x)
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.numel() > 1 and tensor.dim() < x.dim():  # as many axes has a membrane
            fields = _neuron_parameter(record, name, key, tensor, x, fields, isinstance(module, Neuron))
    for each in tree_flatten(output)[0]:
        if isinstance(each, Tensor):
            record.see(each, fields if each.shape == x.shape else [])
    first = next((each for each in tree_flatten(output)[0] if isinstance(each, Tensor)), None)
    if first is None or first.shape != x.shape:
        raise record.refuse(type(module).__name__, "a neuron's output must have the shape of its input")
    if is_activation(module) and len(fields) == 1 and len(axes := varying(fields[0])) == 1:
        site = Site(name, axes[0] - x.dim(), squeeze(fields[0])[0].reshape(-1).numpy().copy())
        record.trace.sites.setdefault(name, site)


def _neuron_parameter(
    record: Record, name: str, key: str, tensor: Tensor, x: Tensor, fields: Fields, ours: bool
) -> Fields:
    """Join a per-channel parameter with the channels of the current: axis 2 for ours, else as it broadcasts."""
    own = record.fields(tensor)
    shape = (
        [1, 1, tensor.shape[0], *[1] * (x.dim() - 3)] if ours and tensor.dim() == 1 else list(tensor.shape)
    )
    try:
        expanded = [each.reshape(shape).expand(x.shape) for each in own]
    except RuntimeError:
        raise record.refuse(
            name,
            f"{key!r} of shape {list(tensor.shape)} does not fit a current {list(x.shape)}",
        ) from None
    return record.merge([(fields, x.shape), (expanded, torch.Size(shape))], x.shape, f"{key!r}")
