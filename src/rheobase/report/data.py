"""What a report is made of: plain frozen records that check themselves when they are built."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.report.gaze import Gaze
from rheobase.report.spike_times import SpikeTimes

Array = NDArray[Any]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(message)


def _fractions(values: Iterable[float], what: str) -> None:
    """Accuracies and rates are fractions; NaN and infinity mean "not measured" and are shown as n/a."""
    for value in values:
        if np.isfinite(value) and not 0.0 <= value <= 1.0:
            raise DataError(
                f"{what} must be a fraction between 0 and 1, got {value:g}; divide percentages by 100"
            )


@dataclass(frozen=True)
class Arm:
    """One trained model: the first arm of a report is the baseline, the second the one that ships."""

    name: str
    history: list[dict[str, float]] = field(
        default_factory=list
    )  # epoch, train_loss, validation_accuracy, ...
    accuracy: float = float("nan")
    accuracy_at: list[float] = field(
        default_factory=list
    )  # [T]: entry k-1 reads the mean of the first k steps
    rates: dict[str, float] = field(default_factory=dict)  # layer -> spikes per neuron and step
    confusion: list[list[int]] = field(default_factory=list)  # [K, K]: row = label, column = decision
    spikes_per_sample: float = float("nan")
    temporal_inconsistency: float = float("nan")
    robustness: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict
    )  # kind -> (level, accuracy)
    repeats: list[list[float]] = field(
        default_factory=list
    )  # accuracy_at of the same recipe on other seeds, paired by place with those of the other arm

    def __post_init__(self) -> None:
        where = f"arm {self.name!r}"
        _require(bool(self.name), "an arm needs a name")
        _fractions([self.accuracy], f"{where}: accuracy")
        _fractions(self.accuracy_at, f"{where}: accuracy_at")
        for repeat in self.repeats:
            _fractions(repeat, f"{where}: accuracy_at of a repeat")
            _require(
                len(repeat) == len(self.accuracy_at),
                f"{where}: a repeat was read after {len(repeat)} steps, the arm after {len(self.accuracy_at)}",
            )
        _fractions(self.rates.values(), f"{where}: rates")
        for row in self.history:
            _require("epoch" in row, f"{where}: every history row needs 'epoch', got {sorted(row)}")
            _fractions((row[k] for k in row if k.endswith("accuracy")), f"{where}: accuracy in history")
        _require(
            all(len(row) == len(self.confusion) for row in self.confusion),
            f"{where}: confusion must be square, got rows of lengths {[len(row) for row in self.confusion]}",
        )
        for kind, curve in self.robustness.items():
            _fractions((accuracy for _, accuracy in curve), f"{where}: robustness {kind!r}")

    @property
    def curves(self) -> list[list[float]]:
        """`accuracy_at` of every seed, its own first."""
        return [self.accuracy_at, *self.repeats]

    @property
    def mean_at(self) -> list[float]:
        """`accuracy_at`, averaged over seeds."""
        return [fmean(values) for values in zip(*self.curves, strict=True)]


@dataclass(frozen=True)
class State:
    """The accuracy of one stage between the float model and the C program."""

    name: str
    accuracy: float
    note: str = ""

    def __post_init__(self) -> None:
        _fractions([self.accuracy], f"state {self.name!r}: accuracy")


@dataclass(frozen=True)
class LayerCost:
    """What one layer of the program stores, and what it does for one average sample."""

    name: str
    kind: str
    weight_bits: int
    weight_bytes: int
    state_bytes: int
    synops_per_sample: float
    dense_macs_per_sample: float
    code_usage: float | None = None  # share of the weight levels that are used

    def __post_init__(self) -> None:
        if self.code_usage is not None:
            _fractions([self.code_usage], f"layer {self.name!r}: code_usage")


@dataclass(frozen=True)
class ProgramFacts:
    """Size and work of the integer program, and whether it equalled the model on `samples` samples."""

    layers: list[LayerCost]
    bytes_weights: int
    bytes_state: int
    bytes_code: int
    float_bytes: int  # float32 weights of the same model
    synops_per_sample: float
    dense_macs_per_sample: float  # of the float model, all T steps
    samples: int
    equal: int
    digest: str = ""
    accuracy_at: list[float] = field(default_factory=list)  # [T]: entry k-1 after k steps
    exits: list[tuple[float, float]] = field(default_factory=list)  # mean steps, accuracy, by margin
    exit: tuple[float, float] | None = None  # of the calibrated margin

    def __post_init__(self) -> None:
        _fractions(self.accuracy_at, "program: accuracy_at")
        _fractions((accuracy for _, accuracy in self.exits), "program: accuracy of early exits")
        _require(
            0 <= self.equal <= self.samples,
            f"program: equal must lie between 0 and samples, got {self.equal} of {self.samples}",
        )


@dataclass(frozen=True, eq=False)
class Samples:
    """Recordings to show, with the mean logits of the first k steps of each arm."""

    frames: (
        Array  # uint8 [S, T, C, H, W]: C = 2 polarities, or the grey (1) or red, green and blue (3) of images
    )
    labels: Array  # [S]
    logits_at: dict[str, Array] = field(default_factory=dict)  # arm name -> [S, T, K]

    def __post_init__(self) -> None:
        shape = self.frames.shape
        _require(
            len(shape) == 5 and shape[2] in (1, 2, 3),
            f"samples: frames must be [S, T, 1, 2 or 3, H, W], got {list(shape)}",
        )
        _require(
            np.shape(self.labels) == shape[:1],
            f"samples: {shape[0]} recordings need {shape[0]} labels, got shape {list(np.shape(self.labels))}",
        )
        for name, logits in self.logits_at.items():
            _require(
                logits.ndim == 3 and logits.shape[:2] == shape[:2],
                f"samples: logits of {name!r} must be [{shape[0]}, {shape[1]}, K], got {list(logits.shape)}",
            )


@dataclass(frozen=True, eq=False)
class Raster:
    """Spikes of one recording, layer by layer: of the shipped arm, and of the baseline to compare with."""

    layers: dict[str, Array]  # layer -> bool or uint8 [T, n]
    label: str = ""
    baseline: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, spikes in [*self.layers.items(), *self.baseline.items()]:
            _require(spikes.ndim == 2, f"raster: layer {name!r} must be [T, n], got {list(spikes.shape)}")


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything the report shows; what is empty or `None` is left out and named in the appendix."""

    title: str
    subtitle: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    program: ProgramFacts | None = None
    samples: Samples | None = None
    raster: Raster | None = None
    spike_times: SpikeTimes | None = None  # of the arm that ships, if its neurons fire once
    gaze: Gaze | None = None  # of the arm that ships, if its attention is saccadic
    classes: list[str] = field(default_factory=list)
    seed: int | None = None  # of the arms shown, where there are repeats on others

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        _require(bool(names), "a report needs at least one arm (the baseline)")
        _require(len(set(names)) == len(names), f"arm names must differ, got {names}")
        for arm in self.arms:
            _require(
                len(arm.confusion) in (0, len(self.classes)),
                f"arm {arm.name!r}: confusion has {len(arm.confusion)} classes, not {len(self.classes)}",
            )
        if self.samples is not None:
            strangers = sorted(set(self.samples.logits_at) - set(names))
            _require(not strangers, f"samples: logits of {strangers}, but the arms are {names}")
            K = len(self.classes)
            for name, logits in self.samples.logits_at.items():
                _require(
                    logits.shape[2] == K,
                    f"samples: logits of {name!r} have {logits.shape[2]} classes, not {K}",
                )
            labels = self.samples.labels
            _require(
                labels.size == 0 or bool(labels.min() >= 0 and labels.max() < K),
                f"samples: labels must lie between 0 and {K - 1}",
            )

    @property
    def baseline(self) -> Arm:
        """The first arm."""
        return self.arms[0]

    @property
    def shipped(self) -> Arm:
        """The arm that becomes the program: the second one, or the only one."""
        return self.arms[min(1, len(self.arms) - 1)]
