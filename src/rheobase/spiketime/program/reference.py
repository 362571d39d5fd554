"""What a program computes, in NumPy and whole numbers: the specification that the C is held to, spike for spike.

Arrivals are taken in order; W is the sum of the weights so far and U = U + W gap at the next tick of arrival (or the horizon).
A neuron whose U reaches the threshold within a gap fires ceil((threshold - U) / W) ticks into it.

Work is what the C executes: `additions` of weights, `updates` of potentials (one a tick of arrival), `divisions` (one a
crossing).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError
from rheobase.spiketime.geometry import Geometry, input_index
from rheobase.spiketime.program.ir import SILENT, Encoder, Layer, Pool, Program, Readout

Ints = NDArray[np.int64]
NEVER = 1 << 40  # later than any tick


@dataclass(frozen=True)
class Trace:
    """All that a program says of N samples.

    `result` is what decides: the tick of the first output spike (SILENT: none) of ReL-PSP, the membranes of STD-ED.

    Shape: times uint16 `[N, C, H, W]` of the encoder and of each hidden layer; result `[N, 1]` or `[N, K]`; classes `[N]`; work
    `[N, 3]`: additions, updates, divisions
    """

    times: list[NDArray[np.uint16]]
    result: Ints
    classes: Ints
    work: Ints


def spikes(program: Program, trace: Trace) -> Ints:
    """Spikes of each sample: inputs, hidden neurons that fired, and ReL-PSP's output spike. Pooling makes none.

    Shape: `[N]`
    """
    fired: list[NDArray[Any]] = [trace.times[0]]
    fired += [t for t, layer in zip(trace.times[1:], program.hidden, strict=True) if isinstance(layer, Layer)]
    if program.kind == "rel_psp":
        fired.append(trace.result)
    counts = [(times != SILENT).reshape(len(times), -1).sum(1) for times in fired]
    return np.sum(counts, axis=0)


def run(program: Program, frames: NDArray[np.uint8]) -> Trace:
    """Run frames, sample by sample.

    Shape: uint8 `[T, N, C, H, W]`
    Raises:
        DataError: frames of another type or shape.
    """
    frames = check_frames(program, frames)
    parts = [_sample(program, frames[:, i]) for i in range(frames.shape[1])]
    times = [np.stack(layer) for layer in zip(*(part.times for part in parts), strict=True)]
    return Trace(times, *(np.array([part[i] for part in parts], np.int64) for i in (1, 2, 3)))


def check_frames(program: Program, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Refuse frames that do not fit.

    Raises:
        DataError: they are not uint8 `[T, N, C, H, W]` of the program's sizes, or no sample.
    """
    wanted = (program.encoder.T, *program.input_shape)
    if (
        frames.dtype != np.uint8
        or frames.ndim != 5
        or (frames.shape[0], *frames.shape[2:]) != wanted
        or not frames.shape[1]
    ):
        raise DataError(
            f"program {program.name!r} takes uint8 frames [{wanted[0]}, N, {', '.join(map(str, wanted[1:]))}], got "
            f"{frames.dtype} {list(frames.shape)}"
        )
    return frames


def encode(encoder: Encoder, frames: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Frames of one sample to ticks.

    Shape: `[T, C, H, W]` -> `[C, H, W]`
    """
    if encoder.kind == "latency":
        return encoder.table[frames.sum(0, dtype=np.int64)]
    return np.where((frames > 0).any(0), encoder.table[(frames > 0).argmax(0)], SILENT).astype(np.uint16)


class _Sample(NamedTuple):
    times: list[NDArray[np.uint16]]
    result: Ints
    chosen: int
    work: Ints


def _sample(program: Program, frames: NDArray[np.uint8]) -> _Sample:
    times = [encode(program.encoder, frames)]
    work = np.zeros(3, np.int64)
    for layer in program.hidden:
        if isinstance(layer, Pool):
            times.append(pool(layer, times[-1]))
        else:
            fired, done = fire(program, layer, times[-1])
            times.append(fired)
            work += done
    if program.readout is not None:
        result, done = membranes(program, program.readout, times[-1])
        return _Sample(times, result, int(result.argmax()), work + done)
    last = program.last
    assert isinstance(last, Layer)
    chosen, tick, done = first_spike(program, last, times[-1])
    return _Sample(times, np.array([tick]), chosen, work + done)


def pool(layer: Pool, times: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Earliest spikes of windows.

    Shape: `[C, H, W]` -> `[C, H/k, W/k]`
    """
    (channels, height, width), k = layer.shape, layer.kernel
    windows = times[:, : height * k, : width * k].reshape(channels, height, k, width, k)
    return windows.min((2, 4))


def fire(program: Program, layer: Layer, times: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], Ints]:
    """Spikes of a hidden layer, and the work that made them.

    Shape: `[...]` -> `[m, H', W']`
    """
    fired = np.empty((len(layer.weight), layer.geometry.positions), np.uint16)
    work = np.zeros(3, np.int64)
    for position, arrivals in enumerate(_positions(program, layer.geometry, times)):
        if program.kind == "rel_psp":
            t = crossings(layer, arrivals)
            before = arrivals.ticks[:, None] < t  # what a neuron takes in until it fires
            taken = (arrivals.counts[:, None] * before).sum(), before.sum(), (t != NEVER).sum()
        else:
            t = window(program, layer, arrivals)
            everything = len(t) * arrivals.counts.sum(), len(t) * len(arrivals.ticks)
            taken = *everything, ((t > 0) & (t != NEVER)).sum()
        fired[:, position] = np.where(t == NEVER, SILENT, t)
        work += taken
    return fired.reshape(layer.shape), work


def first_spike(program: Program, layer: Layer, times: NDArray[np.uint16]) -> tuple[int, int, Ints]:
    """The neuron of the last layer that fires first, when, and the work until then."""
    (arrivals,) = _positions(program, layer.geometry, times)
    t = crossings(layer, arrivals)
    first = int(t.min(initial=NEVER))
    before = arrivals.ticks < first
    crossed = 0
    if first != NEVER:  # all that cross by the arrival after the first spike are looked at
        crossed = int((t <= np.append(arrivals.ticks, arrivals.horizon)[before.sum()]).sum())
    work = np.array([len(t) * arrivals.counts[before].sum(), len(t) * before.sum(), crossed])
    return (int(t.argmin()), first, work) if first != NEVER else (0, SILENT, work)


def membranes(program: Program, readout: Readout, times: NDArray[np.uint16]) -> tuple[Ints, Ints]:
    """STD-ED's membranes when the window ends.

    Shape: `[K]`
    """
    (arrivals,) = _positions(program, readout.geometry, times)
    W, A = arrivals.sums(readout.weight)
    work = len(W) * np.array([arrivals.counts.sum(), len(arrivals.ticks), 0])
    return (A + program.ticks * W if readout.form == "window_end" else A), work


def crossings(layer: Layer, arrivals: "Arrivals") -> Ints:
    """First ticks at which U reaches the threshold; NEVER if there is none up to the horizon.

    Shape: `[m]`
    """
    W = arrivals.cumulated(layer.weight)  # [G, m]
    U = np.cumsum(W * arrivals.gaps[:, None], 0)  # when each gap ends
    hit = layer.threshold <= U
    if not len(hit):
        return np.full(len(layer.weight), NEVER)
    k, j = hit.argmax(0), np.arange(len(layer.weight))
    slope = np.where(hit.any(0), W[k, j], 1)
    start = U[k, j] - W[k, j] * arrivals.gaps[k]
    t = arrivals.ticks[k] - (start - layer.threshold) // slope  # rounded up
    return np.where(hit.any(0), t, NEVER)


def window(program: Program, layer: Layer, arrivals: "Arrivals") -> Ints:
    """STD-ED's ticks, in the window after that of the inputs.

    Shape: `[m]`
    """
    R = program.ticks
    threshold = layer.threshold.astype(np.int64)
    W, A = arrivals.sums(layer.weight)
    slope = threshold + R * W
    within = (threshold > A) & (slope > 0) & (A + R * W > 0)
    t = -(R * (A - threshold) // np.where(within, slope, 1))
    return np.where(threshold <= A, 0, np.where(within, t, NEVER))


@dataclass(frozen=True)
class Arrivals:
    """The spikes that a position sees, by tick.

    Shape: rows `[E]` of weights in order of arrival; ticks, counts, gaps `[G]`: each tick with arrivals, how many, and how long
    until the next one (or the horizon)
    """

    rows: Ints
    ticks: Ints
    counts: Ints
    horizon: int

    @property
    def gaps(self) -> Ints:
        """Ticks from each arrival to the next one."""
        return np.diff(self.ticks, append=self.horizon)

    def cumulated(self, weight: NDArray[np.int8]) -> Ints:
        """Sum of weights from each tick on.

        Shape: `[m, n]` -> `[G, m]`
        """
        summed = weight[:, self.rows].cumsum(1, dtype=np.int64)
        return summed[:, self.counts.cumsum() - 1].T

    def sums(self, weight: NDArray[np.int8]) -> tuple[Ints, Ints]:
        """W and A = U(horizon).

        Shape: `[m, n]` -> `[m]` twice
        """
        W = self.cumulated(weight)
        if not len(W):
            return np.zeros(len(weight), np.int64), np.zeros(len(weight), np.int64)
        return W[-1], (W * self.gaps[:, None]).sum(0)


def _positions(program: Program, geometry: Geometry, times: NDArray[np.uint16]) -> list[Arrivals]:
    index = input_index(geometry).numpy()
    padded = np.append(times.ravel(), SILENT).astype(np.int64)
    found = []
    for places in index:
        seen = padded[places]
        rows = seen.argsort(kind="stable")[: (seen <= program.horizon).sum()]
        ticks, counts = np.unique(seen[rows], return_counts=True)
        found.append(Arrivals(rows, ticks, counts, program.horizon))
    return found
