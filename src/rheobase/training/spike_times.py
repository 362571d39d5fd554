"""What a spike-time network does on unseen data, for the report: when its neurons fire, and when it answers.

An answer arrives when the first output neuron fires; a network that reads membranes answers when its last window ends.
Times are absolute: layers that fire in windows of their own (STD-ED) fire at their depth + t'.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rheobase.evenly import evenly
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.spiketime import Conv2d, Linear, StdEd, WindowEnd
from rheobase.training.loader import Samples, as_input, batches

BINS = 256


class Histogram:
    """Counts of times of several layers in equal bins over `[0, end)`; `end` doubles, bins merging, as later ones come.

    Shape: `counts` `[L, BINS]`
    """

    def __init__(self, layers: int) -> None:
        self.end, self.counts = 1.0, np.zeros((layers, BINS), np.int64)

    def add(self, layer: int, times: NDArray[Any]) -> None:
        """Count finite times >= 0."""
        while times.size and times.max() >= self.end:
            merged = self.counts.reshape(len(self.counts), -1, 2).sum(-1)
            self.counts = np.concatenate([merged, np.zeros_like(merged)], 1)
            self.end *= 2
        bins = (times.astype(np.float64) * (BINS / self.end)).astype(np.int64)
        self.counts[layer] += np.bincount(bins, minlength=BINS)


def collect_spike_times(
    model: SpikeTimeClassifier, data: Samples, *, batch_size: int = 128, samples: int = 4, neurons: int = 64
) -> dict[str, NDArray[Any]]:
    """First spikes of every layer over the data, when each sample is answered, and the spikes of a few samples.

    A spike of a sample is causal if its answer follows from it: the gradient of the winning logit reaches it. Of the layer
    before the winner these are the inputs of its equation; of earlier layers, those of the equations behind these.

    Shape:
        `layers` names `[L]` (the encoder first), `neurons`, `silent` (neurons times samples that did not fire) `[L]`,
        `counts` `[L, B]` over `[0, end)`; `answered` (inf: never), `right`, `confidence` (softmax of the logits) `[M]`;
        `indices`, `labels`, `answers` `[S]`, `fired`, `causal` (spikes of each layer) `[S, L]`, and of the i-th
        layer `times_<i>`, `causal_<i>` `[S, n]`, n <= `neurons`, evenly chosen
    """
    with _evaluating(model), torch.no_grad():
        device = next(model.parameters()).device
        result = _over_all(model, data, batch_size, device)
        indices = evenly(len(data), samples)
        x = as_input(np.ascontiguousarray(data.frames[indices]), device)
        return result | _few(model, x, neurons) | {"indices": indices, "labels": data.labels[indices]}


def _over_all(
    model: SpikeTimeClassifier, data: Samples, batch_size: int, device: torch.device
) -> dict[str, NDArray[Any]]:
    depth = len(_firing(model))
    histogram, silent = Histogram(depth), np.zeros(depth, np.int64)
    parts = []
    for frames, labels in batches(data, batch_size, device=device):
        own, logits = _run(model, frames)
        times = _absolute(model, own)
        for i, t in enumerate(times):
            flat = t.flatten().cpu().numpy()
            finite = flat[np.isfinite(flat)]
            histogram.add(i, finite)
            silent[i] += len(flat) - len(finite)
        confidence, decision = logits.softmax(-1).max(-1)
        parts.append(torch.stack([_answered(model, times), decision == labels, confidence]))
    answered, right, sure = torch.cat(parts, 1).cpu().numpy()
    return {
        "layers": np.array(list(_firing(model)), dtype=np.str_),
        "neurons": np.array([t[0].numel() for t in times]),
        "silent": silent,
        "counts": histogram.counts,
        "end": np.array(histogram.end),
        "answered": answered,
        "right": right.astype(bool),
        "confidence": sure,
    }


def _few(model: SpikeTimeClassifier, x: Tensor, neurons: int) -> dict[str, NDArray[Any]]:
    times, answers, causal = causal_spikes(model, x)
    result = {
        "answers": answers.cpu().numpy(),
        "fired": torch.stack([t.isfinite().flatten(1).sum(1) for t in times], 1).cpu().numpy(),
        "causal": torch.stack([c.flatten(1).sum(1) for c in causal], 1).cpu().numpy(),
    }
    for i, (t, c) in enumerate(zip(times, causal, strict=True)):
        chosen = evenly(t[0].numel(), neurons)
        result[f"times_{i}"] = t.flatten(1).cpu().numpy()[:, chosen]
        result[f"causal_{i}"] = c.flatten(1).cpu().numpy()[:, chosen]
    return result


def causal_spikes(model: SpikeTimeClassifier, x: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Times of each layer, the answers `[N]`, and which of the spikes these follow from.

    Shape: x `[T, N, C, H, W]` -> times and bools `[N, ...]`, the encoder's first
    """
    with torch.enable_grad():
        times, logits = _run(model, x)
        winning, answers = logits.max(-1)
        reached = torch.autograd.grad(winning.sum(), times)
    causal = [(g != 0) & t.isfinite() for g, t in zip(reached, times, strict=True)]
    return _absolute(model, times), answers, causal


def _run(model: SpikeTimeClassifier, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Times of the encoder and of every layer that fires, each in its frame, and the logits `[N, K]`."""
    x = x if model.input is None else model.input(x)
    times = []
    for name, layer in model.features.named_children():
        x = layer(x)
        if name == "encoder":
            x = x.detach().requires_grad_()
        if name in _firing(model):
            times.append(x)
    return times, model.head(x)


def _absolute(model: SpikeTimeClassifier, times: list[Tensor]) -> list[Tensor]:
    """Times from the start of the sample on, where every layer counts from the start of its own window."""
    windows = any(
        isinstance(layer, Linear | Conv2d) and isinstance(layer.rule, StdEd)
        for layer in model.features.children()
    )
    return [t.detach() + depth for depth, t in enumerate(times)] if windows else [t.detach() for t in times]


def _firing(model: SpikeTimeClassifier) -> list[str]:
    return [
        name
        for name, layer in model.features.named_children()
        if name == "encoder" or isinstance(layer, Linear | Conv2d)
    ]


def _answered(model: SpikeTimeClassifier, times: list[Tensor]) -> Tensor:
    """When each answer arrives, inf = never.  [N]"""
    if isinstance(model.head, WindowEnd):
        return torch.full_like(times[-1].flatten(1)[:, 0], len(times))
    return times[-1].amin(1)


@contextmanager
def _evaluating(model: SpikeTimeClassifier) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def spikes_per_sample(found: dict[str, NDArray[Any]]) -> float:
    """Spikes of all neurons, those of the encoder left out, in the mean over samples."""
    return float((found["neurons"] - found["silent"] / len(found["answered"]))[1:].sum())
