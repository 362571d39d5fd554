"""Record what named modules put out during a forward pass, of any model, by forward hooks."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rheobase.errors import DataError, RecipeError, unknown


class Capture:
    """The context manager that `capture` returns; read it inside the block or after."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._modules = {name: _find(model, name) for name in layers}
        self._calls: dict[str, list[Tensor]] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Capture":
        self._remove()
        self._calls = {name: [] for name in self._modules}
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._record(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def spikes(self, steps: int | None = None) -> dict[str, Tensor]:
        """The recorded maps by layer, in the order the layers were asked for.

        A module called once gives its tensor; one called once per step gives its tensors stacked on a new
        axis 0. With ``steps`` the result is checked to have that many time steps, which also finds modules
        that were shared, or called per step with T and N merged.

        Shape: each [T, N, ...].

        Raises: DataError if a module did not run, or does not give ``steps`` steps.
        """
        found = {name: self._stack(name) for name in self._modules}
        for name, maps in found.items():
            if steps is not None and maps.shape[:1] != (steps,):
                raise DataError(
                    f"layer {name!r} was called {len(self._calls[name])} time(s) and gives "
                    f"{list(maps.shape)}, but the model's logits have T = {steps}. Capture a module that "
                    "runs once on [T, N, ...] or once per step on [N, ...], and call the model once inside "
                    "the block."
                )
        return found

    def _stack(self, name: str) -> Tensor:
        calls = self._calls.get(name, [])
        if not calls:
            raise DataError(
                f"layer {name!r} did not run. Call the model inside `with capture(...)`, and check that "
                "its forward uses this module (as a module: `self.layer(x)`, not `self.layer.forward(x)`)."
            )
        if len(calls) == 1:
            return calls[0]
        if any(call.shape != calls[0].shape for call in calls):
            raise DataError(
                f"layer {name!r} was called {len(calls)} times with different shapes, so these are not the "
                f"steps of one sequence: {', '.join(str(list(call.shape)) for call in calls)}."
            )
        return torch.stack(calls)

    def _record(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            if tensor is None:
                raise DataError(
                    f"layer {name!r} ({type(module).__name__}) returned a {type(output).__name__} without "
                    "a tensor in it; capture a module that returns its spikes, or a tuple that starts with "
                    "them."
                )
            self._calls[name].append(tensor)

        return hook

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def capture(model: nn.Module, layers: Sequence[str]) -> Capture:
    """Context manager that records the outputs of the named modules.

    >>> with capture(model, ["features.7"]) as captured:
    ...     logits = model(frames)
    >>> captured.spikes()["features.7"]  # [T, N, C, H, W]

    Works for modules called once on [T, N, ...] and for modules called once per step (SpikingJelly single-
    step, snnTorch); of a tuple the first tensor counts. Gradients flow through what is recorded. The hooks
    go on exit, also after an error. A per-step module run for a single step gives [N, ...]: nothing shows
    that a time axis is missing.

    Raises: RecipeError if the model has no module of that name.
    """
    if isinstance(layers, str):
        layers = (layers,)
    return Capture(model, layers)


def _find(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        known = [each for each, _ in model.named_modules() if each]
        raise RecipeError(unknown("layer", name, known)) from None


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list):
        return next((found for each in output if (found := _first_tensor(each)) is not None), None)
    return None
