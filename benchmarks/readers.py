"""How fast recordings are read, in million events a second: every format, and the readers of Tonic and SpikingJelly.

    python benchmarks/readers.py [--events 2000000] [--rounds 9] [--formats dat evt3] [--out F.csv] [--check]

The files are in the page cache; each contender goes from a path to arrays in memory, and takes the least processor
time of its rounds, in which other programs on the machine do not count. Peers: Tonic 1.7's
`read_davis_346` (AEDAT 2.0), its `get_aer_events_from_file` with the bit operations of `read_dvs_red` (AEDAT 3.1;
that function itself fails in 1.7) and `read_mnist_file`; SpikingJelly's `load_aedat_v3` and `load_ATIS_bin`. No
peer that can be imported here reads DAT or EVT.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench
import numpy as np

from rheobase.events import FORMATS, Recording, decode_native, read_chunks, read_recording, write_recording

WIDTH, HEIGHT = 346, 260
FAST = ("aedat2", "aedat3", "dat", "evt2", "evt3")
SKIPPED = ("aedat4", "nmnist")


def draw(events: int) -> Recording:
    """A few events a microsecond over a DAVIS346, in short runs along rows, as edges make them."""
    rng = np.random.default_rng(0)
    x = (np.repeat(rng.integers(WIDTH, size=-(-events // 4)), 4)[:events] + np.arange(events) % 4) % WIDTH
    y = np.repeat(rng.integers(HEIGHT, size=-(-events // 4)), 4)[:events]
    t = np.sort(np.repeat(rng.integers(events // 2, size=-(-events // 4)), 4)[:events])
    p = np.repeat(rng.integers(2, size=-(-events // 4)), 4)[:events]
    return Recording(x, y, t, p, width=WIDTH, height=HEIGHT)


def small(recording: Recording) -> Recording:
    """The recording as N-MNIST can hold it."""
    arrays = {"x": recording.x % 34, "y": recording.y % 34, "t": recording.t * 8 // (len(recording) or 1)}
    return Recording(**arrays, p=recording.p, width=34, height=34)


def plain(path: Path, name: str) -> Callable[[], object]:
    """What rheobase falls back to where there is no compiler."""

    def run() -> object:
        os.environ[decode_native.VARIABLE] = "numpy"
        try:
            return read_recording(path, format=name)
        finally:
            del os.environ[decode_native.VARIABLE]

    return run


def tonic_aedat2(path: Path) -> Callable[[], object]:
    from tonic.io import read_davis_346

    return lambda: read_davis_346(str(path))


def tonic_aedat3(path: Path) -> Callable[[], object]:
    from tonic import io

    def run() -> object:
        version, start, _ = io.read_aedat_header_from_file(str(path))
        events = io.get_aer_events_from_file(str(path), version, start)
        address = events["address"]
        fields = (address >> 17) & 0x7FFF, (address >> 2) & 0x7FFF, events["timeStamp"], (address >> 1) & 1
        return io.make_structured_array(*fields)

    return run


def tonic_nmnist(path: Path) -> Callable[[], object]:
    from tonic.io import events_struct, read_mnist_file

    return lambda: read_mnist_file(str(path), events_struct)


def spikingjelly_aedat3(path: Path) -> Callable[[], object]:
    from spikingjelly.datasets.utils import load_aedat_v3

    return lambda: load_aedat_v3(str(path))


def spikingjelly_nmnist(path: Path) -> Callable[[], object]:
    from spikingjelly.datasets.utils import load_ATIS_bin

    return lambda: load_ATIS_bin(str(path))


PEERS = {
    "aedat2": {"Tonic": tonic_aedat2},
    "aedat3": {"Tonic": tonic_aedat3, "SpikingJelly": spikingjelly_aedat3},
    "nmnist": {"Tonic": tonic_nmnist, "SpikingJelly": spikingjelly_nmnist},
}


def least(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least processor time of each in seconds, over rounds in which they take turns."""
    took = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for who, run in runs.items():
            start = time.process_time()
            run()
            took[who] = min(took[who], time.process_time() - start)
    return took


def main() -> None:
    parser = bench.parser("Reading recordings, in million events a second.", rounds=9)
    parser.add_argument("--events", type=int, default=2 * 10**6)
    parser.add_argument("--formats", nargs="+", choices=sorted(FORMATS), default=list(FORMATS))
    options = parser.parse_args()
    recording = draw(options.events)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), recording, options)


def measure(folder: Path, recording: Recording, options: argparse.Namespace) -> None:
    rows, goals = [], []
    for name in options.formats:
        if name == "aedat4" or (name == "csv" and len(recording) > 10**5):
            held = recording.select(np.arange(len(recording)) < 10**5)
        else:
            held = small(recording) if name == "nmnist" else recording
        if name == "aedat4":
            continue
        path = folder / f"recording.{name}"
        write_recording(held, path, format=name)
        makers = {
            "rheobase": lambda path=path, name=name: lambda: read_recording(path, format=name),
            "rheobase, chunks": lambda path=path, name=name: (
                lambda: [len(part) for part in read_chunks(path, 10**5, format=name)]
            ),
        }
        if name in decode_native.NAMES:
            makers["rheobase without C"] = lambda path=path, name=name: plain(path, name)
        for peer, make in PEERS.get(name, {}).items():
            makers[peer] = lambda path=path, make=make: make(path)
        runs = bench.peers(makers)
        took = least(runs, options.rounds)
        rows += [
            {
                "what": f"{name}, {who}",
                "million events/s": len(held) / took[who] / 1e6,
                "bytes/event": path.stat().st_size / len(held),
                "times rheobase's time": took[who] / took["rheobase"],
            }
            for who in runs
        ]
        path.unlink()
        if name in FAST:
            speed = len(held) / took["rheobase"] / 1e6
            goals.append(bench.Goal(f"{name}, million events a second", speed, 50))
            ratios = [took[who] / took["rheobase"] for who in PEERS.get(name, {}) if who in took]
            best = min(ratios, default=None)
            goals.append(bench.Goal(f"{name}, times the best peer's speed", best, 5))
    bench.finish("readers", rows, goals, options)


if __name__ == "__main__":
    main()
