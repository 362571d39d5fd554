"""Spike times of a run: what `spike_times.npz` holds, as a record that answers what the figures ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.numbers import percent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SpikeSample:
    """One sample: spikes of some neurons of each layer, and which of them its answer follows from."""

    label: str
    answer: str
    answered: float  # inf: no output neuron fired
    times: list[Array]  # of each layer [n], inf = silent
    causal: list[Array]  # bool [n]
    fired: list[int]  # spikes of all neurons of each layer
    counted: list[int]  # those of them that are causal


@dataclass(frozen=True, eq=False)
class SpikeTimes:
    """First spikes of each layer (the inputs first) and answers of M samples.

    `counts` `[L, B]` are spikes in equal bins over `[0, end)`, `silent` `[L]` neurons times samples without one;
    `answered` `[M]` is when the first output neuron fired (inf: never), `confidence` the softmax of the decision.
    """

    layers: list[str]
    neurons: Array
    silent: Array
    counts: Array
    end: float
    answered: Array
    right: Array
    confidence: Array
    samples: list[SpikeSample]

    def __post_init__(self) -> None:
        fired, places = self.counts.sum(1) + self.silent, self.neurons * len(self.answered)
        if len(self.layers) != len(self.counts) or not np.array_equal(fired, places):
            raise DataError(
                "spike times: spikes and silent neurons of a layer must add up to its neurons in all samples, "
                f"got {fired.tolist()} and {places.tolist()}"
            )

    def spikes(self) -> list[float]:
        """Mean spikes of each layer per sample."""
        return (self.counts.sum(1) / len(self.answered)).tolist()

    def silent_share(self) -> list[float]:
        """Share of neurons (in the mean over samples) of each layer that do not fire."""
        return (self.silent / (self.neurons * len(self.answered))).tolist()

    def histogram(self) -> tuple[Array, Array]:
        """Edges `[B'+1]` up to the last spike, and shares of each layer's spikes `[L, B']`; B' <= 128."""
        used = int(np.flatnonzero(self.counts.any(0)).max(initial=0)) + 1
        step = -(-used // 128)
        bins = -(-used // step)
        padded = np.zeros((len(self.counts), bins * step))
        padded[:, :used] = self.counts[:, :used]
        counts = padded.reshape(len(padded), bins, step).sum(-1)
        edges = np.arange(bins + 1) * (step * self.end / self.counts.shape[1])
        return edges, counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def decided(self) -> tuple[Array, Array, Array, Array]:
        """Times at which answers arrive; share of all samples answered by then, their accuracy and confidence.

        Answers that arrive together count together.
        """
        order = np.argsort(self.answered, kind="stable")
        order = order[np.isfinite(self.answered[order])]
        times = self.answered[order]
        last = np.flatnonzero(np.append(times[1:] != times[:-1], True)) if len(times) else np.zeros(0, int)
        so_far = np.arange(1, len(times) + 1)
        curves = (
            so_far / len(self.answered),
            *(x[order].cumsum() / so_far for x in (self.right, self.confidence)),
        )
        share, accuracy, confidence = (curve[last] for curve in curves)
        return times[last], share, accuracy, confidence

    def one_moment(self) -> bool:
        """Whether all samples are answered at the same time, so that there is no curve."""
        return len(self.decided()[0]) < 2


def read_spike_times(path: Path, classes: Sequence[str]) -> SpikeTimes | None:
    """The record in a run folder's `spike_times.npz`; None where there is no such file."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        found = dict(file)
    layers = [str(name) for name in found["layers"]]
    return SpikeTimes(
        layers=["inputs", *layers[1:]],
        neurons=found["neurons"],
        silent=found["silent"],
        counts=found["counts"],
        end=float(found["end"]),
        answered=found["answered"],
        right=found["right"],
        confidence=found["confidence"],
        samples=[
            SpikeSample(
                label=str(classes[int(label)]),
                answer=str(classes[int(found["answers"][s])]),
                answered=float(found["answered"][found["indices"][s]]),
                times=[found[f"times_{i}"][s] for i in range(len(layers))],
                causal=[found[f"causal_{i}"][s] for i in range(len(layers))],
                fired=found["fired"][s].tolist(),
                counted=found["causal"][s].tolist(),
            )
            for s, label in enumerate(found["labels"])
        ],
    )


def in_words(found: SpikeTimes) -> str:
    """When answers arrive, in a sentence."""
    times, share, accuracy, _ = found.decided()
    if not len(times):
        return "No output neuron fires for any sample."
    if found.one_moment():
        return f"Every answer arrives at t = {times[0]:.3g}."
    half = min(int(np.searchsorted(share, 0.5)), len(times) - 1)
    return (
        f"{percent(share[half])} of the samples are answered by t = {times[half]:.3g}, {percent(accuracy[half])} of "
        f"these rightly; the last answer arrives at t = {times[-1]:.3g}, when {percent(share[-1])} are answered, "
        f"{percent(accuracy[-1])} of them rightly."
    )
