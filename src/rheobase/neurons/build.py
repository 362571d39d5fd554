"""From a configuration to a module."""

from rheobase.neurons.config import NeuronConfig
from rheobase.neurons.if_ import IF
from rheobase.neurons.lif import LIF
from rheobase.neurons.neuron import Neuron
from rheobase.neurons.plif import PLIF

KINDS: dict[str, type[Neuron]] = {"lif": LIF, "if": IF, "plif": PLIF}


def build_neuron(config: NeuronConfig) -> Neuron:
    """The module that `config` describes.

    >>> build_neuron(NeuronConfig(kind="if"))
    IF(v_threshold=1, v_reset=soft, rectangular)
    """
    return KINDS[config.kind](config)
