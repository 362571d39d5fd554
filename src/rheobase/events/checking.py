"""Whether decoded events are such as a recording can hold: on the sensor, OFF or ON, in order."""

from collections.abc import Iterator

from rheobase.events.decode_native import native
from rheobase.events.room import ARRAYS
from rheobase.events.stream import SIDE_LIMIT, Block, Damage

LEAST_TIME = -(1 << 63)
SORTING = "sort=True (--sort) sorts the events by time"


def checked(
    blocks: Iterator[Block], width: int | None, height: int | None, *, ordered: bool = True
) -> Iterator[Block]:
    """The blocks in a recording's types; at the first event that no recording can hold, damage."""
    last: int | None = None
    for block in blocks:
        if not len(block):
            continue
        fault = _fault(block, width, height, last if ordered else None, ordered)
        good = len(block) if fault is None else fault[0]
        if good:
            last = int(block.t[good - 1])
            yield block.part(0, good) if fault is not None else block
        if fault is not None:
            raise Damage(block.place(good), fault[1])


def _fault(
    block: Block, width: int | None, height: int | None, last: int | None, ordered: bool
) -> tuple[int, str] | None:
    """The first event that is wrong, and what is wrong with it."""
    if _all_fine(block, width, height, last, ordered):
        return None
    faults: list[tuple[int, str]] = []
    for name, array in (("x", block.x), ("y", block.y), ("t", block.t), ("p", block.p)):
        if array.dtype.kind not in "iub":
            return (
                0,
                f"{name} holds {array.dtype}; events take integers (scale seconds to ticks of time_unit)",
            )
    for name, array, side, size in (
        ("x", block.x, "width", width),
        ("y", block.y, "height", height),
    ):
        limit = SIDE_LIMIT if size is None else size
        if array.max() >= limit or (array.dtype.kind == "i" and array.min() < 0):
            i = int(((array < 0) | (array >= limit)).argmax())
            what = f"an event outside the sensor: {name} = {int(array[i])}, {side} is {limit}"
            faults.append((i, f"{what} (so 0 to {limit - 1})"))
    if block.p.max() > 1 or (block.p.dtype.kind == "i" and block.p.min() < 0):
        i = int(((block.p < 0) | (block.p > 1)).argmax())
        faults.append((i, f"an event of p = {int(block.p[i])}; polarity is 0 (OFF) or 1 (ON)"))
    if block.t.dtype.kind == "u" and block.t.dtype.itemsize == 8 and block.t.max() >= 1 << 63:
        faults.append((int((block.t >= 1 << 63).argmax()), "an event of a time that does not fit 64 bits"))
    if ordered:
        if last is not None and block.t[0] < last:
            faults.append((0, f"time decreases, from {last} to {int(block.t[0])}; {SORTING}"))
        falls = block.t[1:] < block.t[:-1]
        if falls.any():
            i = int(falls.argmax()) + 1
            faults.append((i, f"time decreases, from {int(block.t[i - 1])} to {int(block.t[i])}; {SORTING}"))
    return min(faults, default=None)


def _all_fine(block: Block, width: int | None, height: int | None, last: int | None, ordered: bool) -> bool:
    """Whether C finds nothing wrong: fast, and of blocks in a recording's types only."""
    arrays = [getattr(block, name) for name in ARRAYS]
    fits = all(
        array.dtype == kind and array.flags.c_contiguous
        for array, kind in zip(arrays, ARRAYS.values(), strict=True)
    )
    checker = native() if fits and ordered else None
    if checker is None:
        return False
    limits = (SIDE_LIMIT if width is None else width, SIDE_LIMIT if height is None else height)
    least = LEAST_TIME if last is None else last
    return bool(checker.all_fine(*(array.ctypes.data for array in arrays), len(block), *limits, least))
