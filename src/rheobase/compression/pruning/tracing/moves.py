"""Operations that move elements: the fields are moved as the tensors are.

Splitting an axis into equal blocks binds their numbers of channels; cutting it anywhere else, or sending channels to fixed
places, keeps them all.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from rheobase.compression.pruning.labels import Fields, compact, present, squeeze, varying
from rheobase.compression.pruning.tracing.arguments import tensors_in
from rheobase.compression.pruning.tracing.operations import EQUAL_PIECES, REORDERS, SPLITS
from rheobase.compression.pruning.tracing.record import Record


def structural(record: Record, name: str, func: Any, args: Any, kwargs: Any, output: Any) -> None:
    """Move the fields as the tensors are moved."""
    many = isinstance(args[0], list | tuple) if args else True
    sources: list[Tensor] = list(args[0] if many and args else kwargs.get("tensors", args[:1]))
    if not many:
        sources = [args[0]]
    count = max(len(record.fields(each)) for each in sources)
    outputs = tensors_in(output)
    moved: list[Fields] = [[] for _ in outputs]
    for slot in range(count):
        parts = []
        for source in sources:
            fields = record.fields(source)
            if fields and len(fields) != count:
                raise record.refuse(name, "it puts tensors with different sets of channels side by side")
            parts.append(fields[slot] if fields else torch.full((), -1).expand(source.shape))
        pieces = _moved(record, name, func, parts if many else parts[0], args[1:], kwargs)
        _check_pieces(record, name, parts, pieces)
        for target, piece in zip(moved, pieces, strict=True):
            if bool((squeeze(piece)[0] >= 0).any()):
                target.append(compact(piece))
    for result, fields in zip(outputs, moved, strict=True):
        record.see(result, fields)


def _moved(record: Record, name: str, func: Any, given: Any, rest: Any, kwargs: Any) -> list[Tensor]:
    if name == "view" and rest and isinstance(rest[0], torch.dtype):
        raise record.refuse("view(dtype)", "it reads the bits of a tensor as another type")
    if name == "view":
        func = torch.Tensor.reshape
    try:
        return tensors_in(func(given, *rest, **kwargs))
    except RuntimeError:
        return tensors_in(func(given.contiguous(), *rest, **kwargs))


def _check_pieces(record: Record, name: str, parts: list[Tensor], pieces: list[Tensor]) -> None:
    """Splitting an axis into equal blocks binds their numbers of channels; cutting it anywhere else freezes them."""
    before = _present(record, *parts)
    if name in EQUAL_PIECES and any(_present(record, piece) != before for piece in pieces):
        record.trace.rows.append([frozenset(present(piece)) for piece in pieces])
    for piece in pieces:
        axes = varying(piece)
        if name in SPLITS and len(axes) > 1 and len(varying(parts[0])) < len(axes):
            blocks = squeeze(piece)[0].reshape(-1, piece.shape[axes[-1]])
            record.trace.rows.append([frozenset(set(row) - {-1}) for row in blocks.tolist()])
        after = _present(record, piece)
        if after and after != before and not _whole_rows(record, after):
            record.trace.freeze(before, f"{name!r} in {record.where()} cuts them at fixed places")
        elif name in REORDERS and after == before and _order(record, piece) != _order(record, parts[0]):
            record.trace.freeze(before, f"{name!r} in {record.where()} moves them to fixed places")
        if len(axes) == 1 and record.trace.rows:
            _tie_interleaved(record, _order(record, piece), before)


def _tie_interleaved(record: Record, order: list[int], channels: set[int]) -> None:
    """Blocks may choose their channels freely while they stand side by side; interleaved, they must choose alike."""
    for rows in record.trace.rows:
        blocks = [_roots(record, row) for row in rows]
        if not any(block and block <= channels for block in blocks):
            continue
        places = [[at for at, channel in enumerate(order) if channel in block] for block in blocks]
        if (
            any(at and at[-1] - at[0] + 1 != len(at) for at in places)
            and len({len(row) for row in rows}) == 1
        ):
            first, *others = [torch.tensor(sorted(row)) for row in rows]
            for other in others:
                record.join(first, other, "an interleaving")


def _whole_rows(record: Record, channels: set[int]) -> bool:
    rows = [_roots(record, row) for split in record.trace.rows for row in split]
    return set().union(*(row for row in rows if row <= channels)) == channels


def _roots(record: Record, channels: Iterable[int]) -> set[int]:
    return {record.trace.channels.find(channel) for channel in channels if channel >= 0}


def _present(record: Record, *fields: Tensor) -> set[int]:
    return _roots(record, (channel for each in fields for channel in present(each)))


def _order(record: Record, field: Tensor) -> list[int]:
    """The channels in the order in which they stand, repetitions included."""
    order = squeeze(field)[0].reshape(-1).tolist()
    return [record.trace.channels.find(channel) if channel >= 0 else -1 for channel in order]
