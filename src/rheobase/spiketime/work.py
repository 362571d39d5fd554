"""The operations that event-driven layers execute, counted as they happen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from rheobase.spiketime.geometry import Geometry


@dataclass
class Executed:
    """What the kernels did within `counted()`, in operations on (input spike, output neuron) pairs.

    `forward`: additions of a weight to a potential that had not fired; `errors`, `updates`: causal pairs visited to
    propagate errors and to update weights. `lanes` are the same three with the idle lanes of vector blocks: what the
    processor computed.
    """

    forward: int = 0
    errors: int = 0
    updates: int = 0
    lanes: tuple[int, int, int] = (0, 0, 0)

    @property
    def total(self) -> int:
        """Operations of one step of training."""
        return self.forward + self.errors + self.updates


_meters: list[Executed] = []


@contextmanager
def counted() -> Iterator[Executed]:
    """Counts what the kernels execute within the block."""
    meter = Executed()
    _meters.append(meter)
    try:
        yield meter
    finally:
        _meters.remove(meter)


def counting() -> bool:
    """Whether anyone counts."""
    return bool(_meters)


def note(kind: int, pairs: int, lanes: int) -> None:
    """Add to everyone's count: kind 0 forward, 1 errors, 2 updates."""
    name = ("forward", "errors", "updates")[kind]
    for meter in _meters:
        setattr(meter, name, getattr(meter, name) + pairs)
        executed = list(meter.lanes)
        executed[kind] += lanes
        meter.lanes = (executed[0], executed[1], executed[2])


def additions(times: Tensor, last: Tensor, geometry: Geometry) -> int:
    """Additions of an event-driven forward pass: the causal inputs of neurons that fire, all arrived ones of the others.

    Shape: times `[N, S]`, last `[N, P, m]`
    """
    arrived = geometry.patches(times).isfinite().sum(1).view(*last.shape[:2], 1)
    return int(torch.where(last >= 0, last.long() + 1, arrived).sum())
