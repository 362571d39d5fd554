"""Operations over axes: windows, padding, reductions, and what runs along an axis."""

from typing import Any

from torch import Tensor, nn

from rheobase.compression.pruning.labels import Fields, along, compact, present, squeeze, varying
from rheobase.compression.pruning.tracing.arguments import bind, dims_of
from rheobase.compression.pruning.tracing.record import Record


def spatial(record: Record, name: str, rank: int, x: Tensor, output: Tensor) -> Fields:
    """Windows over the last `rank` axes, which may hold no channels."""
    fields = []
    for each in record.fields(x):
        if any(axis >= x.dim() - rank for axis in varying(each)):
            raise record.refuse(name, "it would mix channels")
        fields.append(squeeze(each)[0].expand(output.shape))
    return fields


def pad(record: Record, each: Tensor, x: Tensor, output: Tensor, args: Any, kwargs: Any) -> Tensor:
    """Padding along space changes nothing; entries added along the channel axis belong to no channel."""
    pad = list(bind(("input", "pad"), args, kwargs)["pad"])
    axes = varying(each)
    if not any(pad[2 * i] or pad[2 * i + 1] for i in range(len(pad) // 2) if x.dim() - 1 - i in axes):
        return squeeze(each)[0].expand(output.shape)
    if len(axes) > 1:
        raise record.refuse("pad", "it pads along channels that run along several axes")
    axis = axes[0]
    i = x.dim() - 1 - axis
    labels = squeeze(each)[0].reshape(-1)
    return along(nn.functional.pad(labels, (pad[2 * i], pad[2 * i + 1]), value=-1), axis, output.shape)


def reduction(record: Record, name: str, args: Any, kwargs: Any, x: Tensor, results: list[Tensor]) -> None:
    """The axes that are reduced vanish; channels along them must stay."""
    dims, keep = dims_of(args, kwargs, x.dim())
    fields = []
    for each in record.fields(x):
        if set(varying(each)) & set(dims):
            record.trace.freeze(present(each), f"{name!r} in {record.where()} runs over channels")
            continue
        index = tuple(slice(0, 1) if axis in dims else slice(None) for axis in range(x.dim()))
        reduced = each[index]
        if not keep:
            for axis in sorted(dims, reverse=True):
                reduced = reduced.squeeze(axis)
        fields.append(reduced)
    for result in results:
        record.see(
            result,
            [compact(each) for each in fields] if result.shape == (fields[0].shape if fields else ()) else [],
        )


def along_axis(record: Record, name: str, args: Any, kwargs: Any, x: Tensor, results: list[Tensor]) -> None:
    """What runs along channels (a softmax) keeps them all."""
    dims, _ = dims_of(args, kwargs, x.dim())
    for each in record.fields(x):
        if set(varying(each)) & set(dims):
            record.trace.freeze(present(each), f"{name!r} in {record.where()} runs over channels")
    for result in results:
        record.see(result, record.fields(x))
