"""The colours, by role: light values are drawn, and become CSS variables so that dark mode can replace them.

Hues are the safe ones (blue, orange, green, purple) and differ in lightness too; marks differ in shape.
"""

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "page": "#fbfbf9",
    "card": "#ffffff",
    "ink": "#1b2128",
    "muted": "#5c6670",
    "rule": "#dfe2e1",
    "faint": "#eff1ef",
    "arm-0": "#848e99",
    "arm-1": "#0b69b0",
    "arm-2": "#c8641b",
    "arm-3": "#2f8a63",
    "arm-4": "#8659a5",
    "dense": "#d3d8dc",
    "state": "#7fb6dd",
    "code": "#e0a84a",
    "right": "#18794e",
    "wrong": "#bf3a24",
    "inverse": "#fefefe",
}
DARK: Mapping[str, str] = {
    "page": "#14181c",
    "card": "#1a1f24",
    "ink": "#e7eaec",
    "muted": "#9ca7b1",
    "rule": "#323a42",
    "faint": "#22282e",
    "arm-0": "#95a0ab",
    "arm-1": "#56acec",
    "arm-2": "#ee9450",
    "arm-3": "#57bd91",
    "arm-4": "#b78fd4",
    "dense": "#414b54",
    "state": "#2f6f9f",
    "code": "#c9973f",
    "right": "#4fc08d",
    "wrong": "#f2806b",
    "inverse": "#0f1316",
}
MARKERS = "osD^v"
ARMS = 5
# Pixels of pictures cannot follow the theme; these mid-tones hold on both backgrounds.
PIXEL_ON = (29, 122, 196)
PIXEL_OFF = (222, 112, 24)
PIXEL_BOTH = (128, 104, 140)
PIXEL_SOME = (138, 148, 158)


def arm_colour(index: int) -> str:
    """Colour of the arm at `index`."""
    return LIGHT[f"arm-{index % ARMS}"]


def css_variables() -> str:
    """The two palettes as custom properties on `:root`."""

    def block(palette: Mapping[str, str]) -> str:
        return ":root{" + "".join(f"--{role}:{colour};" for role, colour in palette.items()) + "}"

    return f"{block(LIGHT)}\n@media screen and (prefers-color-scheme: dark){{{block(DARK)}}}\n"
