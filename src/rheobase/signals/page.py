"""Encoders compared, as one HTML page that needs nothing else: signal, reconstruction, spikes."""

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rheobase.files import atomic_write
from rheobase.report.figures.canvas import PAGE, add_axes, draw
from rheobase.report.palette import LIGHT, css_variables
from rheobase.signals.compare import Entry
from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.tune import Measured

SHOWN, TALL = 300, 200  # samples of the excerpt, pixels of a panel

PAGE_TEXT = Markup(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><style>{style}</style></head>
<body><main><header><p class="kicker">rheobase encode</p><h1>{title}</h1><p class="subtitle">{subtitle}</p></header>
<section><h2>All encoders</h2><div class="scroll"><table>{table}</table></div></section>
<section><h2>Signal, reconstruction, spikes</h2><p class="lead">{excerpt}</p>
<ul class="legend"><li><i class="line" style="--c:var(--arm-0)"></i>signal</li>
<li><i class="line" style="--c:var(--arm-1)"></i>decoded from spikes</li>
<li><i class="box" style="--c:var(--arm-3)"></i>spikes +1</li><li><i class="box" style="--c:var(--arm-2)"></i>spikes −1</li></ul>
{panels}</section></main></body></html>
"""
)


def write_page(
    path: Path, title: str, subtitle: str, x: Samples, entries: Sequence[Entry], channel: str
) -> None:
    """Draw the first channel of x `[L, 1, C]` where its energy is largest, and all numbers, to one HTML file."""
    first = loudest(x[:, 0, 0], SHOWN)
    last = min(first + SHOWN, len(x))
    panels = [
        Markup('<div class="panel"><h3>{}</h3>{}</div>').format(
            escape(f"{entry.name}: {setting(entry.found)}"), panel(entry.found, x, first, last)
        )
        for entry in entries
        if entry.found is not None
    ]
    style = Markup(
        css_variables() + files("rheobase.report").joinpath("style.css").read_text(encoding="utf-8")
    )
    excerpt = f"Samples {first} to {last - 1} of channel {channel}, where it is loudest; numbers are of the whole signal."
    page = PAGE_TEXT.format(
        title=title,
        style=style,
        subtitle=subtitle,
        table=Markup("").join(table(entries)),
        excerpt=excerpt,
        panels=Markup("").join(panels),
    )
    atomic_write(path, str(page))


def cells(entry: Entry) -> list[str]:
    """Name, setting, SNR, spikes a sample: a row of the table."""
    found = entry.found
    if found is None:
        return [entry.name, entry.missed, "", ""]
    return [entry.name, setting(found), decibels(found.snr), f"{found.per_sample:.3f}"]


def setting(found: Measured) -> str:
    """The options that differ from the defaults, or else those that shape the code."""
    given = found.encoder.model_dump(exclude_defaults=True, exclude={"name"}, exclude_none=True)
    return ", ".join(f"{key} {_short(value)}" for key, value in given.items()) or "defaults"


def decibels(value: float | None) -> str:
    """An SNR as people read it."""
    return "-" if value is None else "exact" if value == math.inf else f"{value:.1f}"


def table(entries: Sequence[Entry]) -> list[Markup]:
    """Head and rows of the table."""
    row = Markup('<tr><td class="text">{}</td><td class="text wrap">{}</td><td>{}</td><td>{}</td></tr>')
    head = Markup(
        '<thead><tr><th class="text">encoder</th><th class="text">setting</th><th>SNR, dB</th>'
        "<th>spikes a sample</th></tr></thead>"
    )
    return [head, *(row.format(*cells(entry)) for entry in entries)]


def loudest(x: Samples, width: int) -> int:
    """Where a window of `width` samples holds most energy around the mean. Shape: [L]."""
    energy = np.concatenate([[0.0], np.cumsum((x - x.mean()) ** 2)])
    if len(x) <= width:
        return 0
    return int(np.argmax(energy[width:] - energy[:-width]))


def panel(found: Measured, x: Samples, first: int, last: int) -> Markup:
    """One encoder on one excerpt: two lines, and spikes below. Shape: x [L, 1, C]."""
    encoder = found.encoder
    spikes, side = encoder.encode(x[:, :, :1])
    decoded = encoder.decode(spikes, **side)[first:last, 0, 0] if encoder.invertible else None
    steps = len(spikes) // len(x)
    shown = spikes[first * steps : last * steps, 0]

    def paint(figure: Figure) -> None:
        time = np.arange(first, last)
        axes = add_axes(figure, left=44, right=8, top=8, bottom=70)
        axes.set_xlim(first - 0.5, last - 0.5)
        axes.plot(time, x[first:last, 0, 0], color=LIGHT["arm-0"])
        if decoded is not None:
            axes.step(time, decoded, where="mid", color=LIGHT["arm-1"], linewidth=1.4)
        axes.tick_params(labelbottom=False)
        below = add_axes(figure, left=44, right=8, top=TALL - 66, bottom=26)
        below.set_xlim(first - 0.5, last - 0.5)
        below.set_yticks([])
        below.grid(False)
        _raster(below, shown, first, steps)

    return draw(
        f"encoder-{encoder.name}", PAGE, TALL, f"signal, reconstruction and spikes of {encoder.name}", paint
    )


def _raster(axes: Axes, spikes: Spikes, first: int, steps: int) -> None:
    """Spikes as upright lines, up or down by sign; a row for each line of a population. Shape: [L*T, lines].

    All lines of one colour are one path with gaps, which keeps the page small.
    """
    rows = spikes.shape[1]
    for sign, colour in ((1, LIGHT["arm-3"]), (-1, LIGHT["arm-2"])):
        step, row = np.nonzero(spikes == sign)
        at = first + (step + 0.5) / steps - 0.5
        low, high = (row - 0.4, row + 0.4) if rows > 1 else (row + 0.0, row + 0.5 * sign)
        gap = np.full(len(at), np.nan)
        axes.plot(
            np.stack([at, at, gap], 1).ravel(),
            np.stack([low, high, gap], 1).ravel(),
            color=colour,
            linewidth=1.2 if rows == 1 else 0.8,
            solid_capstyle="butt",
        )
    axes.set_ylim((-0.6, 0.6) if rows == 1 else (-0.6, rows - 0.4))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
