"""Firing rates by layer, and what is wrong with them: layers that are dead or saturated learn nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

DEAD = 1e-3
SATURATED = 0.9


@dataclass
class RateMeter:
    """Context manager that counts the spikes of every neuron layer of a model by forward hooks.

        rate = spikes of either sign / (steps * neurons * samples)

    Models without a `neurons()` method (foreign ones) have no layers here.
    """

    model: nn.Module
    spikes: dict[str, float] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    _handles: list[RemovableHandle] = field(default_factory=list)
    _sums: dict[str, list[Tensor]] = field(default_factory=dict)

    def __enter__(self) -> "RateMeter":
        for name, neuron in neuron_layers(self.model).items():
            self._sums[name], self.places[name] = [], 0
            self._handles.append(neuron.register_forward_hook(self._count(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self.spikes = {name: sum(float(part) for part in parts) for name, parts in self._sums.items()}

    def _count(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._sums[name].append(output.detach().abs().sum(dtype=torch.float32))
            self.places[name] += output.numel()

        return hook

    def rates(self) -> dict[str, float]:
        """Mean firing rate of each layer, 0 to 1; after the block."""
        return {name: spikes / max(self.places[name], 1) for name, spikes in self.spikes.items()}

    def mean_rate(self) -> float:
        """Mean firing rate over all neurons of all layers; after the block."""
        return sum(self.spikes.values()) / max(sum(self.places.values()), 1)

    def total(self) -> float:
        """Spikes of all layers; after the block."""
        return sum(self.spikes.values())


def neuron_layers(model: nn.Module) -> dict[str, nn.Module]:
    """What `model.neurons()` gives, or nothing for a model that has no such method."""
    listed = getattr(model, "neurons", None)
    return dict(listed()) if callable(listed) else {}


def check_rates(rates: Mapping[str, float]) -> dict[str, str]:
    """A message for each layer that is dead (rate < 0.001) or saturated (rate > 0.9), with what to try.

    >>> sorted(check_rates({"features.2": 0.0002, "features.5": 0.12}))
    ['features.2']
    """
    messages: dict[str, str] = {}
    for name, rate in rates.items():
        if rate < DEAD:
            messages[name] = (
                f"layer {name!r} is dead: its neurons fire in {rate:.2%} of the steps, so almost no gradient "
                "passes it. "
                "Try a lower v_threshold, a wider surrogate, a larger tau, or a lower learning rate if it "
                "was alive before"
            )
        elif rate > SATURATED:
            messages[name] = (
                f"layer {name!r} is saturated: its neurons fire in {rate:.0%} of the steps and carry little "
                "information. "
                "Try a higher v_threshold, a smaller tau, or a lower learning rate"
            )
    return messages
