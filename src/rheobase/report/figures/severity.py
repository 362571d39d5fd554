"""Accuracy against the severity of each corruption, as an SVG file of its own."""

import io
from collections.abc import Mapping, Sequence

import matplotlib.style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rheobase.report.palette import LIGHT, MARKERS, arm_colour

SIZE = (7.2, 4.2)


def severity_plot(curves: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """One line a kind: accuracy at severity 0 (clean), 1, 2, ...; the text of an SVG file.

    `curves` maps kinds to `(level, accuracy)`, level 0 first.
    """
    look = {"svg.fonttype": "none", "svg.hashsalt": "severity", "text.parse_math": False}
    with matplotlib.style.context(look, after_reset=True):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        for index, (kind, curve) in enumerate(curves.items()):
            accuracies = [100 * accuracy for _, accuracy in sorted(curve)]
            axes.plot(
                accuracies, color=arm_colour(index), marker=MARKERS[index % len(MARKERS)], label=kind, lw=2
            )
        axes.set_ylim(0, 100)
        axes.set_xticks(range(max((len(curve) for curve in curves.values()), default=1)))
        axes.set(xlabel="severity", ylabel="accuracy [%]", title=title)
        axes.grid(axis="y", color=LIGHT["rule"])
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        sink = io.StringIO()
        FigureCanvasSVG(figure).print_svg(sink, metadata={"Date": None})
    return sink.getvalue()
