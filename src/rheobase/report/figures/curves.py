"""Lines: accuracy against timesteps, training, robustness."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rheobase.numbers import points
from rheobase.report.data import Arm, ProgramFacts
from rheobase.report.figures.canvas import PANEL, add_axes, draw
from rheobase.report.palette import LIGHT, MARKERS, arm_colour

Line = tuple[int, str, Sequence[float], Sequence[float]]  # arm index, line style, x, y


def finite(values: Sequence[float]) -> list[float]:
    """The same values, everything that is not a number being NaN (a gap in a line)."""
    return [value if math.isfinite(value) else math.nan for value in values]


def accuracy_over_time(arms: Sequence[Arm], width: float, height: float, *, chance: float = 0.0) -> Markup:
    """Accuracy of the decision after k steps, the gain of the second arm over the first written at each k.

    Of several seeds the mean is drawn strong and every seed thin.
    """

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=44, right=16, top=14, bottom=46)
        steps = max(len(arm.accuracy_at) for arm in arms)
        every = math.ceil(steps * 44 / width)
        values = [v for arm in arms for curve in arm.curves for v in curve if math.isfinite(v)]
        low, high = min(values), max(values)
        span = max(high - low, 0.02)
        axes.set_xlim(0.6, steps + 0.4)
        axes.set_ylim(max(0.0, low - 0.14 * span), high + 0.15 * span)
        if chance >= axes.get_ylim()[0]:
            axes.axhline(chance, color=LIGHT["muted"], linewidth=1, dashes=(2, 3))
            axes.annotate(
                "chance", (steps + 0.4, chance), (-2, 5), textcoords="offset points", ha="right", size=11
            )
        if len(arms) > 1:
            _gains(axes, arms, every)
        for index, arm in enumerate(arms):
            k = range(1, len(arm.accuracy_at) + 1)
            for curve in arm.curves if arm.repeats else []:
                axes.plot(k, finite(curve), color=arm_colour(index), linewidth=1, alpha=0.4, zorder=2)
            _line(axes, index, "-", k, arm.mean_at, markersize=8, zorder=_layer(index))
        _percent_axis(axes)
        axes.set_xticks(range(1, steps + 1, every))
        axes.set_xlabel("timesteps read, k", labelpad=8)

    label = "Accuracy against the number of timesteps read, for " + ", ".join(arm.name for arm in arms)
    return draw(f"accuracy-{width:g}", width, height, label, paint)


def _gains(axes: Axes, arms: Sequence[Arm], every: int) -> None:
    for k, (a, b) in enumerate(zip(arms[0].mean_at, arms[1].mean_at, strict=False), start=1):
        if not (math.isfinite(a) and math.isfinite(b)):
            continue
        axes.plot(
            [k, k], [a, b], color=LIGHT["arm-1"], linewidth=7, alpha=0.18, solid_capstyle="butt", zorder=2
        )
        if (k - 1) % every == 0:
            top = max(arm.mean_at[k - 1] for arm in arms if _known(arm.mean_at, k - 1))
            axes.annotate(
                points(b - a),
                (k, top),
                (0, 11),
                textcoords="offset points",
                ha="center",
                size=13,
                weight="bold",
                color=LIGHT["arm-1"] if round(b - a, 3) >= 0 else LIGHT["wrong"],
            )


def early_exit(program: ProgramFacts) -> Markup:
    """Accuracy of the program against the mean number of steps, by margin; beside it, the same number of steps for all.

    The calibrated margin is ringed.
    """

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=46, right=16, top=14, bottom=46)
        x, y = zip(*sorted(program.exits), strict=True)
        k = range(1, len(program.accuracy_at) + 1)
        axes.plot(
            k, finite(program.accuracy_at), color=LIGHT["muted"], linewidth=1.5, dashes=(3, 2), zorder=2
        )
        _line(axes, 1, "-", x, y, zorder=4, marker="")
        if program.exit is not None:
            axes.plot(
                *program.exit,
                "o",
                markersize=11,
                fillstyle="none",
                markeredgewidth=2,
                color=LIGHT["arm-1"],
                zorder=5,
            )
        axes.margins(x=0.03)
        axes.set_xlabel("mean timesteps", labelpad=8)
        _percent_axis(axes)

    return draw("early-exit", PANEL, 280, "Accuracy against mean timesteps with early exit", paint)


def training(arms: Sequence[Arm], quantity: str) -> Markup | None:
    """`loss` or `accuracy` by epoch: training dashed, validation solid; None where no arm recorded it."""
    lines: list[Line] = []
    for index, arm in enumerate(arms):
        for split, style in (("train", (0, (2.5, 2))), ("validation", "-")):
            rows = [row for row in arm.history if math.isfinite(row.get(f"{split}_{quantity}", math.nan))]
            if rows:
                epochs = [row["epoch"] for row in rows]
                lines.append((index, style, epochs, [row[f"{split}_{quantity}"] for row in rows]))  # type: ignore[arg-type]
    if not lines:
        return None

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=46, right=12)
        for index, style, x, y in lines:
            _line(axes, index, style, x, y, marker="o" if len(x) == 1 else "", zorder=_layer(index))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.margins(x=0.01)
        axes.set_xlabel("epoch", labelpad=8)
        if quantity == "accuracy":
            _percent_axis(axes)
        else:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(5))

    return draw(f"training-{quantity}", PANEL, 280, f"{quantity} by epoch", paint)


def robustness(arms: Sequence[Arm], kind: str) -> Markup:
    """Accuracy against the level of one corruption."""

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=46, right=12)
        for index, arm in enumerate(arms):
            curve = sorted(arm.robustness.get(kind, []))
            _line(
                axes, index, "-", [level for level, _ in curve], [a for _, a in curve], zorder=_layer(index)
            )
        axes.margins(x=0.03)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("level", labelpad=8)
        _percent_axis(axes)

    return draw(f"robustness-{kind}", PANEL, 280, f"Accuracy against {kind} level", paint)


def _known(values: Sequence[float], index: int) -> bool:
    return index < len(values) and math.isfinite(values[index])


def _layer(index: int) -> int:
    """The shipped arm is drawn over the others."""
    return 9 if index == 1 else 3 + index % 5


def _line(
    axes: Axes,
    index: int,
    style: object,
    x: Sequence[float],
    y: Sequence[float],
    *,
    marker: str | None = None,
    markersize: float = 6.5,
    zorder: int = 3,
) -> None:
    axes.plot(
        np.asarray(x, dtype=float),
        np.asarray(finite(y), dtype=float),
        color=arm_colour(index),
        linestyle=style,
        linewidth=1.6 if style != "-" else 2.2,
        marker=MARKERS[index % len(MARKERS)] if marker is None else marker,
        markersize=markersize,
        markeredgecolor=LIGHT["page"],
        markeredgewidth=1.5,
        zorder=zorder,
    )


def _percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    low, high = axes.get_ylim()
    digits = 1 if high - low < 0.04 else 0
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.{digits}f}%"))
