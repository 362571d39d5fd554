"""Proof by comparison: another engine against the reference, spike for spike and logit for logit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.program.reference import Trace


class TracedRunner(Protocol):
    """Anything that runs frames and shows all it did, such as `CompiledProgram`."""

    def run_traced(self, frames: NDArray[Any]) -> Trace:
        """Spikes and logits for frames `[T, N, C, H, W]`."""
        ...


@dataclass(frozen=True)
class Verification:
    """How many samples are equal in every spike and logit, and where the first difference is."""

    samples: int
    equal_samples: int
    first_difference: str | None

    @property
    def exact(self) -> bool:
        """Whether all samples are equal, and there was at least one."""
        return self.samples > 0 and self.equal_samples == self.samples


def verify(
    runner: TracedRunner | Callable[[NDArray[Any]], Trace], expected: Trace, frames: NDArray[Any]
) -> Verification:
    """Run `frames` and compare with `expected`, bit for bit.

    The first difference is in the earliest layer that differs (a later one differs because of it), there at
    earliest step, there in the lowest sample.

    Shape: `frames` `[T, N, C, H, W]`.
    Raises:
        DataError: the two traces do not have the same layers and shapes.
    """
    return compare(runner(frames) if callable(runner) else runner.run_traced(frames), expected)


def compare(found: Trace, expected: Trace) -> Verification:
    """`verify` for traces that are there already.

    Raises:
        DataError: the two traces do not have the same layers and shapes.
    """
    pairs: list[tuple[str, NDArray[Any], NDArray[Any]]] = [
        (f"neuron layer {i}", a, b)
        for i, (a, b) in enumerate(zip(found.spikes, expected.spikes, strict=False))
    ]
    pairs.append(("logits", found.logits, expected.logits))
    for name, a, b in pairs:
        if a.shape != b.shape:
            raise DataError(f"{name}: the runner gives {list(a.shape)}, expected {list(b.shape)}")
    if len(found.spikes) != len(expected.spikes):
        raise DataError(f"the runner has {len(found.spikes)} neuron layers, expected {len(expected.spikes)}")
    samples = expected.logits.shape[1]
    equal = np.ones(samples, bool)
    first = None
    for name, a, b in pairs:
        differs = a != b
        equal &= ~differs.any(axis=(0, *range(2, differs.ndim)))
        if first is None and differs.any():
            t, n, *place = (int(i) for i in np.argwhere(differs)[0])
            at = (t, n, *place)
            first = f"{name}, step {t}, sample {n}, place {tuple(place)}: {int(a[at])}, expected {int(b[at])}"
    return Verification(samples, int(equal.sum()), first)
