"""Which modules are neurons or activations, also those of other libraries, and how their states are forgotten."""

from torch import nn

from rheobase.neurons import Neuron

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Hardtanh)
PASSIVE = (nn.Identity, nn.Dropout, nn.Dropout2d)
# Base classes of neurons elsewhere, by module and name, so that no library has to be imported.
FOREIGN = {
    ("spikingjelly.activation_based.neuron", "BaseNode"),
    ("spikingjelly.activation_based.neuron", "NonSpikingBaseNode"),
    ("snntorch._neurons", "SpikingNeuron"),
}


def _foreign(module: nn.Module) -> bool:
    return any(
        base.__module__.startswith(home) and base.__name__ == name
        for base in type(module).__mro__
        for home, name in FOREIGN
    )


def is_pointwise(module: nn.Module, more: tuple[type[nn.Module], ...] = ()) -> bool:
    """Whether each channel of the output depends on the same channel of the input alone."""
    return isinstance(module, (Neuron, *ACTIVATIONS, *PASSIVE, *more)) or _foreign(module)


def is_activation(module: nn.Module) -> bool:
    """Whether the output is an activity that channels can be scored by."""
    return not isinstance(module, PASSIVE)


def reset_states(model: nn.Module) -> None:
    """Forget the membranes that neurons of other libraries keep between calls; rheobase's keep none."""
    for module in model.modules():
        if _foreign(module):
            for name in ("reset", "reset_mem"):
                if callable(reset := getattr(module, name, None)):
                    reset()
                    break
            for name, state in list(module.named_buffers(recurse=False)):
                if state.dim() > 2:  # snnTorch keeps membranes as buffers, whose old shape would live on
                    setattr(module, name, state.new_zeros(0))
