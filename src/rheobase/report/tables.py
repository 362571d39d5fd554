"""The tables of the report as rows of text; the template only lays them out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rheobase.numbers import percent, points, quantity, size, times
from rheobase.pairs import mean_spread
from rheobase.report.data import Arm, LayerCost, ProgramFacts, State
from rheobase.report.findings import gains
from rheobase.report.gaze import Gaze


@dataclass(frozen=True)
class Table:
    """Header, rows and an optional total; `text` columns are left-aligned, the others are numbers."""

    header: list[str]
    rows: list[list[str]]
    foot: list[str] = field(default_factory=list)
    text: tuple[int, ...] = (0,)
    wrap: tuple[int, ...] = ()


def accuracy_table(arms: Sequence[Arm]) -> Table:
    """Accuracy of every arm after every number of steps, with its spread where there are several seeds.

    The last row is the paired gain of the second arm.
    """
    steps = max(len(arm.accuracy_at) for arm in arms)
    rows = []
    for arm in arms:
        found = [mean_spread(values) for values in zip(*arm.curves, strict=True)]
        shown = [percent(mean) + _spread(spread, arm.repeats) for mean, spread in found]
        rows.append([arm.name, *shown, *[""] * (steps - len(shown))])
    foot = []
    if len(arms) > 1:
        shown = [points(gain.mean) + _spread(gain.spread, gain.pairs > 1) for gain in gains(*arms[:2])]
        foot = ["gain, points", *shown, *[""] * (steps - len(shown))]
    header = [f"{k} step{'s' * (k > 1)}" if steps <= 8 else str(k) for k in range(1, steps + 1)]
    return Table(["mean of the first" if steps <= 8 else "steps read", *header], rows, foot)


def _spread(spread: float, several: object) -> str:
    return f" ± {100 * spread:.1f}" if several and math.isfinite(spread) else ""


def state_table(states: Sequence[State]) -> Table:
    """Accuracy of every state and its distance to the first."""
    first = states[0].accuracy
    rows = [
        [s.name, percent(s.accuracy, 2), points(s.accuracy - first, 2) if i else "", s.note]
        for i, s in enumerate(states)
    ]
    return Table(["state", "accuracy", "points", "what it is"], rows, text=(0, 3), wrap=(3,))


def layer_table(facts: ProgramFacts) -> Table:
    """Bytes and operations of every layer, with totals; `levels used` is the share of weight levels that occur."""
    rows = [
        [
            layer.name,
            layer.kind,
            str(layer.weight_bits) if layer.weight_bytes else "",
            "" if layer.code_usage is None else percent(layer.code_usage, 0),
            size(layer.weight_bytes) if layer.weight_bytes else "",
            size(layer.state_bytes) if layer.state_bytes else "",
            _work(layer.synops_per_sample),
            _work(layer.dense_macs_per_sample),
            times(layer.dense_macs_per_sample, layer.synops_per_sample)
            if layer.synops_per_sample > 0
            else "",
        ]
        for layer in facts.layers
    ]
    ratio = times(facts.dense_macs_per_sample, facts.synops_per_sample)
    work = [quantity(facts.synops_per_sample), quantity(facts.dense_macs_per_sample), ratio]
    foot = ["total", "", "", "", size(facts.bytes_weights), size(facts.bytes_state), *work]
    header = [
        "layer",
        "kind",
        "bits",
        "levels used",
        "weights",
        "state",
        "synaptic ops",
        "dense MACs",
        "ratio",
    ]
    return Table(header, rows, foot, text=(0, 1))


def gaze_table(found: Gaze) -> Table:
    """Share of gates that open, of every block: at each step, and where events are; and what the decoupled rule changes."""
    steps = found.passing.shape[1]
    few = steps <= 8
    rows = [
        [
            block,
            *map(percent, found.passing[i] if few else [found.passing[i].mean()]),
            *([percent(found.lit[i]), percent(found.dark[i])] if found.events else []),
            percent(found.mismatch[i]),
        ]
        for i, block in enumerate(found.blocks)
    ]
    header = [f"open at step {k}" for k in range(1, steps + 1)] if few else ["open"]
    if found.events:
        header += ["patch with events", "empty patch"]
    return Table(["block", *header, "decoupled differs"], rows)


def mistake_table(mistakes: Sequence[tuple[str, str, str, str]]) -> Table:
    """Most frequent wrong decisions."""
    return Table(
        ["label", "decision", "count", "of label"], [list(m) for m in mistakes], text=(0, 1), wrap=(0, 1)
    )


def busy(layers: Sequence[LayerCost]) -> list[LayerCost]:
    """Layers that store or compute anything: what a figure has to show."""
    return [
        layer
        for layer in layers
        if layer.weight_bytes or layer.state_bytes or layer.synops_per_sample or layer.dense_macs_per_sample
    ]


def _work(count: float) -> str:
    return "" if count == 0 or not math.isfinite(count) else quantity(count)
