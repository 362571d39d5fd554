"""Scores of activity: calibration frames run once, and every neuron that carries a group's channels is recorded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.compression.pruning.choose import Ranking
from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.scores.base import Mean, Subject
from rheobase.compression.pruning.states import reset_states
from rheobase.objectives import capture

# A neuron module, its input and its output [T, N, C, ...] -> score and tie of each channel, summed over N.
Measure = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def by_activity(subject: Subject, measure: Measure, *, inputs: bool = False) -> list[Ranking]:
    """Mean of `measure` over recordings, and over the neurons and positions that carry a channel.

    One pass for all layers, in evaluation mode. `inputs`: the measure reads the neurons' inputs too.

    Shape: `measure(module, input[T, N, C, ...], output[T, N, C, ...]) -> ([C], [C])`, sums over N.
    Raises:
        PruneError: no neuron carries the channels of a group, or there are no frames.
    """
    if subject.frames.shape[1] == 0:
        raise PruneError(
            f"score {subject.config.score!r} needs calibration frames, got none; give it some training recordings"
        )
    sites = _sites(subject)
    modules = {name: subject.model.get_submodule(name) for name in sites}
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    training = [(module, module.training) for module in subject.model.modules()]
    subject.model.eval()
    try:
        for batch in subject.frames.split(subject.config.batch, dim=1):
            reset_states(subject.model)
            with (
                capture(subject.model, list(sites)) as outputs,
                _Inputs(modules if inputs else {}) as currents,
            ):
                subject.run(subject.model, batch)
            for name, out in outputs.spikes().items():
                axis = subject.trace.sites[name].axis
                current = currents.stacked(name) if inputs else out
                if out.dim() + axis < 2:  # called once, without a time axis
                    current, out = current.unsqueeze(0), out.unsqueeze(0)
                _check_batch(name, out, batch)
                score, tie = measure(modules[name], *(each.movedim(axis, 2) for each in (current, out)))
                old = sums.get(name, (0, 0))
                sums[name] = (old[0] + score.double(), old[1] + tie.double())
    finally:
        for module, mode in training:
            module.training = mode
        reset_states(subject.model)
    count = subject.frames.shape[1]
    rankings = []
    for group in subject.groups:
        mean = Mean(group.size)
        for name, (score, tie) in sums.items():
            mean.add(_positions(subject, name, group.channels), score / count, tie / count)
        rankings.append(mean.ranking())
    return rankings


def _positions(subject: Subject, site: str, channels: tuple[int, ...]) -> np.ndarray:
    index = {channel: i for i, channel in enumerate(channels)}
    return np.array(
        [
            index.get(int(root), -1)
            for root in subject.trace.channels.roots(subject.trace.sites[site].channels)
        ]
    )


def _sites(subject: Subject) -> list[str]:
    used = []
    seen: set[int] = set()
    wanted = {channel for group in subject.groups for channel in group.channels}
    for name, site in subject.trace.sites.items():
        here = {int(root) for root in subject.trace.channels.roots(site.channels) if root >= 0}
        if here & wanted:
            used.append(name)
            seen |= here
    for group in subject.groups:
        if not seen & set(group.channels):
            raise PruneError(
                f"score {subject.config.score!r} reads the spikes of the neuron that follows a layer, and none follows "
                f"{group.name!r}; use score='l1', or keep that layer with overrides={{{group.name!r}: 0}}"
            )
    return used


def _check_batch(name: str, out: Tensor, batch: Tensor) -> None:
    if out.shape[1] != batch.shape[1]:
        raise PruneError(
            f"neuron {name!r} gives {list(out.shape)} for {batch.shape[1]} recordings: axis 1 must be theirs. Scores of "
            "activity need neurons that see [T, N, ...] at once, or [N, ...] once per step; score='l1' needs neither"
        )


class _Inputs:
    """Records the first input of modules, as `capture` does their outputs."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self._modules, self._calls = modules, {name: list[Tensor]() for name in modules}

    def __enter__(self) -> "_Inputs":
        def hook(name: str) -> Any:
            return lambda module, args: self._calls[name].append(args[0])

        self._handles = [m.register_forward_pre_hook(hook(name)) for name, m in self._modules.items()]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def stacked(self, name: str) -> Tensor:
        """The inputs of one module, stacked as `capture` stacks outputs."""
        calls = self._calls[name]
        return calls[0] if len(calls) == 1 else torch.stack(calls)
