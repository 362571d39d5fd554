"""Where a network with saccadic attention looks, and what the decoupled rule would have made of it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rheobase.errors import RecipeError
from rheobase.neurons.saccadic import SaccadicNeuron, mismatch


@dataclass(frozen=True, eq=False)
class Gaze:
    """What one saccadic neuron lets pass.

    Shape: gates `[T, N, heads, H, W]`, H and W the map of tokens: 1 where a head looks, 0 elsewhere. `mismatch` is the share of
    gates that the decoupled rule decides otherwise.
    """

    gates: Tensor
    mismatch: float


def saccadic_neurons(model: nn.Module) -> dict[str, SaccadicNeuron]:
    """Saccadic neurons by name, in forward order; none where the model has no saccadic attention."""
    return {name: m for name, m in model.named_modules() if isinstance(m, SaccadicNeuron)}


@torch.no_grad()
def gaze(model: nn.Module, frames: Tensor) -> dict[str, Gaze]:
    """Which tokens pass each saccadic neuron at each time step, in evaluation mode; the mode the model was in is restored.

    Shape: frames `[T, N, C, H_in, W_in]` -> by name of the neuron, in forward order.
    Raises:
        RecipeError: the model has no saccadic neuron.
    """
    neurons, was_training = saccadic_neurons(model), model.training
    if not neurons:
        raise RecipeError(
            f"{type(model).__name__} has no saccadic neuron, so it looks nowhere in particular; models that have: snn_vit_*"
        )
    found: dict[str, Gaze] = {}

    def look(name: str, neuron: SaccadicNeuron, salience: Tensor, gates: Tensor) -> None:
        lost = mismatch(salience, neuron.mixing_matrix(), neuron.thresholds())
        found[name] = Gaze(gates, float(lost))

    handles = [
        neuron.register_forward_hook(
            lambda module, inputs, gates, name=name: look(name, module, inputs[0], gates)
        )
        for name, neuron in neurons.items()
    ]
    model.eval()
    try:
        model(frames)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return found
