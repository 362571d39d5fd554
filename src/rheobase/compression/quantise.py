"""`quantise_`: give every weight of a model a quantiser, in place."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils import parametrize

from rheobase.compression.quantisers import (
    Libra,
    Quantiser,
    QuantiserBase,
    QuantiserConfig,
    ReScaWConfig,
    build_quantiser,
)
from rheobase.compression.quantisers.base import Bits
from rheobase.config import Config
from rheobase.errors import LatticeError, unknown


class QuantConfig(Config):
    """How a whole network is quantised.

    `weights` goes to every convolution and linear layer but the first and the last. Those two take `edges`, or where that is
    None, ReScaW of `edge_bits` with a max-abs scale. The last one is quantised per tensor whatever is asked for, so that the
    integer logits of all classes share one unit. QP-SNN leaves the two in float32: `edge_bits=None` does that, for training
    studies only, since no integer program can come of it.

    `overrides` maps name patterns (`"features.conv3"`, `"*conv?"`) to the quantiser of the layers they match, None for float;
    the last match counts.
    """

    weights: QuantiserConfig = ReScaWConfig()
    edge_bits: Bits | None = 8
    edges: QuantiserConfig | None = None
    overrides: dict[str, QuantiserConfig | None] = {}


def weighted_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Convolutions and linear layers by name, in the order in which they were registered."""
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def quantise_(
    model: nn.Module,
    config: QuantConfig | None = None,
    overrides: Mapping[str, QuantiserBase | None] | None = None,
) -> nn.Module:
    """Quantise the weights of `model` in place by torch parametrisations; returns the model.

    The float weights stay as the parameters that are trained; `layer.weight` is their quantised value. Any module made of
    `nn.Conv2d` and `nn.Linear` will do, whatever library its neurons come from. `overrides` come after those of `config`.
    Layers that have a quantiser keep it, so that what was trained float beside them can be quantised later.

    Raises:
        LatticeError: the model has no such layer, all of them are quantised already, or a pattern matches nothing.
    """
    config = config or QuantConfig()
    layers = weighted_layers(model)
    if not layers:
        raise LatticeError(f"{type(model).__name__} has no Conv2d or Linear layer to quantise")
    kept = quantisers(model)
    if len(kept) == len(layers):
        raise LatticeError(
            "this model is quantised already; build it anew from its float checkpoint to quantise otherwise"
        )
    for name, choice in choose(list(layers), config, overrides).items():
        if choice is not None and name not in kept:
            attach(layers[name], choice)
    return model


def attach(layer: nn.Conv2d | nn.Linear, config: QuantiserBase) -> Quantiser:
    """Quantise the weight of one layer."""
    quantiser = build_quantiser(config)
    quantiser.start(layer.weight)
    quantiser.to(layer.weight.device)
    parametrize.register_parametrization(layer, "weight", quantiser)
    return quantiser


def choose(
    names: list[str], config: QuantConfig, overrides: Mapping[str, QuantiserBase | None] | None = None
) -> dict[str, QuantiserBase | None]:
    """The quantiser of each layer, None for float, given the names of all layers in order.

    Raises:
        LatticeError: a pattern matches nothing.
    """
    chosen: dict[str, QuantiserBase | None] = dict.fromkeys(names, config.weights)
    edges: QuantiserBase | None = config.edges
    if edges is None and config.edge_bits is not None:
        edges = ReScaWConfig(bits=config.edge_bits, gamma_mode="max")
    chosen.update(dict.fromkeys((names[0], names[-1]), edges))
    if edges is not None:
        chosen[names[-1]] = edges.model_copy(update={"per_channel": False})
    for pattern, choice in [*config.overrides.items(), *(overrides or {}).items()]:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise LatticeError(unknown("layer pattern", pattern, names))
        chosen.update(dict.fromkeys(matched, choice))
    return chosen


def quantisers(model: nn.Module) -> dict[str, Quantiser]:
    """The quantiser of each quantised layer, by layer name."""
    found: dict[str, Quantiser] = {}
    for name, layer in weighted_layers(model).items():
        if parametrize.is_parametrized(layer, "weight"):
            quantiser = layer.parametrizations["weight"][0]  # type: ignore[index]
            if isinstance(quantiser, Quantiser):
                found[name] = quantiser
    return found


def latent_weight(layer: nn.Module) -> Tensor:
    """The float weight behind a layer: what is trained, and what is quantised."""
    if parametrize.is_parametrized(layer, "weight"):
        layer = layer.parametrizations["weight"]  # type: ignore[index, assignment]
        return layer.get_parameter("original")
    return layer.get_parameter("weight")


def set_progress(model: nn.Module, done: float) -> None:
    """Tell every quantiser with a schedule (Libra's error decay) that the share `done`, 0 to 1, of the training is over."""
    for quantiser in quantisers(model).values():
        if isinstance(quantiser, Libra):
            quantiser.set_progress(done)
