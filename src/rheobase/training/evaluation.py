"""What a trained model is worth on unseen data: accuracy, how early it is reached, spikes, robustness.

With the logits `o_t` of each step, the decision after `k` steps is `argmax (1/k) sum_{t<=k} o_t`;
`accuracy_at[k-1]` is its accuracy, `accuracy` the one after all `T` steps. Where every step has a label, decisions are
those of single steps, `argmax o_t`, over the steps that have one. Works for anything with
`forward(x[T, N, ...]) -> logits[T, N, K]`: float, quantised and hardened models, and foreign ones.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.errors import DataError
from rheobase.evenly import evenly
from rheobase.events import NOISE_SUITE, add_noise, drop_events
from rheobase.events.noise import Kind
from rheobase.files import atomic_write
from rheobase.objectives import capture, judged, temporal_inconsistency
from rheobase.training.corrupt import corrupted
from rheobase.training.health import RateMeter, neuron_layers
from rheobase.training.loader import Samples, as_input, batches

ROBUSTNESS = {"noise": Kind(add_noise, (0.05, 0.1, 0.2)), "drop": Kind(drop_events, (0.1, 0.25, 0.5))}


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one part of a data set; rates and accuracies are fractions.

    `confusion[label][decision]` counts samples; `robustness["noise" | "drop"]`, and the kinds of `NOISE_SUITE`, list
    `(level, accuracy)`, level 0 first; `noise_score` is the mean accuracy over kinds and levels of that suite, None
    where it was not run; `temporal_inconsistency` is None where T = 1 or the model names no feature layer; `mismatch` is the
    share of saccadic gates that the decoupled rule decides otherwise, by block, empty where nothing is saccadic.
    With labels by step, `accuracy_at` is empty and `confusion` counts steps.
    """

    samples: int
    accuracy: float
    accuracy_at: list[float]
    loss: float
    confusion: list[list[int]]
    spikes_per_sample: float
    rates: dict[str, float]
    temporal_inconsistency: float | None
    robustness: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    noise_score: float | None = None
    mismatch: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Measured:
    """One pass over data: logits `[T, M, K]`, labels `[M]` or `[M, T]`, and what the neurons did."""

    logits: Tensor
    labels: Tensor
    rates: dict[str, float]
    mean_rate: float
    spikes_per_sample: float
    temporal_inconsistency: float | None

    def accuracy(self) -> float:
        """Share of samples whose mean logits are largest at their label; with labels by step, of labelled steps."""
        return share_right(self.logits, self.labels)

    def accuracy_at(self) -> list[float]:
        """The same after 1, 2, ..., T steps; empty with labels by step."""
        if self.labels.dim() == 2:
            return []
        return [share_right(self.logits[: k + 1], self.labels) for k in range(len(self.logits))]

    def loss(self, scale: float = 1.0) -> float:
        """Cross-entropy of the logits that labels judge, times `scale` (the unit of integer logits)."""
        logits, labels = judged(self.logits, self.labels)
        return float(F.cross_entropy(logits * scale, labels)) if len(labels) else 0.0

    def confusion(self) -> list[list[int]]:
        """Counts `[K, K]`: row = label, column = decision."""
        classes = self.logits.shape[-1]
        logits, labels = judged(self.logits, self.labels)
        cells = labels * classes + logits.argmax(-1)
        return torch.bincount(cells, minlength=classes**2).reshape(classes, classes).tolist()


@torch.no_grad()
def measure(
    model: nn.Module,
    data: Samples,
    *,
    batch_size: int = 128,
    features: bool = False,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> Measured:
    """Run a model over data in evaluation mode; the mode it was in is restored.

    `features` also measures temporal inconsistency, at the model's `feature_layer`. `forward` is called in
    place of the model (its wrapped self, in training).

    Raises:
        DataError: the data is empty.
    """
    if not len(data):
        raise DataError("there are no samples to evaluate on")
    layer = getattr(model, "feature_layer", None) if features and data.frames.shape[1] > 1 else None
    was_training = model.training
    model.eval()
    device = _device(model)
    logits, labels, inconsistency = [], [], 0.0
    try:
        with RateMeter(model) as meter:
            for frames, target in batches(data, batch_size, device=device):
                with capture(model, [layer] if layer else []) as captured:
                    logits.append((forward or model)(frames).float())
                labels.append(target)
                if layer:
                    spikes = captured.spikes(steps=len(frames))[layer]
                    inconsistency += float(temporal_inconsistency(by_sign(model, layer, spikes))) * len(
                        target
                    )
    finally:
        model.train(was_training)
    return Measured(
        torch.cat(logits, 1),
        torch.cat(labels),
        meter.rates(),
        meter.mean_rate(),
        meter.total() / len(data),
        inconsistency / len(data) if layer else None,
    )


def evaluate(
    model: nn.Module,
    data: Samples,
    *,
    batch_size: int = 128,
    robustness: bool = False,
    noise: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model; with `robustness` also under added noise events and lost events, with `noise` by `NOISE_SUITE`.

    Noise is 5, 10 and 20 % of a recording's events, uniform over pixels and time; losses are 10, 25 and 50 %.
    All are made on the recordings, which are then binned as the data is.

    Raises:
        DataError: robustness or noise is asked for, and the data has no recordings.
    """
    found = measure(model, data, batch_size=batch_size, features=True)
    accuracy = found.accuracy()
    kinds = (ROBUSTNESS if robustness else {}) | (NOISE_SUITE if noise else {})
    curves = {name: [(0.0, accuracy)] for name in kinds}
    for name, kind in kinds.items():
        for level in kind.levels:
            worse = corrupted(data, kind.corrupt, level, seed)
            curves[name].append((level, measure(model, worse, batch_size=batch_size).accuracy()))
    return Evaluation(
        samples=len(data),
        accuracy=accuracy,
        accuracy_at=found.accuracy_at(),
        loss=found.loss(float(getattr(model, "logit_scale", 1.0))),
        confusion=found.confusion(),
        spikes_per_sample=found.spikes_per_sample,
        rates=found.rates,
        temporal_inconsistency=found.temporal_inconsistency,
        robustness=curves,
        noise_score=noise_score(curves) if noise else None,
    )


def noise_score(curves: dict[str, list[tuple[float, float]]]) -> float:
    """Mean accuracy over the kinds of `NOISE_SUITE`, of each the mean over its levels (without level 0)."""
    means = [np.mean([accuracy for level, accuracy in curves[kind] if level]) for kind in NOISE_SUITE]
    return float(np.mean(means))


@torch.no_grad()
def collect_samples(
    model: nn.Module, data: Samples, count: int = 8, *, neurons: int = 64
) -> dict[str, NDArray[Any]]:
    """A few recordings with the model's answers, and the spike raster of the first, for the report.

    Samples are taken evenly over the data, neurons evenly over each layer.

    Shape:
        `frames` uint8 or int8 `[S, T, C, H, W]`, `labels` `[S]` or `[S, T]`, `logits` float32 `[S, T, K]` (of each step),
        `indices` `[S]`, `raster_layers` names, and for the i-th of them `raster_<i>` int8 `[T, n]`, n <=
        `neurons`
    """
    indices = evenly(len(data), count)
    frames = np.ascontiguousarray(data.frames[indices])
    layers = neuron_layers(model)
    names = {id(module): name for name, module in model.named_modules()}
    was_training = model.training
    model.eval()
    try:
        with capture(model, [names[id(layer)] for layer in layers.values()]) as captured:
            logits = model(as_input(frames, _device(model))).float()
    finally:
        model.train(was_training)
    result: dict[str, NDArray[Any]] = {
        "indices": indices,
        "frames": frames,
        "labels": data.labels[indices],
        "logits": logits.transpose(0, 1).cpu().numpy(),
        "raster_layers": np.array(list(layers), dtype=np.str_),
    }
    for i, spikes in enumerate(captured.spikes(steps=len(logits)).values()):
        flat = spikes[:, 0].flatten(1).cpu().numpy()
        result[f"raster_{i}"] = flat[:, evenly(flat.shape[1], neurons)].astype(np.int8)
    return result


def save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as compressed `.npz`, whole or not at all."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    atomic_write(path, file.getvalue())


def by_sign(model: nn.Module, layer: str, spikes: Tensor) -> Tensor:
    """Spikes as they are, and of a ternary neuron those of either sign as the spikes of a neuron of their own.

    Shape: `[T, N, ...]` -> the same, or `[T, 2N, ...]`.
    """
    neuron = model.get_submodule(layer)
    config = getattr(neuron, "config", neuron)  # one of a hardened model says it itself
    if not getattr(config, "ternary", False):
        return spikes
    return torch.cat([spikes.clamp_min(0), (-spikes).clamp_min(0)], 1)


def share_right(logits: Tensor, labels: Tensor) -> float:
    """Share of decisions (`objectives.judged`) that are their label; 0 where nothing has a label.

    Shape: logits `[T, N, K]`, labels `[N]` or `[N, T]`.
    """
    decided, wanted = judged(logits, labels)
    return float((decided.argmax(-1) == wanted).double().mean()) if len(wanted) else 0.0


def _device(model: nn.Module) -> torch.device:
    tensors: Sequence[Tensor] = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
