"""The dependency analysis: run the model once and follow every channel through what torch computes.

Each parameter axis starts with channels of its own; each operation joins the channels that it makes meet (a convolution its
input channels with the second axis of its weight, batch-norm and residual additions element by element, a matrix product
the axes it contracts) and hands the fields on to its result. Reshapes, transposes and slices are applied to the fields as
they are to the tensors, so a `Flatten` repeats a channel's number H*W times and attention heads need no rule of their own.

Neurons are leaves: what they do inside is not looked at, one channel of theirs depends on that channel alone. Weights with
torch parametrisations are leaves too: the channels are those of the original.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from rheobase.compression.pruning.labels import present
from rheobase.compression.pruning.states import is_pointwise, reset_states
from rheobase.compression.pruning.tracing import leaves
from rheobase.compression.pruning.tracing.arguments import tensors_in
from rheobase.compression.pruning.tracing.found import Trace
from rheobase.compression.pruning.tracing.record import Record
from rheobase.compression.pruning.tracing.rules import follow

Run = Callable[[nn.Module, Tensor], Any]
# Properties arrive as the `__get__` of their descriptor.
GETTERS = {getattr(torch.Tensor, name).__get__: name for name in ("T", "mT", "data")}


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
    recorder = Recorder(model, pointwise)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    sample = frames[:, :1].clone()
    try:
        with recorder.watching(model), recorder:
            recorder.record.see(sample, [])
            outputs = run(model, sample)
            recorder.finish(outputs)
    finally:
        for module, mode in modes:
            module.training = mode
        reset_states(model)
    return recorder.record.trace


class Recorder(TorchFunctionMode):
    """Sees every torch function that the model calls, computes it, and gives its result fields."""

    def __init__(self, model: nn.Module, pointwise: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.record = Record(model)
        self._pointwise = pointwise
        self._quiet = 0

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
            self.record.stack.append(name)
            self._quiet += bool(leaf)

        return hook

    def _leave(self, name: str, leaf: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if leaf and self._quiet == 1:
                if isinstance(module, ParametrizationList):
                    leaves.parametrisation(self.record, name, module, output)
                else:
                    leaves.neuron(self.record, name, module, args[0], output)
            self._quiet -= bool(leaf)
            self.record.stack.pop()

        return hook

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
        results = tensors_in(output)
        self._quiet += 1
        try:
            if name == "setitem":
                if any(self.record.fields(t) for t in tensors_in((args, kwargs))):
                    raise self.record.refuse("x[...] = y", "write it with torch.where or torch.cat")
            elif results:
                follow(self.record, name, func, args, kwargs, output, results)
        finally:
            self._quiet -= 1
        return output

    def finish(self, outputs: Any) -> None:
        """The channels of the output stay."""
        self._quiet += 1
        for each in tensors_in(outputs):
            for one in self.record.fields(each):
                self.record.trace.freeze(present(one), "they are outputs of the model")
        self._quiet -= 1
