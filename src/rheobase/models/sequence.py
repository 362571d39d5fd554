"""Networks for signals: layers of spiking neurons that see the past through delays or through each other.

A layer is `Delays -> Dense -> BatchNorm2d -> neuron`: a causal convolution over time whose taps are the delays. Before them
may stand layers that also convolve over the height of a frame (the frequencies of a spectrogram). Signals are frames
`[T, N, C, 1, 1]`, spectrograms `[T, N, 1, bands, 1]`; the first dense layer reads its map whole. The head is linear, so it
reads every step (labels by step) as well as the mean over time (labels by clip).
"""

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, Conv2d, Delays, Dense
from rheobase.models.heads import build_head
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.neurons import Recurrent, build_neuron

Steps = tuple[NonNegativeInt, ...]


class HeightConv(Config):
    """A convolution over delays and height: `channels` (times the width of the model), `kernel` and `stride` along H."""

    channels: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    delays: Steps = (0,)


class SequenceOptions(Config):
    """Layers of a network for sequences.

    `convs`: layers that convolve over the height, first. `hidden`: neurons of each dense layer (times the width of the
    model). `delays`: steps by which each dense layer's input comes late, `[0]` for none; the last entry serves all further
    layers. `readout`: the same for the head. `norm`: batch-norm before the neuron; without it, weights and membranes can
    share a scale (quantiser `shared`). `dropout`: share of the channels of each layer that the next one does not hear of, in
    training (`ChannelDropout`).
    """

    convs: tuple[HeightConv, ...] = ()
    hidden: tuple[PositiveInt, ...] = Field(default=(128, 128), min_length=1)
    delays: tuple[Steps, ...] = Field(default=((0,),), min_length=1)
    readout: Steps = (0,)
    norm: bool = True
    dropout: float = Field(default=0.0, ge=0, lt=1)


class DelayedOptions(SequenceOptions):
    """As `SequenceOptions`; every dense layer has five delays."""

    delays: tuple[Steps, ...] = Field(default=((0, 1, 2, 4, 8),), min_length=1)


def spiking_mlp(config: ModelConfig) -> SpikingModel:
    """Feed-forward layers; with delays (`spiking_tcn`), a small convolutional network over time.

    23,564 parameters with 12 classes and 40 input channels; 109,580 as `spiking_tcn`.

    Source: ours; delays after Hammouamri et al., "Learning delays in spiking neural networks" (ICLR 2024), fixed here.
    """
    return _Build(config, recurrent=False).model()


def spiking_rnn(config: ModelConfig) -> SpikingModel:
    """Recurrent dense layers: every neuron also reads the spikes of its own layer one step before.

    56,332 parameters with 12 classes and 40 input channels.

    Source: ours; the layers of Yin, Corradi and Bohté (Nature Machine Intelligence 3, 2021) without adaptive thresholds.
    """
    return _Build(config, recurrent=True).model()


class ChannelDropout(nn.Identity):
    """Silences channels of a sample for all of its steps, in training; in evaluation, and in every program, the identity.

        y[t, n, c] = x[t, n, c] m[n, c] / (1 - p),    m = 0 with probability p, else 1

    Shape: `[T, N, C, H, W]` -> same.
    Source: Srivastava et al., JMLR 15 (2014); one mask over time as Gal and Ghahramani, NeurIPS 2016.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, input: Tensor) -> Tensor:
        """Silence."""
        if not self.training:
            return input
        kept = torch.rand_like(input[0, :, :, :1, :1]) >= self.share
        return input * (kept / (1 - self.share))

    def extra_repr(self) -> str:
        """The share."""
        return f"{self.share:g}"


class _Build:
    """A network under construction: `channels` and `size` are those of the map so far."""

    def __init__(self, config: ModelConfig, *, recurrent: bool) -> None:
        self.config, self.recurrent = config, recurrent
        self.options = SequenceOptions.model_validate(config.options)
        self.features = nn.Sequential()
        self.channels, self.size = config.in_channels, config.input_size

    def model(self) -> SpikingModel:
        """The network."""
        options = self.options
        for i, conv in enumerate(options.convs, 1):
            self._delay(f"conv_delays{i}", conv.delays)
            self._conv(i, conv)
        for i, count in enumerate(options.hidden, 1):
            if options.dropout and len(self.features):
                self.features.add_module(f"dropout{i}", ChannelDropout(options.dropout))
            self._delay(f"delays{i}", options.delays[min(i, len(options.delays)) - 1])
            out = self.config.channels(count)
            self.features.add_module(f"dense{i}", Dense(self.channels, out, self.size))
            self.channels, self.size = out, (1, 1)
            self._norm(f"norm{i}")
            if self.recurrent:
                self.features.add_module(f"recurrent{i}", Recurrent(self.config.neuron_config, out))
            else:
                self.features.add_module(f"neuron{i}", build_neuron(self.config.neuron_config))
        self._delay("readout_delays", options.readout)
        return SpikingModel(self.config, self.features, build_head(self.config, self.channels, self.size))

    def _delay(self, name: str, steps: Steps) -> None:
        if steps != (0,):
            self.features.add_module(name, Delays(steps))
            self.channels *= len(steps)

    def _conv(self, i: int, conv: HeightConv) -> None:
        height, width = self.size
        if conv.kernel > height:
            raise RecipeError(
                f"{self.config.name}: convs[{i - 1}] has a kernel of {conv.kernel}, its input a height of {height}; use a "
                "smaller one, or none: signals without a height need no convs"
            )
        out = self.config.channels(conv.channels)
        kernel, stride = (conv.kernel, 1), (conv.stride, 1)
        self.features.add_module(f"conv{i}", Conv2d(self.channels, out, kernel, stride, bias=False))
        self.channels, self.size = out, ((height - conv.kernel) // conv.stride + 1, width)
        self._norm(f"conv_norm{i}")
        self.features.add_module(f"conv_neuron{i}", build_neuron(self.config.neuron_config))

    def _norm(self, name: str) -> None:
        if self.options.norm:
            self.features.add_module(name, BatchNorm2d(self.channels))
