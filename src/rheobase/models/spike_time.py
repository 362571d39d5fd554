"""Spike-time networks: every neuron fires at most once, and time is a value instead of an axis.

A network is a string of hidden layers: `400` is linear, `16C5` a 5x5 convolution without padding, `P2` pooling to the
earliest spike. The layer of classes follows by itself. What a neuron computes is the `rule` (`rheobase.spiketime`).
"""

from collections import OrderedDict
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.kernels import Executed
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.spiketime import (
    Conv2d,
    Dropout,
    FirstEvent,
    FirstSpike,
    Geometry,
    Latency,
    LatencyConfig,
    Linear,
    MinPool2d,
    RelPsp,
    RuleConfig,
    StdEd,
    WindowEnd,
)


class SpikeTimeOptions(Config):
    """Options of the family.

    `encoder`: how frames become times (`first_event`: the first frame that holds an event, in 0..1). `dropout` silences
    inputs of linear layers; `scale` and `transform` are those of `FirstSpike`; STD-ED reads the membrane (`WindowEnd`,
    of form `readout`).
    """

    layers: str = "400"
    rule: RuleConfig = RelPsp()
    encoder: LatencyConfig | Literal["first_event"] = LatencyConfig()
    dropout: float = Field(default=0.0, ge=0, lt=1)
    scale: float = Field(default=3.0, gt=0)
    transform: Literal["linear", "exp"] = "linear"
    readout: Literal["window_end", "proxy"] = "window_end"


class SpikeTimeClassifier(SpikingModel):
    """Encoder and spike-time layers (`features`), and a readout (`head`), which is not linear.

    `features` gives the times of the last layer `[N, n]`, inf = silent, and logits have the one step there is:
    objectives on logits, evaluation and the training loop take them like those of any network.

    Shape: x `[T, N, C, H, W]` -> logits `[1, N, K]`
    """

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the one step."""
        return super().forward(x).unsqueeze(0)

    def spike_times(self, x: Tensor) -> dict[str, Tensor]:
        """Times `[N, ...]` of the encoder and of every layer that fires, in forward order."""
        found = {}
        for name, layer, _, after in self._walk(x):
            if isinstance(layer, Linear | Conv2d) or name == "encoder":
                found[name] = after
        return found

    def time_step_work(self, x: Tensor, steps: int) -> Executed:
        """What a network of these layers executes that updates every neuron in each of `steps` steps.

        One operation per synapse and step in the forward pass, as many to propagate errors (not past the first
        layer) and to update weights.
        """
        synapses = [
            len(times) * layer.geometry(times).views * len(layer.weight)
            for _, layer, times, _ in self._walk(x)
            if isinstance(layer, Linear | Conv2d)
        ]
        return Executed(steps * sum(synapses), steps * sum(synapses[1:]), steps * sum(synapses))

    def _walk(self, x: Tensor) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
        """Name, layer, what goes in and what comes out, in forward order."""
        x = x if self.input is None else self.input(x)
        steps = []
        for name, layer in self.features.named_children():
            steps.append((name, layer, x, x := layer(x)))
        return steps


def spike_time(config: ModelConfig) -> SpikeTimeClassifier:
    """The network that `config.options` describes; `width` scales its hidden layers.

    784-400-10 of ReL-PSP has 317,600 parameters.

    Source: layer strings of Zhang et al., STDBP (arXiv 2003.11837).
    Raises:
        RecipeError: a layer is none of `<m>`, `<m>C<k>`, `P<k>`, or does not fit the map before it; a neuron or a head is
            given.
    """
    if config.neuron is not None or config.head is not None:
        raise RecipeError(
            f"{config.name} has no neuron over time and a head of its own: leave out neuron and head, and choose "
            "options.rule and options.readout"
        )
    options = SpikeTimeOptions.model_validate(config.options)
    rule, channels, size = options.rule, config.in_channels, config.input_size
    encoder = FirstEvent() if options.encoder == "first_event" else Latency(options.encoder)
    layers: OrderedDict[str, nn.Module] = OrderedDict(encoder=encoder)
    features = 0  # of the linear layer before; 0: still maps

    def flat(name: str) -> int:
        if not features:
            layers["flatten"] = nn.Flatten(1)
        if options.dropout:
            layers[f"dropout_{name}"] = Dropout(options.dropout)
        return features or channels * size[0] * size[1]

    for depth, token in enumerate(options.layers.split("-"), 1):
        count, _, kernel = token.partition("C")
        if token.isdigit():
            name, fan_in = f"linear{depth}", flat(f"linear{depth}")
            features = config.channels(int(token))
            layers[name] = Linear(fan_in, features, rule)
        elif token[:1] == "P" and token[1:].isdigit() and not features:
            layers[f"pool{depth}"] = MinPool2d(int(token[1:]))
            size = Geometry(channels, size, (int(token[1:]),) * 2, (int(token[1:]),) * 2).out_size
        elif count.isdigit() and kernel.isdigit() and not features:
            layers[f"conv{depth}"] = conv = Conv2d(channels, config.channels(int(count)), int(kernel), rule)
            size, channels = Geometry(channels, size, conv.kernel_size).out_size, len(conv.weight)
        else:
            raise RecipeError(
                f"layer {token!r} of {options.layers!r} is none of `400`, `16C5` and `P2`, or a map after a linear "
                "layer: convolutions and poolings come first"
            )
    fan_in = flat("output")
    if isinstance(rule, StdEd):
        head: nn.Module = WindowEnd(fan_in, config.num_classes, options.readout, onset=rule.onset > 0)
    else:
        layers["output"] = Linear(fan_in, config.num_classes, rule)
        head = FirstSpike(6.0 if rule.t_max is None else rule.t_max, options.scale, options.transform)
    return SpikeTimeClassifier(config, nn.Sequential(layers), head)
