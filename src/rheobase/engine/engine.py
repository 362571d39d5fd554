"""The fast host engine: one C library that runs integer programs, layer by layer."""

import ctypes
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.engine.layers import Layers
from rheobase.engine.library import ISAS, KERNELS, best_isa, library
from rheobase.engine.memory import RunMemory, steps_held
from rheobase.engine.plan import plan
from rheobase.errors import DataError, unknown
from rheobase.program.ir import Program
from rheobase.program.ops import Firing
from rheobase.program.ops.base import whole
from rheobase.program.reference import Trace, check_frames


@dataclass(frozen=True)
class LayerTime:
    """Processor time of the first thread for a sample, and the mean count of the layer's inputs (of spikes: their rate)."""

    layer: str
    seconds: float
    rate: float


class Engine:
    """A program on the host's processor, equal to `reference.run` on every spike and logit.

    Spikes are single bits and weights stay packed. A layer sums by one of these kernels, whose integers are the
    same, so that it can choose anew for each sample by the events that there are:

    * `event`: one packed weight row for each input event (lists of events);
    * `lookup`: four inputs at a time index a table of their sums (AVX2; spikes that are not pooled);
    * `popcount`: ANDs of spikes and weights, their ones counted (1 and 2 bits; spikes that are not pooled);
    * `dense`: multiply-add over all inputs, for counts too many to list and windows of 65535 weights and more.

    `kernel` forces one on the layers that can run it. `isa` is `scalar`, `avx2` or `avx512`; None takes the best
    that this processor has. With at least `threads` samples, threads share the samples, else each layer's output.

    Weighted sums of events are what it is fast at, and products of two maps of spikes (ANDs of bits, their ones counted).
    Convolutions of currents or signed events, in groups or dilated, rescalings, additions and poolings of counts are plain
    loops over maps of int32. Any other op runs by the C that it ships as, on one thread.

    Raises:
        ProgramError: the program is not valid.
        DataError: an unknown `isa` or `kernel`, or one that this processor does not have.
        CompilerError: there is no C compiler, or it failed; `reference.run` needs none.
    """

    def __init__(
        self, program: Program, *, threads: int = 1, isa: str | None = None, kernel: str | None = None
    ) -> None:
        self.program = program
        self._classes = program.classes
        self.threads = whole(threads, "threads", 1, 256)
        stages = plan(program)
        self._fires = [index for index, stage in enumerate(stages) if stage.fires]
        self.isa = _able(isa)
        self._library = library(self.isa)
        self._layers = Layers(stages, self.isa)
        self._lock = threading.Lock()
        self._memories: dict[tuple[int, int], list[RunMemory]] = {}
        self.kernel = kernel

    @property
    def kernel(self) -> str | None:
        """The kernel that layers are forced to use where they can run it; None where they choose. Can be set."""
        return self._layers.kernel

    @kernel.setter
    def kernel(self, name: str | None) -> None:
        if name is not None and name not in KERNELS:
            raise DataError(unknown("kernel", name, KERNELS))
        with self._lock:
            self._layers.choose(name)
            self._memories.clear()  # another kernel may need more scratch

    def choose(self, rates: Sequence[float]) -> None:
        """Let layers choose, given the rates that they will see: `[part.rate for part in engine.profile(frames)]`.

        Where a rate comes near the one at which tables are faster than lists of events, tables are made (4 to 8
        bytes a weight), and each sample takes what suits its own rate.

        Raises:
            DataError: another number of rates than layers.
        """
        if len(rates) != len(self._layers.stages):
            raise DataError(f"this program has {len(self._layers.stages)} layers, got {len(rates)} rates")
        with self._lock:
            self._layers.choose(None, rates)
            self._memories.clear()

    def run(self, frames: NDArray[Any]) -> NDArray[np.int32]:
        """Each step's contribution to the logits, as in the reference's trace; sum over T to decide.

        Shape: array or CPU tensor of the program's `input_type` `[T, N, C, H, W]` to int32 `[T, N, K]`.
        Raises:
            DataError: frames of another type or shape.
        """
        return self._run(frames, None)

    def run_traced(self, frames: NDArray[Any]) -> Trace:
        """All spikes and logits.

        Shape: see `Trace`.
        Raises:
            DataError: frames of another type or shape.
        """
        steps, samples = check_frames(self.program, frames).shape[:2]
        spikes = [
            np.zeros((steps, samples, *shape), op.spike_type)
            for op, shape in zip(self.program.ops, self.program.shapes(), strict=True)
            if isinstance(op, Firing)
        ]
        logits = self._run(frames, spikes)
        return Trace(spikes, logits.astype(np.int64))

    def predict(self, frames: NDArray[Any]) -> NDArray[np.int64]:
        """Class of each sample after all steps, ties to the lowest.

        Shape: the program's `input_type` `[T, N, C, H, W]` to int64 `[N]`.
        """
        return self.run(frames).sum(axis=0, dtype=np.int64).argmax(axis=-1)

    def profile(self, frames: NDArray[Any]) -> list[LayerTime]:
        """Time and input rate of each layer, one sample after the other, all threads on each.

        Shape: the program's `input_type` `[T, N, C, H, W]`, N >= 1.
        Raises:
            DataError: frames of another type or shape, or no samples.
        """
        frames = np.ascontiguousarray(check_frames(self.program, frames))
        steps, samples = frames.shape[:2]
        if samples == 0:
            raise DataError("profile needs at least one sample")
        logits = np.zeros((steps, samples, self._classes), np.int32)
        count = len(self._layers.array)
        seconds, rates = np.zeros(count), np.zeros(count)
        with self._lock:
            memory = self._memory(1, steps)[0] if self.threads == 1 else self._memory(self.threads, steps)[0]
            for n in range(samples):
                self._team(memory, frames, logits, n, None, (seconds, rates))
        parts = zip(self._layers.stages, seconds / samples, rates / (samples * steps), strict=True)
        return [LayerTime(stage.name, float(time), float(rate)) for stage, time, rate in parts]

    def stream(self, samples: int = 1) -> "Stream":
        """Frame by frame, membranes carried from each to the next, for `samples` samples side by side."""
        return Stream(self, whole(samples, "samples", 1, 1 << 20))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads - 1)

    def _memory(self, team: int, steps: int) -> list[RunMemory]:
        """One memory for each team of `team` threads."""
        held = steps_held(self._layers, steps)
        key = (team, held)
        if key not in self._memories:
            made = [RunMemory(self._library, self._layers, held, team) for _ in range(self.threads // team)]
            self._memories = {key: made}  # one shape at a time
        return self._memories[key]

    def _run(self, frames: NDArray[Any], spikes: list[NDArray[Any]] | None) -> NDArray[np.int32]:
        frames = np.ascontiguousarray(check_frames(self.program, frames))
        steps, samples = frames.shape[:2]
        logits = np.zeros((steps, samples, self._classes), np.int32)
        with self._lock:
            if samples < self.threads or self.threads == 1:
                for n in range(samples):
                    self._team(self._memory(self.threads, steps)[0], frames, logits, n, spikes, None)
            else:
                self._share(self._memory(1, steps), frames, logits, spikes)
        return logits

    def _team(
        self,
        memory: RunMemory,
        frames: NDArray[Any],
        logits: NDArray[np.int32],
        n: int,
        spikes: list[NDArray[Any]] | None,
        times: tuple[NDArray[Any], NDArray[Any]] | None,
    ) -> None:
        """Sample n, all threads on it."""
        memory.reset()
        for first in range(0, len(frames), memory.steps):
            last = min(first + memory.steps, len(frames))
            self.together(memory, frames[first:last, n], logits[first:last, n], times)
            for index, layer in zip(self._fires if spikes else (), spikes or (), strict=True):
                layer[first:last, n] = memory.spikes(index, last - first).reshape(
                    last - first, *layer.shape[2:]
                )

    def together(
        self,
        memory: RunMemory,
        frames: NDArray[Any],
        logits: NDArray[np.int32],
        times: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ) -> None:
        """A few steps of one sample on the memory's threads, from the membranes that it holds.

        Shape: `frames` `[T, C, H, W]`, `logits` int32 `[T, K]`, any stride over T.
        """
        threads = memory.struct.threads
        others = [
            self._pool.submit(self._call, memory, thread, frames, logits, times)
            for thread in range(1, threads)
        ]
        self._call(memory, 0, frames, logits, times)
        for other in others:
            other.result()

    def _share(
        self,
        memories: list[RunMemory],
        frames: NDArray[Any],
        logits: NDArray[np.int32],
        spikes: list[NDArray[Any]] | None,
    ) -> None:
        """Samples among the threads, each with a memory of its own."""
        samples = iter(range(frames.shape[1]))
        take = threading.Lock()

        def work(memory: RunMemory) -> None:
            while True:
                with take:
                    n = next(samples, None)
                if n is None:
                    return
                self._team(memory, frames, logits, n, spikes, None)

        others = [self._pool.submit(work, memory) for memory in memories[1:]]
        work(memories[0])
        for other in others:
            other.result()

    def _call(
        self,
        memory: RunMemory,
        thread: int,
        frames: NDArray[Any],
        logits: NDArray[np.int32],
        times: tuple[NDArray[Any], NDArray[Any]] | None,
    ) -> None:
        array = self._layers.array
        self._library.engine_run(
            *(array, len(array), ctypes.byref(memory.struct), thread),
            *(frames.ctypes.data, frames.strides[0], len(frames)),
            *(logits.ctypes.data, logits.strides[0] // 4),
            *((None, None) if times is None else (array_.ctypes.data for array_ in times)),
        )


def _able(wanted: str | None) -> str:
    """The wanted instruction set, or the best, if this processor has it."""
    if wanted is not None and wanted not in ISAS:
        raise DataError(unknown("isa", wanted, list(ISAS)))
    able = list(ISAS)[: list(ISAS).index(best_isa()) + 1]
    if wanted is not None and wanted not in able:
        raise DataError(f"this processor does not have {wanted}; it runs {', '.join(able)}")
    return wanted or able[-1]


class Stream:
    """A program that takes one frame of each sample at a time and keeps the membranes in between.

    `logits` int32 `[N, K]` are the sums over all steps so far.
    """

    def __init__(self, engine: Engine, samples: int) -> None:
        self._engine = engine
        self._memories = [
            RunMemory(engine._library, engine._layers, 1, engine.threads) for _ in range(samples)
        ]
        self.logits = np.zeros((samples, engine.program.classes), np.int32)

    def step(self, frames: NDArray[Any]) -> NDArray[np.int32]:
        """This step's contribution to the logits.

        Shape: the program's `input_type` `[N, C, H, W]` to int32 `[N, K]`.
        Raises:
            DataError: frames of another type or shape, or another number of samples.
        """
        frames = np.ascontiguousarray(check_frames(self._engine.program, np.asarray(frames)[None]))
        if frames.shape[1] != len(self._memories):
            raise DataError(f"this stream has {len(self._memories)} samples, got frames of {frames.shape[1]}")
        logits = np.zeros((1, *self.logits.shape), np.int32)
        with self._engine._lock:
            for n, memory in enumerate(self._memories):
                self._engine.together(memory, frames[:, n], logits[:, n])
        self.logits += logits[0]
        return logits[0]

    def reset(self) -> None:
        """Start anew: membranes and logits to 0."""
        for memory in self._memories:
            memory.reset()
        self.logits[:] = 0

    def predict(self) -> NDArray[np.int64]:
        """Class of each sample so far, ties to the lowest.

        Shape: int64 `[N]`.
        """
        return self.logits.argmax(axis=-1)
