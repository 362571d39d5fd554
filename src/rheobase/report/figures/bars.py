"""Bars and dots by layer: bytes, operations, firing rates."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rheobase.numbers import NA, plain, quantity, shorten, size, whole
from rheobase.report.data import Arm, LayerCost, ProgramFacts
from rheobase.report.figures.canvas import PANEL, add_axes, draw
from rheobase.report.palette import LIGHT, MARKERS, arm_colour

Segment = tuple[float, str]  # value, colour
_NAME = 22  # characters of a row name
_TEXT = 7.0  # CSS pixels of a character, a little generous
_VALUE, _VALUES = 66, 118  # room for one or two numbers right of the longest bar


def memory_totals(facts: ProgramFacts) -> Markup:
    """Float weights against weights, code and state of the program."""
    program = [
        (facts.bytes_weights, LIGHT["arm-1"]),
        (facts.bytes_code, LIGHT["code"]),
        (facts.bytes_state, LIGHT["state"]),
    ]
    rows = [("float32 weights", [(facts.float_bytes, LIGHT["dense"])]), ("integer program", program)]
    return bars("memory-totals", "Bytes of the float weights and of the program", rows, size, pitch=40)


def work_totals(facts: ProgramFacts) -> Markup:
    """Dense multiply-accumulates of the float model against synaptic operations of the program."""
    rows = [
        ("dense MACs", [(facts.dense_macs_per_sample, LIGHT["dense"])]),
        ("synaptic operations", [(facts.synops_per_sample, LIGHT["arm-1"])]),
    ]
    return bars("work-totals", "Operations per sample", rows, quantity, pitch=40)


def memory_by_layer(layers: Sequence[LayerCost]) -> Markup:
    """Weights and state of every layer, stacked."""
    rows = [
        (layer.name, [(layer.weight_bytes, LIGHT["arm-1"]), (layer.state_bytes, LIGHT["state"])])
        for layer in layers
    ]
    return bars("memory-layers", "Bytes by layer", rows, size)


def work_by_layer(layers: Sequence[LayerCost]) -> Markup:
    """Synaptic operations of every layer in front of its dense multiply-accumulates."""
    rows = [(layer.name, [(layer.synops_per_sample, LIGHT["arm-1"])]) for layer in layers]
    behind = [layer.dense_macs_per_sample for layer in layers]
    return bars("work-layers", "Operations per sample by layer", rows, quantity, behind=behind)


def rates(arms: Sequence[Arm]) -> Markup:
    """Firing rate of every layer, one mark an arm."""
    names = list(dict.fromkeys(name for arm in arms for name in arm.rates))
    pitch = _pitch(len(names))

    def paint(figure: Figure) -> None:
        axes = _rows(figure, names, right=18, bottom=46)
        for row, name in enumerate(names):
            found = [arm.rates[name] for arm in arms if math.isfinite(arm.rates.get(name, math.nan))]
            if found:
                axes.plot([min(found), max(found)], [row, row], color=LIGHT["dense"], linewidth=3, zorder=2)
        for index, arm in enumerate(arms):
            known = [
                (arm.rates[n], r) for r, n in enumerate(names) if math.isfinite(arm.rates.get(n, math.nan))
            ]
            axes.plot(
                [rate for rate, _ in known],
                [row for _, row in known],
                linestyle="none",
                marker=MARKERS[index % len(MARKERS)],
                markersize=8,
                color=arm_colour(index),
                markeredgecolor=LIGHT["page"],
                markeredgewidth=1.2,
                zorder=9 if index == 1 else 3,
            )
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        axes.set_xlabel("neurons that fire at a step", labelpad=8)

    return draw("rates", PANEL, pitch * len(names) + 58, "Firing rate by layer", paint)


def activity_totals(arms: Sequence[Arm], measure: str) -> Markup:
    """`spikes_per_sample` or `temporal_inconsistency`, one bar an arm."""
    rows = [(arm.name, [(float(getattr(arm, measure)), arm_colour(i))]) for i, arm in enumerate(arms)]
    show = whole if measure == "spikes_per_sample" else plain
    return bars(f"activity-{measure}", measure.replace("_", " "), rows, show, pitch=36)


def bars(
    name: str,
    label: str,
    rows: Sequence[tuple[str, Sequence[Segment]]],
    show: Callable[[float], str],
    *,
    behind: Sequence[float] = (),
    pitch: float = 0,
) -> Markup:
    """Horizontal stacked bars with their total; `behind` are wide pale bars to compare with."""
    pitch = pitch or _pitch(len(rows))

    def paint(figure: Figure) -> None:
        axes = _rows(figure, [row for row, _ in rows], right=_VALUES if behind else _VALUE, bottom=6)
        for index, (_, segments) in enumerate(rows):
            total = 0.0
            if behind and math.isfinite(behind[index]):
                axes.barh(index, behind[index], height=0.72, color=LIGHT["dense"], zorder=2)
            for value, colour in segments:
                if math.isfinite(value) and value > 0:
                    axes.barh(
                        index, value, left=total, height=0.44 if behind else 0.62, color=colour, zorder=3
                    )
                    total += value
            end = max(total, behind[index] if behind and math.isfinite(behind[index]) else 0.0)
            text = show(total) if any(math.isfinite(value) for value, _ in segments) else NA
            if behind:
                text += f" of {show(behind[index])}"
            axes.annotate(
                text,
                (end, index),
                (6, -0.5),
                textcoords="offset points",
                va="center",
                size=11.5,
                color=LIGHT["muted"],
            )
        axes.set_xlim(
            0, max([1e-12, *(sum(_finite(v) for v, _ in row) for _, row in rows), *map(_finite, behind)])
        )
        axes.set_xticks([])

    return draw(name, PANEL, pitch * len(rows) + 12, label, paint)


def _rows(figure: Figure, names: Sequence[str], *, right: float, bottom: float) -> Axes:
    short = [shorten(name, _NAME) for name in names]
    left = _TEXT * max(len(name) for name in short) + 14
    axes = add_axes(figure, left=left, right=right, top=6, bottom=bottom, grid="x")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), short)
    return axes


def _pitch(rows: int) -> float:
    return 26 if rows <= 16 else 20 if rows <= 32 else 16


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
