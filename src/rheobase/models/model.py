"""The contract that every network keeps: `features` that end in spikes, and a `head` that is linear."""

from typing import Literal

from pydantic import Field, JsonValue, PositiveInt
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError
from rheobase.layers import InputUnit
from rheobase.neurons import Neuron, NeuronConfig, preset

Head = Literal["flatten", "gap"]


class ModelConfig(Config):
    """What `create_model` was given, with the defaults filled in."""

    name: str
    num_classes: int = Field(ge=1)
    in_channels: int = Field(default=2, ge=1)
    input_size: tuple[PositiveInt, PositiveInt]
    neuron: str | NeuronConfig | None
    """None where neurons are no `NeuronConfig`: the family's options say what they are."""
    width: float = Field(default=1.0, gt=0)
    head: Head | None
    input_unit: float = Field(default=1.0, gt=0)
    """What one count of the input is worth; 1/255 makes bytes of an image 0..1."""
    T: int | None = Field(default=None, ge=1)
    """Time steps, for models that have parameters by step; others take any number."""
    options: dict[str, JsonValue] = {}
    """What only this family has (depth, heads, ...), all of them filled in; the family's `options` class names them."""

    @property
    def neuron_config(self) -> NeuronConfig:
        """The neuron in full: a preset's name is looked up.

        Raises:
            RecipeError: no preset has this name, or there is no neuron over time.
        """
        if self.neuron is None:
            raise RecipeError(f"{self.name} has no neuron over time; its options say what its neurons are")
        return preset(self.neuron) if isinstance(self.neuron, str) else self.neuron

    def channels(self, count: int) -> int:
        """`count` channels at this width, at least one."""
        return max(1, round(count * self.width))


class SpikingModel(nn.Module):
    """A spiking network as a pure function of `[T, N, C, H, W]`: `logits = head(features(input_unit * x))`, no state.

    `features` ends in its last neuron, so its output is binary (in transformers that add spikes, counts; in those that add
    membranes, currents); every layer after it is in `head`, which is linear: `mean_t head(S_t) = head(mean_t S_t)`. The layers
    stand in `features` in forward order. `feature_layer` names the module that gives this output where it is no neuron.
    Spike-time networks (`models.spike_time`) have no neurons over time: their `features` are times, their logits have one step.

    Shape: x `[T, N, C, H, W]` -> logits `[T, N, K]`.
    Raises:
        DataError: the input is not floating-point `[T, N, C, H, W]` of the configured C, H, W.
    """

    def __init__(
        self,
        config: ModelConfig,
        features: nn.Module,
        head: nn.Module,
        feature_layer: str | None = None,
    ) -> None:
        super().__init__()
        self._feature_layer = feature_layer
        self.config = config
        self.input: InputUnit | None = None if config.input_unit == 1 else InputUnit(config.input_unit)
        self.features = features
        self.head = head
        # A hook and not a line of `forward`: symbolic tracing reads `forward` alone.
        self.register_forward_pre_hook(_check_call)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every time step."""
        return self.head(self._features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """What the head reads: spikes of the last neuron, or what its `feature_layer` gives.

        Shape: `[T, N, C, H, W]` -> `[T, N, C', H', W']`, zeros and ones (counts, currents: see the class).
        Raises:
            DataError: as for the model itself.
        """
        check_input(x, self.config)
        return self._features(x)

    def _features(self, x: Tensor) -> Tensor:
        return self.features(x if self.input is None else self.input(x))

    def forward_head(self, x: Tensor) -> Tensor:
        """Logits from spikes, or from a map of firing rates.

        Shape: `[T, N, C', H', W']` -> `[T, N, K]`, or `[N, C', H', W']` -> `[N, K]`.
        """
        return self.head(x)

    @property
    def feature_layer(self) -> str | None:
        """Name of the module whose output the head reads: the last neuron, or a last block that adds; None without neurons."""
        return self._feature_layer or next(reversed(self.neurons()), None)

    def neurons(self) -> dict[str, Neuron]:
        """Neuron modules by name, in forward order."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Neuron)}

    def extra_repr(self) -> str:
        """Name and input shape."""
        c = self.config
        return f"{c.name}, input [T, N, {c.in_channels}, {c.input_size[0]}, {c.input_size[1]}]"


def check_input(x: Tensor, config: ModelConfig) -> None:
    """Refuse what a model of this configuration cannot take.

    Raises:
        DataError: not five axes, no time step, other channels or size than configured, or not floating point.
    """
    expected = f"[T, N, {config.in_channels}, {config.input_size[0]}, {config.input_size[1]}]"
    given = f"{config.name} expects {expected}, got {list(x.shape)}"
    if x.dim() != 5:
        hint = "add the time axis with x.unsqueeze(0)" if x.dim() == 4 else "time comes first, then the batch"
        raise DataError(f"{given}: {hint}")
    if x.shape[0] == 0:
        raise DataError(f"{given}: there is no time step")
    if x.shape[2] != config.in_channels:
        swapped = (
            "axes 1 and 2 look swapped" if x.shape[1] == config.in_channels else "check the channel axis"
        )
        raise DataError(f"{given}: {swapped}, or create the model with in_channels={x.shape[2]}")
    if tuple(x.shape[3:]) != config.input_size:
        raise DataError(
            f"{given}: resize the frames, or create the model with input_size=({x.shape[3]}, {x.shape[4]})"
        )
    if not x.is_floating_point():
        raise DataError(
            f"{config.name} expects floating-point frames, got {x.dtype}; convert them with x.float()"
        )


def _check_call(model: nn.Module, args: tuple[Tensor, ...]) -> None:
    assert isinstance(model, SpikingModel)
    if args:
        check_input(args[0], model.config)
