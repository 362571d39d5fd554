"""Which rule follows the channels through which torch function."""

from typing import Any

from torch import Tensor

from rheobase.compression.pruning.tracing import moves, weights, windows
from rheobase.compression.pruning.tracing.arguments import tensors_in
from rheobase.compression.pruning.tracing.operations import (
    ALONG,
    CONVOLUTIONS,
    ELEMENTWISE,
    PRODUCTS,
    REDUCTIONS,
    RESAMPLINGS,
    SPATIAL,
    STRUCTURAL,
)
from rheobase.compression.pruning.tracing.record import Record


def follow(
    record: Record, name: str, func: Any, args: Any, kwargs: Any, output: Any, results: list[Tensor]
) -> None:
    """Give the results of a torch function their fields; `name` is the function's."""
    inputs = tensors_in((args, kwargs))
    if not any(record.fields(each) for each in inputs):
        for result in results:
            record.see(result, [])
        return
    if name in CONVOLUTIONS:
        record.see(output, weights.convolution(record, name, CONVOLUTIONS[name], args, kwargs, output))
    elif name == "linear":
        record.see(output, weights.linear(record, args, kwargs, output))
    elif name == "batch_norm":
        record.see(output, weights.batch_norm(record, args, kwargs, output))
    elif name in PRODUCTS:
        one, other = inputs[:2] if name != "rmatmul" else inputs[1::-1]
        record.see(
            output,
            weights.product(
                record,
                name,
                one,
                record.fields(one),
                other,
                record.fields(other),
                output.shape,
            ),
        )
    elif name in SPATIAL:
        for result in results:
            record.see(result, windows.spatial(record, name, SPATIAL[name], inputs[0], result))
    elif name in RESAMPLINGS:
        record.see(output, windows.spatial(record, name, output.dim() - 2, inputs[0], output))
    elif name == "pad":
        record.see(
            output,
            [windows.pad(record, each, inputs[0], output, args, kwargs) for each in record.fields(inputs[0])],
        )
    elif name in STRUCTURAL:
        moves.structural(record, name, func, args, kwargs, output)
    elif name in REDUCTIONS and not (name in ("max", "min") and len(inputs) == 2):
        windows.reduction(record, name, args, kwargs, inputs[0], results)
    elif name in ALONG:
        windows.along_axis(record, name, args, kwargs, inputs[0], results)
    elif name in ELEMENTWISE or name in ("max", "min"):
        shape = results[0].shape
        parts = [(record.broadcast(record.fields(each), shape), each.shape) for each in inputs]
        record.see(output, record.merge(parts, shape, repr(name)))
    else:
        raise record.refuse(
            name,
            "there is no rule for this operation. Layers whose channels are independent (neurons, activations) can "
            "be named by class in pointwise=(...); otherwise prune before this layer is added, or leave it out",
        )
