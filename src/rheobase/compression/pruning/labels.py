"""Which channel every element of a tensor belongs to, and which channels must go together.

A *field* is an integer tensor of the shape of the tensor that it describes: the channel of every element, -1 where there
is none. A tensor has one field for each independent set of axes along which channels run: an activation usually one, the
weight of a linear layer two (outputs and inputs), the product K^T V of attention two. Fields are expanded views wherever
they can be, so they take little memory.
"""

import numpy as np
import torch
from torch import Tensor

Fields = list[Tensor]


class Channels:
    """Disjoint sets of channels: those that an operation joins are kept or removed together."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def new(self, count: int) -> int:
        """`count` fresh channels with consecutive numbers; the first of them."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return first

    def find(self, channel: int) -> int:
        """The channel that stands for the set."""
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel

    def roots(self, channels: np.ndarray) -> np.ndarray:
        """`find` of each."""
        return np.array([self.find(int(each)) for each in channels], dtype=np.int64)

    def join(self, one: Tensor, other: Tensor) -> set[int]:
        """Join two fields element by element; the channels that met an element without a channel.

        Shape: both of one shape (or broadcasting to one).
        """
        one, other = torch.broadcast_tensors(one, other)
        one, other = squeeze(one, other)
        pairs = torch.unique(torch.stack((one.reshape(-1), other.reshape(-1))), dim=1)
        alone: set[int] = set()
        for a, b in pairs.T.tolist():
            if a < 0 or b < 0:
                alone |= {max(a, b)} - {-1}
            elif (ra := self.find(a)) != (rb := self.find(b)):
                self._parent[max(ra, rb)] = min(ra, rb)
        return alone


def varying(field: Tensor) -> tuple[int, ...]:
    """The axes along which a field changes."""
    return tuple(
        axis
        for axis in range(field.dim())
        if field.shape[axis] > 1
        and field.stride(axis) != 0
        and bool((field != field.narrow(axis, 0, 1)).any())
    )


def squeeze(*fields: Tensor) -> list[Tensor]:
    """The same fields without the axes along which none of them changes."""
    axes = {axis for field in fields for axis in varying(field)}
    result = []
    for field in fields:
        for axis in range(field.dim()):
            if axis not in axes and field.shape[axis] > 1:
                field = field.narrow(axis, 0, 1)
        result.append(field)
    return result


def compact(field: Tensor) -> Tensor:
    """The same field, stored once along the axes where it does not change."""
    return squeeze(field)[0].expand(field.shape)


def along(labels: Tensor, axis: int, shape: torch.Size) -> Tensor:
    """The field of `shape` that has `labels` along one axis.

    Shape: labels `[shape[axis]]`.
    """
    view = [1] * len(shape)
    view[axis] = -1
    return labels.reshape(view).expand(shape)


def present(field: Tensor) -> set[int]:
    """The channels of a field."""
    return set(torch.unique(squeeze(field)[0]).tolist()) - {-1}
