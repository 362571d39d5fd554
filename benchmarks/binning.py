"""How fast events become frames: rheobase, Tonic, SpikingJelly, NumPy and torch, against copying the events.

    python benchmarks/binning.py [--events 1000000] [--side 128] [--bins 10] [--rounds 15] [--out F.csv] [--check]

Each contender gets the events in the form it keeps them in (separate arrays; Tonic a structured array), random
over pixels, polarities and time. `lost` are events that are in no frame. The bound is a copy of x, y and p, the
bytes that must be read.
"""

import os

import bench
import numpy as np
import torch
from numpy.typing import NDArray

from rheobase.events import Recording, bin_by_count, bin_by_time, bin_native


def draw(events: int, side: int) -> Recording:
    rng = np.random.default_rng(0)
    x, y, p = (rng.integers(high, size=events) for high in (side, side, 2))
    return Recording(x, y, np.sort(rng.integers(10**6, size=events)), p, width=side, height=side)


def without_c(recording: Recording, T: int):
    """What rheobase falls back to where there is no compiler: `np.bincount` for each frame."""

    def run() -> NDArray[np.int32]:
        os.environ[bin_native.VARIABLE] = "numpy"
        try:
            return bin_by_time(recording, T)
        finally:
            del os.environ[bin_native.VARIABLE]

    return run


def add_at(recording: Recording, T: int):
    """Bin by time with `np.add.at`, what one writes first."""

    def run() -> NDArray[np.int32]:
        t = recording.t
        frames = np.zeros((T, 2, recording.height, recording.width), np.int32)
        bins = (t - t[0]) * T // (t[-1] + 1 - t[0])
        np.add.at(frames, (bins, recording.p, recording.y, recording.x), 1)
        return frames

    return run


def plain_torch(recording: Recording, T: int):
    """Bin by time with `torch.bincount` over all cells."""
    x, y, t, p = (torch.from_numpy(getattr(recording, name).astype(np.int64)) for name in "xytp")

    def run() -> torch.Tensor:
        bins = (t - t[0]) * T // (t[-1] + 1 - t[0])
        cell = ((bins * 2 + p) * recording.height + y) * recording.width + x
        shape = (T, 2, recording.height, recording.width)
        return torch.bincount(cell, minlength=T * 2 * shape[2] * shape[3]).reshape(shape)

    return run


def tonic(recording: Recording, T: int):
    from tonic.transforms import ToFrame

    kinds = [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")]
    events = np.empty(len(recording), dtype=kinds)
    for name in "xytp":
        events[name] = getattr(recording, name)
    transform = ToFrame(sensor_size=(recording.width, recording.height, 2), n_time_bins=T)
    return lambda: transform(events)


def spikingjelly(recording: Recording, T: int, split_by: str):
    from spikingjelly.datasets import integrate_events_by_fixed_frames_number as integrate

    events = {name: getattr(recording, name) for name in "xytp"}
    return lambda: integrate(events, split_by, T, recording.height, recording.width)


def main() -> None:
    parser = bench.parser("Events to frames against peers and a copy of the events.", rounds=15)
    parser.add_argument("--events", type=int, default=10**6)
    parser.add_argument("--side", type=int, default=128, help="pixels a side of the sensor")
    parser.add_argument("--bins", type=int, default=10)
    options = parser.parse_args()
    recording, T = draw(options.events, options.side), options.bins
    runs = bench.peers(
        {
            "rheobase, by time": lambda: lambda: bin_by_time(recording, T),
            "rheobase, by count": lambda: lambda: bin_by_count(recording, T),
            "rheobase without C": lambda: without_c(recording, T),
            "NumPy add.at": lambda: add_at(recording, T),
            "plain torch": lambda: plain_torch(recording, T),
            "Tonic ToFrame": lambda: tonic(recording, T),
            "SpikingJelly, by time": lambda: spikingjelly(recording, T, "time"),
            "SpikingJelly, by number": lambda: spikingjelly(recording, T, "number"),
        }
    )
    lost = {name: len(recording) - int(run().sum()) for name, run in runs.items()}
    buffers = [(array, array.copy()) for array in (recording.x, recording.y, recording.p)]
    runs["copy (bound)"] = lambda: [np.copyto(target, source) for source, target in buffers]
    times = bench.interleaved(runs, options.rounds)
    time, count = "rheobase, by time", "rheobase, by count"
    rows = [
        {
            "what": name,
            "ms": times.median(name) * 1e3,
            "million events/s": len(recording) / times.median(name) / 1e6,
            "times rheobase's time": times.ratio(name, time),
            "lost": lost.get(name),
        }
        for name in runs
    ]
    goals = [
        bench.Goal("events to frames, times Tonic's speed", times.ratio("Tonic ToFrame", time), 38),
        bench.Goal("... SpikingJelly's, by time", times.ratio("SpikingJelly, by time", time), 2.4),
        bench.Goal("... SpikingJelly's, by number", times.ratio("SpikingJelly, by number", count), 2.4),
        bench.Goal("events lost by rheobase", float(max(lost[time], lost[count])), 0, most=True),
    ]
    bench.finish("binning", rows, goals, options)


if __name__ == "__main__":
    main()
