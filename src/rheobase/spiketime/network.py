"""Spike-time networks as what `rheobase.training.fit` trains: `forward(x[T, N, ...]) -> logits[1, N, K]`.

Time is a value here and no axis, so the logits have one step: objectives, evaluation and the training loop take them
like those of any network.
"""

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.spiketime.encoding import Latency, LatencyConfig
from rheobase.spiketime.geometry import Geometry
from rheobase.spiketime.layers import Conv2d, Dropout, Linear, MinPool2d
from rheobase.spiketime.readout import FirstSpike, WindowEnd
from rheobase.spiketime.rel_psp import RelPsp
from rheobase.spiketime.rules import RuleConfig
from rheobase.spiketime.std_ed import StdEd
from rheobase.spiketime.work import Executed


class SpikeTimeConfig(Config):
    """A network as a string of hidden layers: `400` linear, `16C5` a 5x5 convolution without padding, `P2` pooling.

    The layer of classes follows by itself. `dropout` silences inputs of linear layers; `scale` and `transform` are
    those of `FirstSpike`; STD-ED reads the membrane (`WindowEnd`, of form `readout`).
    """

    layers: str = "400"
    num_classes: int = Field(default=10, ge=1)
    in_channels: int = Field(default=1, ge=1)
    input_size: tuple[PositiveInt, PositiveInt] = (28, 28)
    rule: RuleConfig = RelPsp()
    encoder: LatencyConfig = LatencyConfig()
    dropout: float = Field(default=0.0, ge=0, lt=1)
    scale: float = Field(default=3.0, gt=0)
    transform: Literal["linear", "exp"] = "linear"
    readout: Literal["window_end", "proxy"] = "window_end"


class SpikeTimeClassifier(nn.Module):
    """Encoder, spike-time layers and readout.

    Shape: x `[T, N, ...]` -> logits `[1, N, K]`
    """

    def __init__(self, encoder: nn.Module, layers: nn.Sequential, readout: nn.Module) -> None:
        super().__init__()
        self.encoder, self.layers, self.readout = encoder, layers, readout

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the one step there is."""
        return self.readout(self.layers(self.encoder(x))).unsqueeze(0)

    def spike_times(self, x: Tensor) -> dict[str, Tensor]:
        """Times `[N, ...]` of the encoder and of every layer that fires, in forward order."""
        times = self.encoder(x)
        found = {"encoder": times}
        for name, layer in self.layers.named_children():
            times = layer(times)
            if isinstance(layer, Linear | Conv2d):
                found[name] = times
        return found

    def time_step_work(self, x: Tensor, steps: int) -> Executed:
        """What a network of these layers executes that updates every neuron in each of `steps` steps.

        One operation per synapse and step in the forward pass, as many to propagate errors (not past the first
        layer) and to update weights.
        """
        synapses = []
        times = self.encoder(x)
        for layer in self.layers:
            if isinstance(layer, Linear | Conv2d):
                synapses.append(len(times) * layer.geometry(times).views * len(layer.weight))
            times = layer(times)
        return Executed(steps * sum(synapses), steps * sum(synapses[1:]), steps * sum(synapses))


def spike_time_network(config: SpikeTimeConfig) -> SpikeTimeClassifier:
    """The network of a configuration.

    Raises:
        RecipeError: a layer is none of `<m>`, `<m>C<k>`, `P<k>`, or does not fit the map before it.
    """
    rule = config.rule
    layers = nn.Sequential()
    channels, size = config.in_channels, config.input_size
    features = 0  # of the linear layer before; 0: still maps

    def linear(name: str, count: int) -> int:
        if not features:
            layers.add_module("flatten", nn.Flatten(1))
        if config.dropout:
            layers.add_module(f"dropout_{name}", Dropout(config.dropout))
        fan_in = features or channels * size[0] * size[1]
        if count:
            layers.add_module(name, Linear(fan_in, count, rule))
        return count or fan_in

    for depth, token in enumerate(config.layers.split("-"), 1):
        count, _, kernel = token.partition("C")
        if token.isdigit():
            features = linear(f"linear{depth}", int(token))
        elif token[:1] == "P" and token[1:].isdigit() and not features:
            layers.add_module(f"pool{depth}", MinPool2d(int(token[1:])))
            size = Geometry(channels, size, (int(token[1:]),) * 2, (int(token[1:]),) * 2).out_size
        elif count.isdigit() and kernel.isdigit() and not features:
            layers.add_module(f"conv{depth}", Conv2d(channels, int(count), int(kernel), rule))
            size, channels = Geometry(channels, size, (int(kernel),) * 2).out_size, int(count)
        else:
            raise RecipeError(
                f"layer {token!r} of {config.layers!r} is none of `400`, `16C5` and `P2`, or a map after a linear "
                "layer: convolutions and poolings come first"
            )
    if isinstance(rule, StdEd):
        return SpikeTimeClassifier(
            Latency(config.encoder), layers, WindowEnd(linear("last", 0), config.num_classes, config.readout)
        )
    linear("output", config.num_classes)
    t_max = 6.0 if rule.t_max is None else rule.t_max
    return SpikeTimeClassifier(
        Latency(config.encoder), layers, FirstSpike(t_max, config.scale, config.transform)
    )
