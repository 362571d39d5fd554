"""The dependency analysis: run the model once and follow every channel through what torch computes.

Each parameter axis starts with channels of its own; each operation joins the channels that it makes meet (a convolution its
input channels with the second axis of its weight, batch-norm and residual additions element by element, a matrix product
the axes it contracts) and hands the fields on to its result. Reshapes, transposes and slices are applied to the fields as
they are to the tensors, so a `Flatten` repeats a channel's number H*W times and attention heads need no rule of their own.

Neurons are leaves: what they do inside is not looked at, one channel of theirs depends on that channel alone. Weights with
torch parametrisations are leaves too: the channels are those of the original.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.labels import Channels, Fields, along, compact, present, squeeze, varying
from rheobase.compression.pruning.operations import (
    ALONG,
    CONVOLUTIONS,
    ELEMENTWISE,
    EQUAL_PIECES,
    PRODUCTS,
    REDUCTIONS,
    REORDERS,
    RESAMPLINGS,
    SPATIAL,
    SPLITS,
    STRUCTURAL,
)
from rheobase.compression.pruning.states import is_activation, is_pointwise, reset_states
from rheobase.compression.pruning.tensors import canonical
from rheobase.neurons import Neuron

Run = Callable[[nn.Module, Tensor], Any]
# Properties arrive as the `__get__` of their descriptor.
GETTERS = {getattr(torch.Tensor, name).__get__: name for name in ("T", "mT", "data")}


@dataclass(frozen=True)
class Site:
    """A neuron whose output has channels along one axis (counted from the end), by module name."""

    module: str
    axis: int
    channels: np.ndarray


@dataclass
class Trace:
    """What one run showed.

    `axes`: first channel and size of each parameter axis; `producers`: weights whose first axis makes channels, in the
    order of the run; `norms`: batch-norm weights; `frozen`: channels that must stay, and why; `rows`: sets of channels
    that must keep equal numbers (heads, equal chunks).
    """

    channels: Channels = field(default_factory=Channels)
    axes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    producers: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    frozen: dict[int, str] = field(default_factory=dict)
    rows: list[list[frozenset[int]]] = field(default_factory=list)

    def roots(self, tensor: str, axis: int) -> np.ndarray:
        """The set of each position along an axis of a parameter or buffer.

        Shape: `[size]`.
        """
        first, size = self.axes[tensor, axis]
        return self.channels.roots(np.arange(first, first + size))

    def freeze(self, channels: set[int], reason: str) -> None:
        """Keep these channels."""
        for channel in channels - {-1}:
            self.frozen.setdefault(channel, reason)


def call(model: nn.Module, frames: Tensor) -> Any:
    """How a model is run unless the caller says otherwise."""
    return model(frames)


@torch.no_grad()
def trace(
    model: nn.Module, frames: Tensor, run: Run = call, pointwise: tuple[type[nn.Module], ...] = ()
) -> Trace:
    """Follow the channels of `model` through one run in evaluation mode on the first of `frames`.

    `run(model, frames)` gives the logits; `pointwise` are further neuron classes, besides those of rheobase, SpikingJelly
    and snnTorch, which compute each channel from that channel alone. The model is left as it was.

    Shape: frames `[T, N, C, H, W]`, or whatever `run` takes with N second.
    Raises:
        PruneError: an operation that channels cannot be followed through; the message names it and its module.
    """
    reset_states(model)
    recorder = _Recorder(model, pointwise)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    sample = frames[:, :1].clone()
    try:
        with recorder.watching(model), recorder:
            recorder.see(sample, [])
            outputs = run(model, sample)
            recorder.finish(outputs)
    finally:
        for module, mode in modes:
            module.training = mode
        reset_states(model)
    return recorder.trace


class _Recorder(TorchFunctionMode):
    """Sees every torch function that the model calls, computes it, and gives its result fields."""

    def __init__(self, model: nn.Module, pointwise: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.trace = Trace()
        self._pointwise = pointwise
        self._seen: dict[int, tuple[Tensor, Fields]] = {}
        self._stack: list[str] = [""]
        self._quiet = 0
        self._tensors = {id(t): name for name, t in (*model.named_parameters(), *model.named_buffers())}

    # -- fields of tensors

    def see(self, tensor: Tensor, fields: Fields) -> None:
        """Remember the fields of a tensor, and the tensor, so that its id stays its own."""
        self._seen[id(tensor)] = (tensor, fields)

    def fields(self, tensor: Tensor) -> Fields:
        """The fields of a tensor; parameters get theirs when they are first asked for."""
        if id(tensor) in self._seen:
            return self._seen[id(tensor)][1]
        if id(tensor) in self._tensors:
            name = canonical(self._tensors[id(tensor)])
            made = [
                along(self._axis(name, axis, size), axis, tensor.shape)
                for axis, size in enumerate(tensor.shape)
                if size > 1
            ]
            self.see(tensor, made)
            return made
        if tensor.numel() <= 1:
            return []
        raise PruneError(
            f"{self._where()} uses a tensor of shape {list(tensor.shape)} that no torch function, parameter or buffer "
            "gave: channels cannot be followed through what is computed outside torch (NumPy, an extension) or kept as a "
            "plain attribute. Put it into a neuron class and name that class in pointwise=(...), or register a buffer"
        )

    def _axis(self, name: str, axis: int, size: int) -> Tensor:
        if (name, axis) not in self.trace.axes:
            self.trace.axes[name, axis] = (self.trace.channels.new(size), size)
        first, _ = self.trace.axes[name, axis]
        return torch.arange(first, first + size)

    def _join(self, one: Tensor, other: Tensor, what: str) -> None:
        alone = self.trace.channels.join(one, other)
        if alone:
            self.trace.freeze(
                alone, f"{what} in {self._where()} meets entries that belong to no removable channel"
            )

    def _where(self) -> str:
        name = self._stack[-1]
        return f"module {name!r}" if name else "the model's own forward"

    def _refuse(self, name: str, reason: str) -> PruneError:
        return PruneError(f"channels cannot be followed through {name!r} in {self._where()}: {reason}")

    # -- modules

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Hooks that keep the stack of module names and treat leaves."""
        handles = []
        for name, module in model.named_modules():
            leaf = (
                "parametrisation"
                if isinstance(module, ParametrizationList)
                else "neuron"
                if is_pointwise(module, self._pointwise)
                else ""
            )
            handles.append(module.register_forward_pre_hook(self._enter(name, leaf)))
            handles.append(module.register_forward_hook(self._leave(name, leaf)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, leaf: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            self._stack.append(name)
            self._quiet += bool(leaf)

        return hook

    def _leave(self, name: str, leaf: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if leaf and self._quiet == 1:
                if isinstance(module, ParametrizationList):
                    self._parametrisation(name, module, output)
                else:
                    self._neuron(name, module, args[0], output)
            self._quiet -= bool(leaf)
            self._stack.pop()

        return hook

    def _parametrisation(self, name: str, module: ParametrizationList, output: Tensor) -> None:
        original = getattr(module, "original", None)
        if not isinstance(original, Tensor):
            raise self._refuse("parametrisation", "it computes one weight from several tensors")
        fields = self.fields(original)
        for key, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor is original or tensor.dim() > original.dim():
                continue
            for axis, size in enumerate(tensor.shape):
                if size > 1 and size == original.shape[axis]:
                    self._join(
                        self._axis(f"{name}.{key}", axis, size),
                        self._axis(canonical(f"{name}.original"), axis, size),
                        f"parametrisation {key!r}",
                    )
        if output.shape != original.shape:
            raise self._refuse("parametrisation", "it changes the shape of its weight")
        self.see(output, fields)

    def _neuron(self, name: str, module: nn.Module, x: Tensor, output: Any) -> None:
        fields = self.fields(x)
        for key, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.numel() > 1 and tensor.dim() < x.dim():  # as many axes has a membrane
                fields = self._neuron_parameter(name, key, tensor, x, fields, isinstance(module, Neuron))
        for each in tree_flatten(output)[0]:
            if isinstance(each, Tensor):
                self.see(each, fields if each.shape == x.shape else [])
        first = next((each for each in tree_flatten(output)[0] if isinstance(each, Tensor)), None)
        if first is None or first.shape != x.shape:
            raise self._refuse(type(module).__name__, "a neuron's output must have the shape of its input")
        if is_activation(module) and len(fields) == 1 and len(axes := varying(fields[0])) == 1:
            site = Site(name, axes[0] - x.dim(), squeeze(fields[0])[0].reshape(-1).numpy().copy())
            self.trace.sites.setdefault(name, site)

    def _neuron_parameter(
        self, name: str, key: str, tensor: Tensor, x: Tensor, fields: Fields, ours: bool
    ) -> Fields:
        """Join a per-channel parameter with the channels of the current: axis 2 for ours, else as it broadcasts."""
        own = self.fields(tensor)
        shape = (
            [1, 1, tensor.shape[0], *[1] * (x.dim() - 3)]
            if ours and tensor.dim() == 1
            else list(tensor.shape)
        )
        try:
            expanded = [each.reshape(shape).expand(x.shape) for each in own]
        except RuntimeError:
            raise self._refuse(
                name,
                f"{key!r} of shape {list(tensor.shape)} does not fit a current {list(x.shape)}",
            ) from None
        return self._merge([(fields, x.shape), (expanded, torch.Size(shape))], x.shape, f"{key!r}")

    # -- functions

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute, then follow."""
        kwargs = kwargs or {}
        if self._quiet:
            return func(*args, **kwargs)
        name = GETTERS.get(func) or re.sub(r"^__|_{1,2}$", "", getattr(func, "__name__", str(func))).strip(
            "_"
        )
        output = func(*args, **kwargs)
        results = _tensors(output)
        self._quiet += 1
        try:
            if name == "setitem":
                if any(self.fields(t) for t in _tensors((args, kwargs))):
                    raise self._refuse("x[...] = y", "write it with torch.where or torch.cat")
            elif results:
                self._follow(name, func, args, kwargs, output, results)
        finally:
            self._quiet -= 1
        return output

    def _follow(
        self, name: str, func: Any, args: Any, kwargs: Any, output: Any, results: list[Tensor]
    ) -> None:
        inputs = _tensors((args, kwargs))
        if not any(self.fields(each) for each in inputs):
            for result in results:
                self.see(result, [])
            return
        if name in CONVOLUTIONS:
            self.see(output, self._convolution(name, CONVOLUTIONS[name], func, args, kwargs, output))
        elif name == "linear":
            self.see(output, self._linear(func, args, kwargs, output))
        elif name == "batch_norm":
            self.see(output, self._batch_norm(args, kwargs, output))
        elif name in PRODUCTS:
            one, other = inputs[:2] if name != "rmatmul" else inputs[1::-1]
            self.see(
                output, self._product(name, one, self.fields(one), other, self.fields(other), output.shape)
            )
        elif name in SPATIAL:
            for result in results:
                self.see(result, self._spatial(name, SPATIAL[name], inputs[0], result))
        elif name in RESAMPLINGS:
            self.see(output, self._spatial(name, output.dim() - 2, inputs[0], output))
        elif name == "pad":
            self.see(
                output, [self._pad(each, inputs[0], output, args, kwargs) for each in self.fields(inputs[0])]
            )
        elif name in STRUCTURAL:
            self._structural(name, func, args, kwargs, output)
        elif name in REDUCTIONS and not (name in ("max", "min") and len(inputs) == 2):
            self._reduction(name, args, kwargs, inputs[0], results)
        elif name in ALONG:
            self._along(name, args, kwargs, inputs[0], results)
        elif name in ELEMENTWISE or name in ("max", "min"):
            shape = results[0].shape
            parts = [(self._broadcast(self.fields(each), shape), each.shape) for each in inputs]
            self.see(output, self._merge(parts, shape, repr(name)))
        else:
            raise self._refuse(
                name,
                "there is no rule for this operation. Layers whose channels are independent (neurons, activations) can "
                "be named by class in pointwise=(...); otherwise prune before this layer is added, or leave it out",
            )

    def _broadcast(self, fields: Fields, shape: torch.Size) -> Fields:
        return [each.expand(shape) for each in fields]

    def _merge(self, parts: list[tuple[Fields, torch.Size]], shape: torch.Size, what: str) -> Fields:
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
                    self._join(same, each, what)
        for each in merged:
            axes = set(varying(each))
            for fields, given in parts:
                if any(axes & set(varying(f)) for f in fields):
                    continue
                offset = len(shape) - len(given)
                if any(axis >= offset and given[axis - offset] > 1 for axis in axes):
                    self.trace.freeze(
                        present(each), f"{what} in {self._where()} has an operand that cannot be cut"
                    )
        return merged

    def _labels(self, tensor: Tensor, axis: int, name: str) -> Tensor | None:
        """The channels along one axis, which must be the only one along which they run."""
        found = None
        for each in self.fields(tensor):
            axes = varying(each)
            if axes and axes != (axis % tensor.dim(),):
                raise self._refuse(
                    name,
                    f"channels run along axes {list(axes)} of its input {list(tensor.shape)}, not along {axis}",
                )
            found = squeeze(each)[0].reshape(-1).expand(tensor.shape[axis])
        return found

    def _convolution(self, name: str, rank: int, func: Any, args: Any, kwargs: Any, output: Tensor) -> Fields:
        given = _bind(("input", "weight", "bias", "stride", "padding", "dilation", "groups"), args, kwargs)
        x, weight, bias, groups = given["input"], given["weight"], given.get("bias"), given.get("groups", 1)
        axis = -1 - rank
        inputs = self._labels(x, axis, name)
        outputs = self._weight_labels(weight, 0, name)
        if groups > 1 and weight.shape[1] == 1:  # depthwise: output o reads input o // multiplier
            if inputs is not None:
                self._join(outputs, inputs.repeat_interleave(weight.shape[0] // groups), repr(name))
        else:
            columns = self._weight_labels(weight, 1, name)
            if inputs is not None:
                # grouped: position j of the weight's second axis reads channel j of every group
                self._join(inputs.reshape(groups, -1), columns.expand(groups, -1), repr(name))
            if groups > 1:
                self.trace.rows.append([frozenset(row) for row in outputs.reshape(groups, -1).tolist()])
            self._producer(weight)
        if bias is not None:
            self._join(outputs, self._weight_labels(bias, 0, name), "bias")
        return [along(outputs, output.dim() + axis, output.shape)]

    def _weight_labels(self, weight: Tensor, axis: int, name: str) -> Tensor:
        for each in self.fields(weight):
            if varying(each) == (axis,):
                return squeeze(each)[0].reshape(-1)
        if weight.shape[axis] == 1:
            return torch.full((1,), -1)
        raise self._refuse(name, f"its weight {list(weight.shape)} is not a parameter's")

    def _producer(self, weight: Tensor) -> None:
        for each in self.fields(weight):
            if varying(each) == (0,):
                first = int(squeeze(each)[0].reshape(-1)[0])
                name = next(
                    n for (n, a), (f, size) in self.trace.axes.items() if a == 0 and f <= first < f + size
                )
                if name not in self.trace.producers:
                    self.trace.producers.append(name)

    def _linear(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Fields:
        given = _bind(("input", "weight", "bias"), args, kwargs)
        x, weight, bias = given["input"], given["weight"], given.get("bias")
        turned = [each.T for each in self.fields(weight)]
        fields = self._product("linear", x, self.fields(x), weight.T, turned, output.shape)
        self._producer(weight)
        if bias is None:
            return fields
        own = self._broadcast(self.fields(bias), output.shape)
        return self._merge([(fields, output.shape), (own, bias.shape)], output.shape, "'linear'")

    def _product(self, name: str, a: Tensor, fa: Fields, b: Tensor, fb: Fields, shape: torch.Size) -> Fields:
        """`[..., M, K] @ [..., K, N]`: channels along K on both sides are joined, those along M, N and heads are carried."""
        if a.dim() < 2 or b.dim() < 2:
            raise self._refuse(name, "one operand is a vector; write it as a matrix")
        left, right = a.dim() - 1, b.dim() - 2
        contracted_a = [each for each in fa if left in varying(each)]
        contracted_b = [each for each in fb if right in varying(each)]
        carried: Fields = []
        for each in contracted_a:
            if left - 1 in varying(each):
                raise self._refuse(name, "channels run along both axes of a factor")
            for other in contracted_b:
                self._join(each[..., 0, :], other[..., :, 0], repr(name))
        for lone in [] if contracted_a and contracted_b else [*contracted_a, *contracted_b]:
            self.trace.freeze(
                present(lone), f"{name!r} in {self._where()} multiplies them with entries of no channel"
            )
        for each in contracted_b:
            if b.dim() - 1 in varying(each):
                raise self._refuse(name, "channels run along both axes of a factor")
        carried += [each[..., :, :1].expand(shape) for each in fa if left not in varying(each)]
        carried += [each[..., :1, :].expand(shape) for each in fb if right not in varying(each)]
        return self._merge([([each], torch.Size([1])) for each in carried], shape, repr(name))

    def _batch_norm(self, args: Any, kwargs: Any, output: Tensor) -> Fields:
        names = ("input", "running_mean", "running_var", "weight", "bias")
        given = _bind(names, args, kwargs)
        x = given["input"]
        parts = [(self.fields(x), x.shape)]
        for key in names[1:]:
            tensor = given.get(key)
            if tensor is None:
                continue
            own = [along(squeeze(each)[0].reshape(-1), 1, x.shape) for each in self.fields(tensor)]
            shape = torch.Size([1, tensor.shape[0], *[1] * (x.dim() - 2)])
            parts.append((own, shape))
            if key == "weight" and id(tensor) in self._tensors:
                name = canonical(self._tensors[id(tensor)])
                if name not in self.trace.norms:
                    self.trace.norms.append(name)
        return self._merge(parts, output.shape, "'batch_norm'")

    def _spatial(self, name: str, rank: int, x: Tensor, output: Tensor) -> Fields:
        fields = []
        for each in self.fields(x):
            if any(axis >= x.dim() - rank for axis in varying(each)):
                raise self._refuse(name, "it would mix channels")
            fields.append(squeeze(each)[0].expand(output.shape))
        return fields

    def _pad(self, each: Tensor, x: Tensor, output: Tensor, args: Any, kwargs: Any) -> Tensor:
        """Padding along space changes nothing; entries added along the channel axis belong to no channel."""
        pad = list(_bind(("input", "pad"), args, kwargs)["pad"])
        axes = varying(each)
        if not any(pad[2 * i] or pad[2 * i + 1] for i in range(len(pad) // 2) if x.dim() - 1 - i in axes):
            return squeeze(each)[0].expand(output.shape)
        if len(axes) > 1:
            raise self._refuse("pad", "it pads along channels that run along several axes")
        axis = axes[0]
        i = x.dim() - 1 - axis
        labels = squeeze(each)[0].reshape(-1)
        return along(nn.functional.pad(labels, (pad[2 * i], pad[2 * i + 1]), value=-1), axis, output.shape)

    def _reduction(self, name: str, args: Any, kwargs: Any, x: Tensor, results: list[Tensor]) -> None:
        dims, keep = _dims(args, kwargs, x.dim())
        fields = []
        for each in self.fields(x):
            if set(varying(each)) & set(dims):
                self.trace.freeze(present(each), f"{name!r} in {self._where()} runs over channels")
                continue
            index = tuple(slice(0, 1) if axis in dims else slice(None) for axis in range(x.dim()))
            reduced = each[index]
            if not keep:
                for axis in sorted(dims, reverse=True):
                    reduced = reduced.squeeze(axis)
            fields.append(reduced)
        for result in results:
            self.see(
                result,
                [compact(each) for each in fields]
                if result.shape == (fields[0].shape if fields else ())
                else [],
            )

    def _along(self, name: str, args: Any, kwargs: Any, x: Tensor, results: list[Tensor]) -> None:
        dims, _ = _dims(args, kwargs, x.dim())
        for each in self.fields(x):
            if set(varying(each)) & set(dims):
                self.trace.freeze(present(each), f"{name!r} in {self._where()} runs over channels")
        for result in results:
            self.see(result, self.fields(x))

    def _structural(self, name: str, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Move the fields as the tensors are moved."""
        many = isinstance(args[0], list | tuple) if args else True
        sources: list[Tensor] = list(args[0] if many and args else kwargs.get("tensors", args[:1]))
        if not many:
            sources = [args[0]]
        count = max(len(self.fields(each)) for each in sources)
        outputs = _tensors(output)
        moved: list[Fields] = [[] for _ in outputs]
        for slot in range(count):
            parts = []
            for source in sources:
                fields = self.fields(source)
                if fields and len(fields) != count:
                    raise self._refuse(name, "it puts tensors with different sets of channels side by side")
                parts.append(fields[slot] if fields else torch.full((), -1).expand(source.shape))
            pieces = self._move(name, func, parts if many else parts[0], args[1:], kwargs)
            self._check_pieces(name, parts, pieces)
            for target, piece in zip(moved, pieces, strict=True):
                if bool((squeeze(piece)[0] >= 0).any()):
                    target.append(compact(piece))
        for result, fields in zip(outputs, moved, strict=True):
            self.see(result, fields)

    def _move(self, name: str, func: Any, given: Any, rest: Any, kwargs: Any) -> list[Tensor]:
        if name == "view" and rest and isinstance(rest[0], torch.dtype):
            raise self._refuse("view(dtype)", "it reads the bits of a tensor as another type")
        if name == "view":
            func = torch.Tensor.reshape
        try:
            return _tensors(func(given, *rest, **kwargs))
        except RuntimeError:
            return _tensors(func(given.contiguous(), *rest, **kwargs))

    def _check_pieces(self, name: str, parts: list[Tensor], pieces: list[Tensor]) -> None:
        """Splitting an axis into equal blocks binds their numbers of channels; cutting it anywhere else freezes them."""
        before = self._present(*parts)
        if name in EQUAL_PIECES and any(self._present(piece) != before for piece in pieces):
            self.trace.rows.append([frozenset(present(piece)) for piece in pieces])
        for piece in pieces:
            axes = varying(piece)
            if name in SPLITS and len(axes) > 1 and len(varying(parts[0])) < len(axes):
                blocks = squeeze(piece)[0].reshape(-1, piece.shape[axes[-1]])
                self.trace.rows.append([frozenset(set(row) - {-1}) for row in blocks.tolist()])
            after = self._present(piece)
            if after and after != before and not self._whole_rows(after):
                self.trace.freeze(before, f"{name!r} in {self._where()} cuts them at fixed places")
            elif name in REORDERS and after == before and self._order(piece) != self._order(parts[0]):
                self.trace.freeze(before, f"{name!r} in {self._where()} moves them to fixed places")
            if len(axes) == 1 and self.trace.rows:
                self._tie_interleaved(self._order(piece), before)

    def _tie_interleaved(self, order: list[int], channels: set[int]) -> None:
        """Blocks may choose their channels freely while they stand side by side; interleaved, they must choose alike."""
        for rows in self.trace.rows:
            blocks = [self._roots(row) for row in rows]
            if not any(block and block <= channels for block in blocks):
                continue
            places = [[at for at, channel in enumerate(order) if channel in block] for block in blocks]
            if (
                any(at and at[-1] - at[0] + 1 != len(at) for at in places)
                and len({len(row) for row in rows}) == 1
            ):
                first, *others = [torch.tensor(sorted(row)) for row in rows]
                for other in others:
                    self._join(first, other, "an interleaving")

    def _whole_rows(self, channels: set[int]) -> bool:
        rows = [self._roots(row) for split in self.trace.rows for row in split]
        return set().union(*(row for row in rows if row <= channels)) == channels

    def _roots(self, channels: Iterable[int]) -> set[int]:
        return {self.trace.channels.find(channel) for channel in channels if channel >= 0}

    def _present(self, *fields: Tensor) -> set[int]:
        return self._roots(channel for each in fields for channel in present(each))

    def _order(self, field: Tensor) -> list[int]:
        """The channels in the order in which they stand, repetitions included."""
        order = squeeze(field)[0].reshape(-1).tolist()
        return [self.trace.channels.find(channel) if channel >= 0 else -1 for channel in order]

    def finish(self, outputs: Any) -> None:
        """The channels of the output stay."""
        self._quiet += 1
        for each in _tensors(outputs):
            for one in self.fields(each):
                self.trace.freeze(present(one), "they are outputs of the model")
        self._quiet -= 1


def _nested(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two fields describe the same channels: one set of axes lies within the other (heads x d, and d alone)."""
    return bool(one and other) and (set(one) <= set(other) or set(other) <= set(one))


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in tree_flatten(tree)[0] if isinstance(each, Tensor)]


def _bind(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _dims(args: tuple[Any, ...], kwargs: dict[str, Any], rank: int) -> tuple[list[int], bool]:
    """The axes that a reduction runs over, and whether it keeps them."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 and isinstance(args[2], bool) else False))
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return list(range(rank)), keep
    return [each % rank for each in ([dim] if isinstance(dim, int) else dim)], keep
