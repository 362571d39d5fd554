"""The confusion matrix: right decisions blue, wrong ones orange, strength by share of the label's samples."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rheobase.numbers import shorten
from rheobase.report.figures.canvas import PHONE, add_axes, draw
from rheobase.report.palette import LIGHT, PIXEL_OFF, PIXEL_ON

_NAMED = 24  # classes up to which cells carry counts and axes carry names
_TEXT = 6.6


def matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], room: float) -> Markup:
    """Rows are labels, columns decisions, at most `room` wide; up to 24 classes every cell is written out."""
    counts = np.asarray(confusion, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    strength = np.where(counts > 0, 0.10 + 0.90 * np.sqrt(share), 0.0)
    K = len(counts)
    named = K <= _NAMED
    short = [shorten(name, 20 if room > PHONE else 14) for name in classes]
    left = (_TEXT * max(map(len, short)) + 36) if named else 64.0
    below = (0.72 * _TEXT * max(map(len, short)) + 50) if named else 56.0
    side = min(room - left - 8, 72 * K) if named else room - left - 8
    width, height = left + side + 8, 8 + side + below

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=left, right=8, top=8, bottom=below, grid="y")
        axes.grid(False)
        axes.set_xlim(-0.5, K - 0.5)
        axes.set_ylim(K - 0.5, -0.5)
        axes.add_patch(Rectangle((-0.5, -0.5), K, K, facecolor=LIGHT["faint"], zorder=0))
        axes.spines["bottom"].set_visible(False)
        if named:
            _cells(figure, counts, strength, side / K)
            axes.set_xticks(range(K), short, rotation=45, ha="right", rotation_mode="anchor", size=11.5)
            axes.set_yticks(range(K), short, size=11.5)
        else:
            axes.imshow(_pixels(strength), interpolation="none", aspect="auto", zorder=1)
        axes.set_xlabel("decision", labelpad=8)
        axes.set_ylabel("label", labelpad=8)

    return draw(f"confusion-{room:g}", width, height, f"Confusion matrix of {K} classes", paint)


def _cells(figure: Figure, counts: np.ndarray, strength: np.ndarray, cell: float) -> None:
    (axes,) = figure.axes
    for row, column in zip(*np.nonzero(counts), strict=True):
        alpha = float(strength[row, column])
        colour = LIGHT["arm-1" if row == column else "arm-2"]
        axes.add_patch(
            Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, alpha=alpha, linewidth=0)
        )
        if cell >= 17:
            axes.text(
                column,
                row,
                f"{counts[row, column]:.0f}",
                ha="center",
                va="center_baseline",
                size=min(12.0, cell * 0.42),
                color=LIGHT["inverse" if alpha > 0.6 else "ink"],
            )


def _pixels(strength: np.ndarray) -> np.ndarray:
    """[K, K] -> uint8 [K, K, 4], transparent where nothing was counted, so the page shows through."""
    image = np.empty((*strength.shape, 4), np.uint8)
    image[..., :3] = np.where(np.eye(len(strength), dtype=bool)[..., None], PIXEL_ON, PIXEL_OFF)
    image[..., 3] = np.round(255 * strength)
    return image
