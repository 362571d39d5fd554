"""Spike-time networks: rasters with causal sets, first spikes of each layer, when answers arrive."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rheobase.evenly import evenly
from rheobase.numbers import percent, plain, shorten
from rheobase.report.figures.bars import Segment, bars
from rheobase.report.figures.canvas import PANEL, add_axes, draw
from rheobase.report.palette import LIGHT
from rheobase.report.spike_times import SpikeSample, SpikeTimes

_POINTS = 200  # of a curve
_LEFT, _GAP, _AXIS = 92.0, 14.0, 48.0  # CSS pixels: names, between layers, below the last one
_FEW = 20  # neurons that are drawn large


def raster(sample: SpikeSample, layers: Sequence[str], index: int) -> Markup:
    """Spikes of each layer against time, inputs at the top; causal ones stand out, a line marks the answer."""
    heights = [max(52.0, 2.0 * len(times)) for times in sample.times]
    moments = np.concatenate([*sample.times, [sample.answered]])
    end = float(moments[np.isfinite(moments)].max(initial=0)) or 1.0

    def paint(figure: Figure) -> None:
        for depth, axes in enumerate(_stack(figure, heights, end)):
            axes.set_facecolor(LIGHT["faint"])
            times, causal = sample.times[depth], sample.causal[depth]
            axes.set_ylim(len(times) - 0.25, -0.75)
            axes.set_yticks([])
            size = 5.5 if len(times) <= _FEW else 3.4
            for mask, colour in ((~causal, LIGHT["arm-0"]), (causal, LIGHT["arm-1"])):
                rows = np.flatnonzero(mask & np.isfinite(times))
                axes.plot(times[rows], rows, "o", color=colour, markersize=size, markeredgewidth=0, zorder=3)
            if math.isfinite(sample.answered):
                axes.axvline(sample.answered, color=LIGHT["arm-2"], linewidth=1.4, zorder=2)
            _name(axes, 0, shorten(layers[depth], 12), LIGHT["ink"])
            _name(axes, 1, f"{sample.fired[depth]} fire", LIGHT["muted"])
            _name(axes, 2, f"{sample.counted[depth]} causal", LIGHT["arm-1"])

    label = f"Spike times of a sample of {sample.label}, answered {sample.answer}"
    return draw(f"spike-times-{index}", PANEL, _total(heights), label, paint)


def histograms(found: SpikeTimes) -> Markup:
    """First spikes of each layer against time, each layer on a scale of its own; the share of silent neurons beside it."""
    edges, shares = found.histogram()
    heights = [52.0] * len(found.layers)

    def paint(figure: Figure) -> None:
        for depth, axes in enumerate(_stack(figure, heights, edges[-1])):
            axes.stairs(shares[depth], edges, fill=True, color=LIGHT["state"], linewidth=0)
            axes.set_ylim(0, 1.05 * (shares[depth].max() or 1.0))
            axes.set_yticks([])
            silent = found.silent_share()[depth]
            _name(axes, 0, shorten(found.layers[depth], 12), LIGHT["ink"])
            _name(axes, 1, f"{percent(silent)}", LIGHT["wrong"] if silent == 1 else LIGHT["muted"])
            _name(axes, 2, "silent", LIGHT["wrong"] if silent == 1 else LIGHT["muted"])

    return draw("first-spikes", PANEL, _total(heights), "First spikes of each layer", paint)


def spikes(found: SpikeTimes) -> Markup:
    """Mean spikes of each layer per sample, and of all layers."""
    counts = found.spikes()
    rows: list[tuple[str, Sequence[Segment]]] = [
        (name, [(count, LIGHT["arm-1"])]) for name, count in zip(found.layers, counts, strict=True)
    ]
    rows.append(("all", [(sum(counts), LIGHT["dense"])]))
    return bars("spike-counts", "Spikes per sample", rows, lambda count: plain(count, 1), pitch=36)


def answers(found: SpikeTimes, width: float, height: float) -> Markup:
    """Share of samples answered by each time, and accuracy and mean confidence of these answers."""
    times, *curves = found.decided()
    shown = evenly(len(times), _POINTS)

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=46, right=16, top=14, bottom=46)
        share, accuracy, confidence = (curve[shown] for curve in curves)
        axes.fill_between(times[shown], share, step="post", color=LIGHT["dense"], alpha=0.6, linewidth=0)
        axes.plot(times[shown], confidence, color=LIGHT["arm-2"], linewidth=1.8, dashes=(3, 2))
        axes.plot(times[shown], accuracy, color=LIGHT["arm-1"], linewidth=2.2)
        axes.set_ylim(0, 1.03)
        axes.margins(x=0.01)
        axes.set_xlabel("time", labelpad=8)
        axes.xaxis.set_major_locator(MaxNLocator(8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))

    return draw(f"answers-{width:g}", width, height, "Answers against time", paint)


def _stack(figure: Figure, heights: Sequence[float], end: float) -> list[Axes]:
    """One axes a layer from top to bottom, on one time axis."""
    found, above, total = [], 0.0, _total(heights)
    for height in heights:
        axes = add_axes(figure, left=_LEFT, right=12, top=above, bottom=total - above - height)
        axes.grid(visible=False)
        axes.set_xlim(-0.02 * end, 1.02 * end)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(labelbottom=False)
        found.append(axes)
        above += height + _GAP
    found[-1].tick_params(labelbottom=True)
    found[-1].set_xlabel("time", labelpad=8)
    return found


def _total(heights: Sequence[float]) -> float:
    return sum(heights) + _GAP * (len(heights) - 1) + _AXIS


def _name(axes: Axes, line: int, text: str, colour: str) -> None:
    """A line of words left of the axes."""
    axes.annotate(
        text,
        (0, 1),
        (-10, -2 - 15 * line),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top",
        size=11,
        color=colour,
    )
