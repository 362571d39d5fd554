"""The operations that event-driven layers execute, counted as they happen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

KINDS = ("forward", "errors", "updates")
Three = tuple[int, int, int]


@dataclass
class Executed:
    """What layers did within `counted()`, in operations on (input, output neuron) pairs.

    `forward`: a weight added to a potential; `errors`, `updates`: pairs visited to propagate errors and to update
    weights. `lanes` are the same three with the idle lanes of vector blocks: what the processor computed. `dense` are
    the same three if nothing were skipped: every synapse at every time step (`sparse_backward`).
    """

    forward: int = 0
    errors: int = 0
    updates: int = 0
    lanes: Three = (0, 0, 0)
    dense: Three = (0, 0, 0)

    @property
    def total(self) -> int:
        """Operations of one step of training."""
        return self.forward + self.errors + self.updates

    def picojoules(self, forward: float = 0.9, errors: float = 4.6, updates: float = 0.9) -> float:
        """Energy of the arithmetic alone, at so many picojoules an operation.

        Additions in the forward pass and, of spikes of 1, in updates; multiplications for errors. The defaults are 32-bit
        additions and multiply-additions in 45 nm (Horowitz, ISSCC 2014); 1.5 for each is the synaptic operation of the
        ANP-I chip (28 nm).
        """
        return forward * self.forward + errors * self.errors + updates * self.updates


_meters: list[Executed] = []


@contextmanager
def counted() -> Iterator[Executed]:
    """Counts what event-driven layers execute within the block."""
    meter = Executed()
    _meters.append(meter)
    try:
        yield meter
    finally:
        _meters.remove(meter)


def counting() -> bool:
    """Whether anyone counts."""
    return bool(_meters)


def note(kind: int, pairs: int, *, lanes: int = 0, dense: int = 0) -> None:
    """Add to everyone's count: kind 0 forward, 1 errors, 2 updates."""
    for meter in _meters:
        setattr(meter, KINDS[kind], getattr(meter, KINDS[kind]) + pairs)
        meter.lanes = _plus(meter.lanes, kind, lanes)
        meter.dense = _plus(meter.dense, kind, dense)


def _plus(three: Three, kind: int, more: int) -> Three:
    a, b, c = (value + more * (i == kind) for i, value in enumerate(three))
    return a, b, c
