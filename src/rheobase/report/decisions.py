"""What each arm decides about a recording after every step, and the pictures that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rheobase.evenly import evenly
from rheobase.numbers import NA, percent
from rheobase.report.data import Array, Raster, ReportData, Samples
from rheobase.report.pixels import frame_pictures, raster

_RECORDINGS, _STEPS = 8, 8


@dataclass(frozen=True)
class Decision:
    """The class with the largest mean logit after k steps and its softmax probability."""

    name: str
    probability: str
    width: int  # percent of the bar
    right: bool | None  # None: no decision


@dataclass(frozen=True)
class Recording:
    """One recording: a picture a step, and a decision an arm and step."""

    label: str
    shape: tuple[int, int]
    steps: list[int]
    pictures: list[str]
    decisions: list[tuple[int, str, list[Decision]]]  # index and name of the arm
    events: bool  # pictures of events, else of an image


@dataclass(frozen=True)
class RasterLayer:
    """Raster of one layer."""

    name: str
    picture: str
    notes: list[str]


def recordings(data: ReportData) -> list[Recording]:
    """At most eight recordings of at most eight steps (first and last always among them)."""
    samples = data.samples
    if samples is None or 0 in samples.frames.shape:
        return []
    count, T, _, height, width = samples.frames.shape
    steps = evenly(T, _STEPS).tolist()
    return [
        Recording(
            label=data.classes[int(samples.labels[i])],
            shape=(width, height),
            steps=[step + 1 for step in steps],
            events=samples.frames.shape[2] == 2,
            pictures=frame_pictures(samples.frames[i, steps]),
            decisions=_decisions(data, samples, i, steps),
        )
        for i in range(min(count, _RECORDINGS))
    ]


def _decisions(
    data: ReportData, samples: Samples, i: int, steps: Sequence[int]
) -> list[tuple[int, str, list[Decision]]]:
    return [
        (
            index,
            arm.name,
            [decide(samples.logits_at[arm.name][i, s], data.classes, int(samples.labels[i])) for s in steps],
        )
        for index, arm in enumerate(data.arms)
        if arm.name in samples.logits_at
    ]


def decide(logits: Array, classes: Sequence[str], label: int) -> Decision:
    """Softmax of [K] logits; logits that are not finite decide nothing."""
    logits = logits.astype(np.float64)
    if not np.isfinite(logits).all():
        return Decision(NA, NA, 0, None)
    weights = np.exp(logits - logits.max())
    best = int(weights.argmax())
    probability = float(weights[best] / weights.sum())
    return Decision(classes[best], percent(probability, 0), round(100 * probability), best == label)


def rasters(data: ReportData) -> list[tuple[str, list[RasterLayer]]]:
    """(arm, layers) of the raster, the baseline first."""
    found: Raster | None = data.raster
    if found is None:
        return []
    arms = [(data.baseline.name, found.baseline), (data.shipped.name, found.layers)]
    drawn = [(name, [_layer(k, v) for k, v in layers.items() if v.size]) for name, layers in arms]
    return [(name, layers) for name, layers in drawn if layers]


def _layer(name: str, spikes: Array) -> RasterLayer:
    T, n = spikes.shape
    active = spikes != 0
    firing = active[:, active.any(0)]
    notes = [f"{n:,} neurons", f"{percent(active.mean())} rate"]
    if firing.size and T > 1:
        notes.append(f"{percent(firing.all(0).mean(), 0)} steady")
    return RasterLayer(name, raster(firing) if firing.size else "", notes)
