"""Fine-tuning through the integer roundings: the forward pass of the lattice, the backward pass of the float model.

Hardening rounds thresholds up, biases to the nearest, and floors the leak. Within `through_roundings(model)` every neuron
of a quantised model fires as its lattice neuron does,

    s = s_float + stop_gradient(s_lattice - s_float),    sum_c = round((I_c - B_c) / U_c)

so that training sees what will ship (but for one thing: where currents are added, the lattice rounds each of them to the unit of
the sum, and here the sum is rounded once), and gradients pass straight through. Batch-norm statistics are frozen meanwhile. The
lattice is made anew before every forward pass, from the weights of that moment.

Source: straight-through training as in quantisation-aware training; the lattice is ours (see `hardening`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rheobase.compression.hardening import harden
from rheobase.compression.lattice import Hardened
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron
from rheobase.program.ir import InputType


class _Lattice:
    """The hardened form of a model, as of its last forward pass."""

    def __init__(self, model: SpikingModel, input_type: InputType) -> None:
        self.input_type = input_type
        self.hardened: Hardened = harden(model, input_type)
        self.norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]

    def renew(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        """Before a forward pass: freeze batch-norm and harden."""
        assert isinstance(model, SpikingModel)
        for norm in self.norms:
            norm.eval()
        self.hardened = harden(model, self.input_type)

    def fire(self, name: str, neuron: nn.Module, args: tuple[Tensor, ...], spikes: Tensor) -> Tensor:
        """After a neuron: the lattice's spikes in the place of its own."""
        stand, lattice = self.hardened.sums[name], self.hardened.neurons()[name]
        with torch.no_grad():
            current = args[0] * neuron.gain() if isinstance(neuron, Neuron) else args[0]
            rounded = lattice(stand.integers(current)) * stand.spike
        return spikes + (rounded.to(spikes.dtype) - spikes).detach()


@contextmanager
def through_roundings(model: SpikingModel, input_type: InputType = "uint8") -> Iterator[None]:
    """Within, spikes of a quantised model are those of the model that `harden(model, input_type)` would make of it now.

    Logits stay float. Neurons keep their surrogate gradients; batch-norm computes with its running statistics and does not
    change them, its scale and shift are trained.

    Raises:
        LatticeError: the model cannot be hardened; the message names layer and reason.
    """
    lattice = _Lattice(model, input_type)
    modes = {norm: norm.training for norm in lattice.norms}
    with ExitStack() as stack:
        handles = [model.register_forward_pre_hook(lattice.renew)]
        for name in lattice.hardened.neurons():
            handles.append(model.get_submodule(name).register_forward_hook(partial(lattice.fire, name)))
        for handle in handles:
            stack.callback(handle.remove)
        yield
    for norm, training in modes.items():
        norm.train(training)
