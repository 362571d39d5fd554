"""Operations with weights, where channels are made and meet: convolutions, linear layers, products, batch-norm."""

from typing import Any

import torch
from torch import Tensor

from rheobase.compression.pruning.labels import Fields, along, present, squeeze, varying
from rheobase.compression.pruning.tensors import canonical
from rheobase.compression.pruning.tracing.arguments import bind
from rheobase.compression.pruning.tracing.record import Record


def convolution(record: Record, name: str, rank: int, args: Any, kwargs: Any, output: Tensor) -> Fields:
    """Input channels meet the second axis of the weight, group by group; its first axis makes channels."""
    given = bind(("input", "weight", "bias", "stride", "padding", "dilation", "groups"), args, kwargs)
    x, weight, bias, groups = given["input"], given["weight"], given.get("bias"), given.get("groups", 1)
    axis = -1 - rank
    inputs = _labels(record, x, axis, name)
    outputs = _weight_labels(record, weight, 0, name)
    if groups > 1 and weight.shape[1] == 1:  # depthwise: output o reads input o // multiplier
        if inputs is not None:
            record.join(outputs, inputs.repeat_interleave(weight.shape[0] // groups), repr(name))
    else:
        columns = _weight_labels(record, weight, 1, name)
        if inputs is not None:
            # grouped: position j of the weight's second axis reads channel j of every group
            record.join(inputs.reshape(groups, -1), columns.expand(groups, -1), repr(name))
        if groups > 1:
            record.trace.rows.append([frozenset(row) for row in outputs.reshape(groups, -1).tolist()])
        _producer(record, weight)
    if bias is not None:
        record.join(outputs, _weight_labels(record, bias, 0, name), "bias")
    return [along(outputs, output.dim() + axis, output.shape)]


def linear(record: Record, args: Any, kwargs: Any, output: Tensor) -> Fields:
    """A product with the weight's transpose, and its bias."""
    given = bind(("input", "weight", "bias"), args, kwargs)
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    turned = [each.T for each in record.fields(weight)]
    fields = product(record, "linear", x, record.fields(x), weight.T, turned, output.shape)
    _producer(record, weight)
    if bias is None:
        return fields
    own = record.broadcast(record.fields(bias), output.shape)
    return record.merge([(fields, output.shape), (own, bias.shape)], output.shape, "'linear'")


def product(
    record: Record, name: str, a: Tensor, fa: Fields, b: Tensor, fb: Fields, shape: torch.Size
) -> Fields:
    """`[..., M, K] @ [..., K, N]`: channels along K on both sides are joined, those along M, N and heads are carried."""
    if a.dim() < 2 or b.dim() < 2:
        raise record.refuse(name, "one operand is a vector; write it as a matrix")
    left, right = a.dim() - 1, b.dim() - 2
    contracted_a = [each for each in fa if left in varying(each)]
    contracted_b = [each for each in fb if right in varying(each)]
    carried: Fields = []
    for each in contracted_a:
        if left - 1 in varying(each):
            raise record.refuse(name, "channels run along both axes of a factor")
        for other in contracted_b:
            record.join(each[..., 0, :], other[..., :, 0], repr(name))
    for lone in [] if contracted_a and contracted_b else [*contracted_a, *contracted_b]:
        record.trace.freeze(
            present(lone), f"{name!r} in {record.where()} multiplies them with entries of no channel"
        )
    for each in contracted_b:
        if b.dim() - 1 in varying(each):
            raise record.refuse(name, "channels run along both axes of a factor")
    carried += [each[..., :, :1].expand(shape) for each in fa if left not in varying(each)]
    carried += [each[..., :1, :].expand(shape) for each in fb if right not in varying(each)]
    return record.merge([([each], torch.Size([1])) for each in carried], shape, repr(name))


def batch_norm(record: Record, args: Any, kwargs: Any, output: Tensor) -> Fields:
    """Statistics, weight and bias go with the channels of the input."""
    names = ("input", "running_mean", "running_var", "weight", "bias")
    given = bind(names, args, kwargs)
    x = given["input"]
    parts = [(record.fields(x), x.shape)]
    for key in names[1:]:
        tensor = given.get(key)
        if tensor is None:
            continue
        own = [along(squeeze(each)[0].reshape(-1), 1, x.shape) for each in record.fields(tensor)]
        shape = torch.Size([1, tensor.shape[0], *[1] * (x.dim() - 2)])
        parts.append((own, shape))
        if key == "weight" and id(tensor) in record.names:
            name = canonical(record.names[id(tensor)])
            if name not in record.trace.norms:
                record.trace.norms.append(name)
    return record.merge(parts, output.shape, "'batch_norm'")


def _labels(record: Record, tensor: Tensor, axis: int, name: str) -> Tensor | None:
    """The channels along one axis, which must be the only one along which they run."""
    found = None
    for each in record.fields(tensor):
        axes = varying(each)
        if axes and axes != (axis % tensor.dim(),):
            raise record.refuse(
                name,
                f"channels run along axes {list(axes)} of its input {list(tensor.shape)}, not along {axis}",
            )
        found = squeeze(each)[0].reshape(-1).expand(tensor.shape[axis])
    return found


def _weight_labels(record: Record, weight: Tensor, axis: int, name: str) -> Tensor:
    for each in record.fields(weight):
        if varying(each) == (axis,):
            return squeeze(each)[0].reshape(-1)
    if weight.shape[axis] == 1:
        return torch.full((1,), -1)
    raise record.refuse(name, f"its weight {list(weight.shape)} is not a parameter's")


def _producer(record: Record, weight: Tensor) -> None:
    for each in record.fields(weight):
        if varying(each) == (0,):
            first = int(squeeze(each)[0].reshape(-1)[0])
            name = next(
                n for (n, a), (f, size) in record.trace.axes.items() if a == 0 and f <= first < f + size
            )
            if name not in record.trace.producers:
                record.trace.producers.append(name)
