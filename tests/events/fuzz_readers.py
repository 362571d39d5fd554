"""Damaged and random files for every reader: `python tests/events/fuzz_readers.py 100000` (or `make fuzz-readers`).

Whatever the bytes, a reader gives a recording or a `DataError`, within seconds and bounded memory; a salvaged
recording begins as the undamaged one; chunks are the whole in pieces. A case is named by its number: the same
number makes the same bytes.
"""

import argparse
import random
import signal
import tempfile
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np

from rheobase.errors import DataError
from rheobase.events import FORMATS, Recording, read_chunks, read_recording, survey, write_recording

SECONDS = 20
ALLOWED_BYTES = 64 << 20
MEMORY_EVERY = 8


def sample(events: int = 60, *, width: int = 128, height: int = 128, label: int | None = None) -> Recording:
    """A recording that every format can hold."""
    rng = np.random.default_rng(5)
    x, y = rng.integers(min(width, 34), size=events), rng.integers(min(height, 34), size=events)
    x[10:20], y[10:20] = np.arange(10), 7
    t = np.sort(rng.integers(20_000, size=events))
    t[10:20] = t[10]
    return Recording(x, y, t, rng.integers(2, size=events), width=width, height=height, label=label)


@cache
def files() -> dict[str, bytes]:
    """One file of every format that can be written, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        made = {}
        for name, format in FORMATS.items():
            if format.dump is not None:
                write_recording(sample(), path, format=name)
                made[name] = path.read_bytes()
    return made


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes cut, flipped, overwritten, lengthened, or none of them left but the first few."""
    changed = bytearray(data)
    kind = rng.randrange(6)
    at = rng.randrange(len(changed))
    if kind == 0:
        del changed[at:]
    elif kind == 1:
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        noise = rng.randbytes(rng.choice((1, 4, 8, 200)))
        changed[at : at + len(noise)] = noise
    elif kind == 3:
        changed[at : at + 4] = rng.choice(
            (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0")
        )
    elif kind == 4:
        changed[at:at] = changed[rng.randrange(len(changed)) :][: rng.randrange(1, 300)]
    else:
        changed[at:] = rng.randbytes(rng.randrange(600))
    return bytes(changed)


def assert_begins(part: Recording, whole: Recording, what: str) -> None:
    for name in "xytp":
        assert np.array_equal(getattr(part, name), getattr(whole, name)[: len(part)]), (
            f"{what}: {name} differ"
        )


def check_memory(path: Path, name: str | None) -> str:
    """As `check`, with an eye on memory, which makes it several times slower.

    Raises:
        AssertionError: a way of reading differs from another, or took too much memory.
    """
    tracemalloc.start()
    try:
        outcome = check(path, name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = path.stat().st_size
    assert peak <= 4 * size + ALLOWED_BYTES, f"{peak} bytes for a file of {size}"
    return outcome


def check(path: Path, name: str | None) -> str:
    """Read a file in every way; what came of it (`read`, `salvaged` or `refused`).

    Raises:
        AssertionError: a way of reading differs from another.
    """
    whole = salvaged = None
    try:
        whole = read_recording(path, format=name)
    except DataError as error:
        assert str(path) in str(error), error
    try:
        salvaged = read_recording(path, format=name, salvage=True)
    except DataError:
        assert whole is None, "salvage refused what reading did not"
    try:
        survey(path, format=name, salvage=True)
    except DataError:
        assert salvaged is None, "the survey refused what could be salvaged"
    if salvaged is None:
        return "refused"
    parts = list(read_chunks(path, 7, format=name, salvage=True))
    assert [len(part) for part in parts[:-1]] == [7] * (len(parts) - 1)
    for field in "xytp":
        joined = np.concatenate([np.zeros(0, np.int64), *(getattr(part, field) for part in parts)])
        assert np.array_equal(joined, getattr(salvaged, field)), f"chunks: {field} differ"
    if whole is None:
        return "salvaged"
    assert len(whole) == len(salvaged)
    assert_begins(salvaged, whole, "salvaged")
    return "read"


def case(number: int, path: Path) -> str:
    """Make and check one case; what came of it, by format."""
    rng = random.Random(number)
    name = rng.choice(sorted(files()))
    path.write_bytes(damaged(files()[name], rng))
    look = check if number % MEMORY_EVERY else check_memory
    return f"{name} {look(path, name if rng.random() < 0.7 else None)}"


def _too_long(*_: object) -> None:
    raise AssertionError(f"longer than {SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Read damaged files until one is read wrongly.")
    parser.add_argument("cases", type=int, nargs="?", default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    outcomes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.bin"
        for number in range(options.first, options.first + options.cases):
            signal.alarm(SECONDS)
            try:
                outcome = case(number, path)
            except BaseException:
                print(f"case {number} failed: --first {number} 1 repeats it")
                raise
            signal.alarm(0)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    for outcome in sorted(outcomes):
        print(f"{outcomes[outcome]:8,} {outcome}")


if __name__ == "__main__":
    main()
