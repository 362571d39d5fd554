"""Does a framework run an exported graph as it was meant? Spikes layer by layer beside those of the network."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.exchange.dialects import DT
from rheobase.exchange.losses import ExchangeError
from rheobase.exchange.nir import NirExport
from rheobase.program.reference import Trace


@dataclass(frozen=True)
class Agreement:
    """One neuron layer: the share of places and steps where both fire or both do not, and how many spikes each gave."""

    layer: str
    equal: float
    spikes: int
    expected: int

    @property
    def exact(self) -> bool:
        """Whether every spike is equal."""
        return self.equal == 1.0


def agreement(
    export: NirExport, framework: str, frames: NDArray[np.uint8], expected: Trace
) -> list[Agreement]:
    """Run an exported graph in `framework` (`norse` or `snntorch`) and compare each neuron layer's spikes.

    Samples run one at a time and without a batch axis, as NIR's shapes have none.

    Shape: `frames` uint8 `[T, N, C, H, W]`; `expected` is the trace of the network on them.
    Raises:
        ExchangeError: the framework is not installed or cannot read the graph.
        DataError: `expected` has other layers than the graph, or other samples.
    """
    if len(expected.spikes) != len(export.neurons) or expected.logits.shape[:2] != frames.shape[:2]:
        raise DataError(
            f"the graph has {len(export.neurons)} neuron layers and the frames are {list(frames.shape[:2])}; the trace has "
            f"{len(expected.spikes)} and {list(expected.logits.shape[:2])}"
        )
    samples = [run_nir(export, framework, frames[:, n]) for n in range(frames.shape[1])]
    found = []
    for layer, (name, wanted) in enumerate(zip(export.neurons, expected.spikes, strict=True)):
        spikes = np.stack([sample[layer] for sample in samples], axis=1)
        found.append(
            Agreement(
                name, float((spikes == wanted).mean()), int(spikes.sum()), int(wanted.astype(np.int64).sum())
            )
        )
    return found


def run_nir(export: NirExport, framework: str, frames: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """Spikes of every neuron node for one sample.

    Shape: `frames` `[T, C, H, W]` to `[T, *shape]` for each layer.
    Raises:
        ExchangeError: the framework is unknown, not installed, or cannot read the graph.
    """
    if framework not in LOADERS:
        raise ExchangeError(f"there is no check in {framework!r}; choose {' or '.join(LOADERS)}")
    import torch

    seen: dict[str, list[Any]] = {name: [] for name in export.neurons}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            seen[name].append(spikes.detach().numpy().astype(np.uint8))

        return hook

    with _quiet(), torch.no_grad():
        try:
            network, step = LOADERS[framework](export.graph)
        except ImportError as error:
            raise ExchangeError(f"{framework} is not installed ({error}): pip install {framework}") from None
        modules = dict(network.named_modules())
        handles = [modules[name].register_forward_hook(keep(name)) for name in export.neurons]
        state = None
        for frame in frames:
            state = step(torch.from_numpy(np.ascontiguousarray(frame, dtype=np.float32)), state)
        for handle in handles:
            handle.remove()
    return [np.stack(seen[name]) for name in export.neurons]


def _norse(graph: Any) -> tuple[Any, Callable[[Any, Any], Any]]:
    """Membranes travel in the state that a call returns."""
    import norse.torch

    network = norse.torch.from_nir(graph, dt=DT)
    return network, lambda frame, state: network(frame, state)[1]


def _snntorch(graph: Any) -> tuple[Any, Callable[[Any, Any], Any]]:
    """Membranes live in the modules, which are new."""
    from snntorch.import_nir import import_from_nir

    network = import_from_nir(graph)
    return network, lambda frame, state: network(frame) and None


LOADERS: dict[str, Callable[[Any], tuple[Any, Callable[[Any, Any], Any]]]] = {
    "norse": _norse,
    "snntorch": _snntorch,
}


@contextlib.contextmanager
def _quiet() -> Any:
    """The importers print and warn about what they are meant to do."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def least(found: Sequence[Agreement]) -> Agreement:
    """The layer that agrees least."""
    return min(found, key=lambda each: each.equal)
