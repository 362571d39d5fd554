"""Drawing without global state: a matplotlib figure becomes an inline SVG that follows the page's theme."""

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rheobase.report.palette import LIGHT

PAGE, PANEL, PHONE = 948, 456, 400  # widths in CSS pixels; one figure unit is one CSS pixel
_POINTS = 72.0

_RC = {
    "svg.fonttype": "none",  # text stays text and takes the page's font
    "svg.image_inline": True,
    "font.family": "DejaVu Sans",  # measures only: ships with matplotlib, wider than system fonts
    "font.size": 12.0,
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "text.color": LIGHT["ink"],
    "axes.edgecolor": LIGHT["rule"],
    "axes.facecolor": "none",
    "axes.labelcolor": LIGHT["muted"],
    "axes.axisbelow": True,
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 1.0,
    "xtick.color": LIGHT["rule"],
    "ytick.color": LIGHT["rule"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.major.pad": 7.0,
    "ytick.major.pad": 7.0,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
}


def draw(name: str, width: float, height: float, label: str, paint: Callable[[Figure], None]) -> Markup:
    """Let `paint` fill a figure of `width` by `height` CSS pixels and return it as SVG.

    `name` salts the ids, so that no two figures of a page share one; `label` is what a screen reader says.
    """
    look: Any = {**_RC, "svg.hashsalt": name}
    with matplotlib.style.context(look, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser picks the font
        figure = Figure(figsize=(width / _POINTS, height / _POINTS), dpi=_POINTS)
        figure.patch.set_visible(False)
        paint(figure)
        sink = io.StringIO()
        FigureCanvasSVG(figure).print_svg(sink, metadata={"Date": None})
    return Markup(_inline(sink.getvalue(), width, height, label))


def add_axes(
    figure: Figure, *, left: float = 8, right: float = 8, top: float = 8, bottom: float = 48, grid: str = "y"
) -> Axes:
    """Axes inset by these margins in CSS pixels, with light grid lines across and no box."""
    width, height = figure.get_size_inches() * _POINTS
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    for side, spine in axes.spines.items():
        spine.set_visible(side == ("bottom" if grid == "y" else "left"))
    axes.grid(axis=grid)  # type: ignore[arg-type]
    return axes


def _inline(svg: str, width: float, height: float, label: str) -> str:
    """Strip what only a file needs (header, metadata, namespaces, spare ids) and name colours by role."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.S)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'xmlns(:\w+)?="[^"]*"', "", body)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", body)
    body = re.sub(r"font: ((?:\w+ )*?)([\d.]+)px [^;\"]*", _font, body)  # matplotlib up to 3.10
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    roles = {colour: f"var(--{role})" for role, colour in LIGHT.items()}
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: roles.get(match[0], match[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img"'
        f' aria-label="{escape(label)}">{body.strip()}'
    )


def _font(match: re.Match[str]) -> str:
    weight = next((word for word in match[1].split() if word.isdigit() or word == "bold"), None)
    return f"font-size: {match[2]}px" + (f"; font-weight: {weight}" if weight else "")
