"""What is known while a model runs: the fields of every tensor seen so far, and where the run is."""

import torch
from torch import Tensor, nn

from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.labels import Fields, along, compact, present, varying
from rheobase.compression.pruning.tensors import canonical
from rheobase.compression.pruning.tracing.found import Trace


class Record:
    """Fields by tensor, the trace they add up to, and the stack of module names.

    `names`: of parameters and buffers, by the id of the tensor.
    """

    def __init__(self, model: nn.Module) -> None:
        self.trace = Trace()
        self.stack: list[str] = [""]
        self.names = {id(t): name for name, t in (*model.named_parameters(), *model.named_buffers())}
        self._seen: dict[int, tuple[Tensor, Fields]] = {}

    def see(self, tensor: Tensor, fields: Fields) -> None:
        """Remember the fields of a tensor, and the tensor, so that its id stays its own."""
        self._seen[id(tensor)] = (tensor, fields)

    def fields(self, tensor: Tensor) -> Fields:
        """The fields of a tensor; parameters get theirs when they are first asked for."""
        if id(tensor) in self._seen:
            return self._seen[id(tensor)][1]
        if id(tensor) in self.names:
            name = canonical(self.names[id(tensor)])
            made = [
                along(self.axis(name, axis, size), axis, tensor.shape)
                for axis, size in enumerate(tensor.shape)
                if size > 1
            ]
            self.see(tensor, made)
            return made
        if tensor.numel() <= 1:
            return []
        raise PruneError(
            f"{self.where()} uses a tensor of shape {list(tensor.shape)} that no torch function, parameter or buffer "
            "gave: channels cannot be followed through what is computed outside torch (NumPy, an extension) or kept as a "
            "plain attribute. Put it into a neuron class and name that class in pointwise=(...), or register a buffer"
        )

    def axis(self, name: str, axis: int, size: int) -> Tensor:
        """The channels of an axis of a parameter; new ones when they are first asked for."""
        if (name, axis) not in self.trace.axes:
            self.trace.axes[name, axis] = (self.trace.channels.new(size), size)
        first, _ = self.trace.axes[name, axis]
        return torch.arange(first, first + size)

    def join(self, one: Tensor, other: Tensor, what: str) -> None:
        """Join two fields element by element; what meets an element of no channel must stay."""
        alone = self.trace.channels.join(one, other)
        if alone:
            self.trace.freeze(
                alone, f"{what} in {self.where()} meets entries that belong to no removable channel"
            )

    def broadcast(self, fields: Fields, shape: torch.Size) -> Fields:
        """Fields of a tensor that is broadcast to a shape."""
        return [each.expand(shape) for each in fields]

    def merge(self, parts: list[tuple[Fields, torch.Size]], shape: torch.Size, what: str) -> Fields:
        """Fields of an element-wise result: those that run along shared axes are joined, the rest are carried.

        A channel that meets an operand with other entries along the channel axis, and without channels, is frozen:
        to remove it, that operand would have to be cut too.
        """
        merged: Fields = []
        for fields, _ in parts:
            for each in fields:
                same = next((m for m in merged if _nested(varying(m), varying(each))), None)
                if same is None:
                    merged.append(compact(each))
                else:
                    self.join(same, each, what)
        for each in merged:
            axes = set(varying(each))
            for fields, given in parts:
                if any(axes & set(varying(f)) for f in fields):
                    continue
                offset = len(shape) - len(given)
                if any(axis >= offset and given[axis - offset] > 1 for axis in axes):
                    self.trace.freeze(
                        present(each), f"{what} in {self.where()} has an operand that cannot be cut"
                    )
        return merged

    def where(self) -> str:
        """Where the run is, for messages."""
        name = self.stack[-1]
        return f"module {name!r}" if name else "the model's own forward"

    def refuse(self, name: str, reason: str) -> PruneError:
        """The error that says what cannot be followed, where, and why."""
        return PruneError(f"channels cannot be followed through {name!r} in {self.where()}: {reason}")


def _nested(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two fields describe the same channels: one set of axes lies within the other (heads x d, and d alone)."""
    return bool(one and other) and (set(one) <= set(other) or set(other) <= set(one))
