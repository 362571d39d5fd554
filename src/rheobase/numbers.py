"""Numbers as people read them; what was not measured is `n/a`."""

import math

NA = "n/a"


def percent(fraction: float, digits: int = 1) -> str:
    """0.9237 -> '92.4%'."""
    return f"{100 * fraction:.{digits}f}%" if math.isfinite(fraction) else NA


def points(difference: float, digits: int = 1) -> str:
    """Difference of two fractions in percentage points with its sign: 0.093 -> '+9.3'."""
    if not math.isfinite(difference):
        return NA
    value = round(100 * difference, digits)
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{abs(value):.{digits}f}"


def size(count: float) -> str:
    """Bytes in binary units: 49357 -> '48.2 KiB'."""
    if not math.isfinite(count):
        return NA
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 999.5:
            return f"{_three(count)} {unit}"
    return f"{_three(count / 1024)} GiB"


def quantity(count: float) -> str:
    """A count with a decimal prefix: 1_240_000 -> '1.24 M'."""
    if not math.isfinite(count):
        return NA
    for step, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * step:
            return f"{_three(count / step)} {prefix}"
    return f"{count:.0f}" if count >= 10 or count == int(count) else f"{count:.2g}"


def whole(count: float) -> str:
    """12345 -> '12,345'."""
    return f"{count:,.0f}" if math.isfinite(count) else NA


def times(large: float, small: float) -> str:
    """How many times `small` fits in `large`: '8.1×'."""
    if not (math.isfinite(large) and math.isfinite(small)) or small <= 0:
        return NA
    return f"{_three(large / small)}×"


def plain(value: float, digits: int = 3) -> str:
    """A bare number with `digits` decimals."""
    return f"{value:.{digits}f}" if math.isfinite(value) else NA


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a name longer than `limit` characters; both ends tell layers apart."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def _three(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}"
