"""Where a network with saccadic attention looks, and what the decoupled rule would have made of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rheobase.errors import RecipeError
from rheobase.neurons.saccadic import SaccadicNeuron, mismatch


def saccadic_neurons(model: nn.Module) -> dict[str, SaccadicNeuron]:
    """Saccadic neurons by name, in forward order.

    Raises:
        RecipeError: the model has none.
    """
    found = {name: m for name, m in model.named_modules() if isinstance(m, SaccadicNeuron)}
    if not found:
        raise RecipeError(
            f"{type(model).__name__} has no saccadic neuron, so it looks nowhere in particular; models that have: snn_vit_*"
        )
    return found


@torch.no_grad()
def gaze(model: nn.Module, frames: Tensor) -> Tensor:
    """Which patches pass each layer's gate at each time step, in evaluation mode: 1 where a head looks, 0 elsewhere.

    Shape: frames `[T, N, C, H_in, W_in]` -> `[T, N, layers, heads, H, W]`, H and W the map of tokens.
    Raises:
        RecipeError: the model has no saccadic neuron.
    """
    with _saliences(model, frames) as found:
        return torch.stack([neuron(salience) for neuron, salience in found.values()], 2)


@torch.no_grad()
def mismatches(model: nn.Module, frames: Tensor) -> dict[str, float]:
    """Share of gates of each layer that the decoupled rule decides otherwise than training, on the saliences of `frames`.

    Shape: frames `[T, N, C, H, W]`.
    Raises:
        RecipeError: the model has no saccadic neuron.
    """
    with _saliences(model, frames) as found:
        return {
            name: float(mismatch(salience, neuron.mixing_matrix(), neuron.thresholds()))
            for name, (neuron, salience) in found.items()
        }


@contextmanager
def _saliences(model: nn.Module, frames: Tensor) -> Iterator[dict[str, tuple[SaccadicNeuron, Tensor]]]:
    """Neurons and what they read, in evaluation mode; the mode the model was in is restored."""
    neurons, was_training = saccadic_neurons(model), model.training
    read: dict[str, tuple[SaccadicNeuron, Tensor]] = {}
    handles = []
    for name, neuron in neurons.items():

        def hook(module: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
            read[name] = (neurons[name], inputs[0])

        handles.append(neuron.register_forward_pre_hook(hook))
    model.eval()
    try:
        model(frames)
        for handle in handles:
            handle.remove()
        yield read
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
