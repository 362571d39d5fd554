"""Weight-spike dual regulation (WS-DR): keep the information of one-bit weights and of spikes.

    L = task + lambda * (1/|inner|) sum over inner layers l of (f_l - target)^2,    f_l = mean of the layer's spikes

`task` is the cross-entropy of every step, `(1/T) sum_t CE(o_t, y)`, or any other objective. The inner layers are all
neurons but the first and the last. A spike is most informative where it is as likely as not (target 0.5):

    H(p) = -p ln p - (1 - p) ln(1 - p)

The weights' part of the regulation is no loss: the Libra quantiser centres and standardises weights before their sign
(`rheobase.compression.LibraConfig`). The entropy of both is logged, in nats.

Source: Q-SNN (ACM MM 2024, arXiv 2406.13672) and released code: lambda 5e-3, rates[1:-1].
"""

import weakref
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rheobase.compression.code_usage import code_entropy
from rheobase.compression.quantise import latent_weight, quantisers, weighted_layers
from rheobase.config import Config
from rheobase.errors import DataError, RecipeError
from rheobase.neurons import Neuron
from rheobase.objectives.base import Loss, Objective, Outputs, wide
from rheobase.objectives.cross_entropy import CrossEntropyConfig
from rheobase.objectives.stable_spike import StableSpikeConfig
from rheobase.objectives.tet import TETConfig


class WSDRConfig(Config):
    """Options; the defaults are the published ones. A target of 0.5 makes a network fire more: watch the rates."""

    name: Literal["ws_dr"] = "ws_dr"
    rate_lambda: float = Field(default=5e-3, ge=0)
    target: float = Field(default=0.5, ge=0, le=1)
    layers: tuple[str, ...] | None = None
    """Modules whose spikes are recorded, in forward order; None is every neuron of a rheobase model."""

    task: Annotated[CrossEntropyConfig | TETConfig | StableSpikeConfig, Field(discriminator="name")] = (
        TETConfig(lam=0.0)
    )
    """The objective that is regulated; `tet` with lam 0 is the cross-entropy of every step."""


def entropy(p: Tensor) -> Tensor:
    """Entropy of a binary variable in nats, `-p ln p - (1-p) ln(1-p)`; 0 at 0 and 1, ln 2 at 0.5.

    Shape: any -> same.
    """
    return torch.special.entr(p) + torch.special.entr(1 - p)


def inner_rates(spikes: dict[str, Tensor]) -> Tensor:
    """Firing rate of each recorded layer but the first and the last, mean over T, N and all its neurons.

    Shape: each `[T, N, ...]` -> `[layers - 2]`; empty where there are no inner layers.
    """
    rates = [wide(each).mean() for each in list(spikes.values())[1:-1]]
    return torch.stack(rates) if rates else torch.zeros(0)


def spike_regulation(rates: Tensor, target: float = 0.5) -> Tensor:
    """`mean_l (f_l - target)^2`; 0 where there are no inner layers.

    Shape: `[layers]` -> scalar.
    """
    return (rates - target).square().sum() / max(len(rates), 1)


class WSDR:
    """A task objective with the spike regulation of WS-DR.

    Parts: those of the task; ``spike_regulation`` (without lambda) and ``spike_entropy``, mean over inner layers;
    ``weight_entropy``, mean over quantised layers but the first and the last, where the model has some.

    Shape: logits [T, N, K], target [N] class indices.

    Raises: DataError if the spikes of the layers were not recorded; RecipeError if the model names no neurons.
    """

    def __init__(self, config: WSDRConfig | None = None, generator: torch.Generator | None = None) -> None:
        from rheobase.objectives.build import build_objective  # which knows this class

        self.config = config or WSDRConfig()
        self.task: Objective = build_objective(self.config.task, generator)
        self._layers: tuple[str, ...] = ()
        self._task_layers: tuple[str, ...] = ()
        self._model: weakref.ref[nn.Module] | None = None

    @property
    def needs_features(self) -> bool:
        """Whether the task sends rates through the head."""
        return self.task.needs_features

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """The recorded neurons, and what the task needs."""
        self._model = weakref.ref(model)
        self._task_layers = self.task.layers(model)
        self._layers = self.config.layers or tuple(
            name for name, module in model.named_modules() if isinstance(module, Neuron)
        )
        if not self._layers:
            raise RecipeError(
                f"{type(model).__name__} has no rheobase neurons: name its spiking modules in forward order, "
                "WSDRConfig(layers=('lif1', 'lif2', 'lif3'))"
            )
        return (*self._layers, *(name for name in self._task_layers if name not in self._layers))

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        missing = [name for name in self._layers if name not in outputs.spikes]
        if missing or not self._layers:
            raise DataError(
                f"WS-DR reads the spikes of {missing or 'all neurons'}, which were not recorded: run the model through "
                "objectives.collect(model, frames, objective)"
            )
        seen = {name: outputs.spikes[name] for name in self._task_layers}
        task = self.task(Outputs(outputs.logits, seen, outputs.head), target)
        rates = inner_rates({name: outputs.spikes[name] for name in self._layers}).to(outputs.logits.device)
        regulation = spike_regulation(rates, self.config.target)
        parts = {
            **task.parts,
            "spike_regulation": regulation.detach(),
            "spike_entropy": entropy(rates.detach()).sum() / max(len(rates), 1),
        }
        if (weights := self._weight_entropy()) is not None:
            parts["weight_entropy"] = torch.tensor(weights, device=outputs.logits.device)
        return Loss(task.total + self.config.rate_lambda * regulation, parts)

    def _weight_entropy(self) -> float | None:
        model = self._model() if self._model is not None else None
        if model is None:
            return None
        layers, found = weighted_layers(model), quantisers(model)
        inner = [name for name in list(layers)[1:-1] if name in found]
        if not inner:
            return None
        return sum(code_entropy(found[name], latent_weight(layers[name])) for name in inner) / len(inner)
