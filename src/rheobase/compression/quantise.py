"""`quantise_`: give every weight of a model a quantiser, in place."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn
from torch.nn.utils import parametrize

from rheobase.compression.rescaw import ReScaW, ReScaWConfig, code_usage
from rheobase.config import Config
from rheobase.errors import LatticeError, unknown


class QuantConfig(Config):
    """How a whole network is quantised.

    `weights` goes to every convolution and linear layer but the first and the last, which take `edge_bits` with a max-abs
    scale (the last one per tensor, so that the integer logits of all classes share one unit). The paper leaves those two in
    float32: `edge_bits=None` does that, for training studies only, since no integer program can come of it.
    """

    weights: ReScaWConfig = ReScaWConfig()
    edge_bits: Literal[1, 2, 4, 8] | None = 8


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers by name, in the order in which they were registered."""
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def quantise_(
    model: nn.Module, config: QuantConfig | None = None, overrides: Mapping[str, ReScaWConfig] | None = None
) -> nn.Module:
    """Quantise the weights of `model` in place by torch parametrisations; returns the model.

    The float weights stay as the parameters that are trained; `layer.weight` is their quantised value. Any module made of
    `nn.Conv2d` and `nn.Linear` will do, whatever library its neurons come from. `overrides` maps name patterns
    (`"features.3.*"`) to the configuration of the layers they match; the last match counts.

    Raises:
        LatticeError: the model has no such layer, is quantised already, or a pattern matches nothing.
    """
    config = config or QuantConfig()
    layers = weighted_layers(model)
    if not layers:
        raise LatticeError(f"{type(model).__name__} has no Conv2d or Linear layer to quantise")
    if quantisers(model):
        raise LatticeError(
            "this model is quantised already; build it anew from its float checkpoint to quantise otherwise"
        )
    chosen = _choose(list(layers), config, overrides or {})
    for name, layer in layers.items():
        if (choice := chosen[name]) is not None:
            parametrize.register_parametrization(layer, "weight", ReScaW(choice))
    return model


def _choose(
    names: list[str], config: QuantConfig, overrides: Mapping[str, ReScaWConfig]
) -> dict[str, ReScaWConfig | None]:
    chosen: dict[str, ReScaWConfig | None] = {name: config.weights for name in names}
    for name in (names[0], names[-1]):
        chosen[name] = (
            None
            if config.edge_bits is None
            else ReScaWConfig(bits=config.edge_bits, gamma_mode="max", per_channel=name != names[-1])
        )
    for pattern, choice in overrides.items():
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise LatticeError(unknown("layer pattern", pattern, names))
        chosen.update(dict.fromkeys(matched, choice))
    return chosen


def quantisers(model: nn.Module) -> dict[str, ReScaW]:
    """The quantiser of each quantised layer, by layer name."""
    found: dict[str, ReScaW] = {}
    for name, layer in weighted_layers(model).items():
        if parametrize.is_parametrized(layer, "weight"):
            quantiser = layer.parametrizations["weight"][0]  # type: ignore[index]
            assert isinstance(quantiser, ReScaW)
            found[name] = quantiser
    return found


def latent_weight(layer: nn.Module) -> nn.Parameter:
    """The float weight behind a quantised layer."""
    return layer.parametrizations["weight"].original  # type: ignore[index, union-attr]


def code_usages(model: nn.Module) -> dict[str, float]:
    """Share of levels used by each quantised layer (see `code_usage`)."""
    layers = weighted_layers(model)
    return {name: code_usage(q, latent_weight(layers[name])) for name, q in quantisers(model).items()}
