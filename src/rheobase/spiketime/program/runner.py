"""A program's own C, compiled here and called through ctypes."""

import ctypes
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase import native
from rheobase.spiketime.program.c99 import generate, generate_learning
from rheobase.spiketime.program.ir import Program
from rheobase.spiketime.program.learner import Learner
from rheobase.spiketime.program.reference import Trace, check_frames

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


class CompiledProgram:
    """A program that runs as the C it ships as, many samples a call.

    Raises:
        LatticeError: a sum could pass 32 bits.
        CompilerError: there is no C compiler, or it failed (when the first method runs).
    """

    def __init__(self, program: Program, flags: Sequence[str] = FLAGS) -> None:
        self.program, self._flags = program, tuple(flags)
        self._source = generate(program)

    def run(self, frames: NDArray[np.uint8]) -> Trace:
        """Everything that the reference says, from the C.

        Shape: uint8 `[T, N, C, H, W]`
        Raises:
            DataError: frames of another type or shape.
        """
        program, library = self.program, self._library
        ordered = np.ascontiguousarray(check_frames(program, frames).swapaxes(0, 1))
        shapes = [program.input_shape, *(layer.shape for layer in program.hidden)]
        sizes = [int(np.prod(shape)) for shape in shapes]
        N = len(ordered)
        times = np.empty((N, sum(sizes)), np.uint16)
        results = np.empty((N, program.classes if program.readout else 1), np.int32)
        classes, work = np.empty(N, np.int32), np.empty((N, 3), np.uint32)
        state = aligned(library.host_bytes())
        library.host_run(
            state.ctypes.data,
            ordered.ctypes.data,
            N,
            *(array.ctypes.data for array in (times, results, classes, work)),
        )
        parts = np.split(times, np.cumsum(sizes)[:-1], axis=1)
        layers = [part.reshape(N, *shape) for part, shape in zip(parts, shapes, strict=True)]
        return Trace(layers, *(array.astype(np.int64) for array in (results, classes, work)))

    @property
    def state_bytes(self) -> int:
        """`sizeof` the state."""
        return int(self._library.host_bytes())

    @cached_property
    def _library(self) -> ctypes.CDLL:
        texts = {**self._source.files, "host.c": self._source.fill("host.c")}
        library = compile_texts(texts, self._flags)
        library.host_bytes.restype = ctypes.c_size_t
        pointer = ctypes.c_void_p
        library.host_run.argtypes = [pointer, pointer, ctypes.c_int, *[pointer] * 4]
        library.host_run.restype = None
        return library


class CompiledLearner:
    """`learn.c` beside its program, run here: the same as `Learner`, which says what it means."""

    def __init__(self, learner: Learner, flags: Sequence[str] = FLAGS) -> None:
        program = learner.program
        self.program, self._learner = program, learner
        source = generate(program)
        learning = generate_learning(program).files
        texts = {**source.files, **learning, "host_learn.c": source.fill("host_learn.c")}
        self._library = compile_texts(texts, flags)
        self._library.host_state_bytes.restype = ctypes.c_size_t
        self._library.host_learner_bytes.restype = ctypes.c_size_t
        pointer, number = ctypes.c_void_p, ctypes.c_int
        self._library.host_learn.argtypes = [pointer] * 4 + [number, number, ctypes.c_int32, number, pointer]
        self._library.host_learn.restype = None
        self._state = aligned(self._library.host_state_bytes())
        self._memory = aligned(self._library.host_learner_bytes())
        self._library.host_start.argtypes = [pointer]
        self._library.host_start(self._memory.ctypes.data)

    @property
    def weight(self) -> NDArray[np.int16]:
        """The weights as learned so far, `[K, n]`."""
        shape = self._learner.weight.shape
        return self._memory.view(np.int16)[: shape[0] * shape[1]].reshape(shape).copy()

    def run(self, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Class of each sample, nothing learned.

        Shape: uint8 `[T, N, C, H, W]` -> `[N]`
        """
        return self._call(frames, np.zeros(frames.shape[1], np.int64), learn=False)

    def learn(self, frames: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Learn sample by sample; classes as they were decided before each sample was learned.

        Shape: uint8 `[T, N, C, H, W]`, `[N]` -> `[N]`
        """
        return self._call(frames, labels, learn=True)

    def _call(
        self, frames: NDArray[np.uint8], labels: NDArray[np.int64], *, learn: bool
    ) -> NDArray[np.int64]:
        ordered = np.ascontiguousarray(check_frames(self.program, frames).swapaxes(0, 1))
        chosen, wanted = np.empty(len(ordered), np.int32), labels.astype(np.int32)
        arrays = (self._memory, self._state, ordered, wanted)
        self._library.host_learn(
            *(array.ctypes.data for array in arrays),
            len(ordered),
            int(learn),
            self._learner.margin,
            self._learner.shift,
            chosen.ctypes.data,
        )
        return chosen.astype(np.int64)


def compile_texts(texts: dict[str, str], flags: Sequence[str]) -> ctypes.CDLL:
    """C files compiled to a library and loaded.

    Raises:
        CompilerError: there is no C compiler, or it refused them.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text)
        sources = [Path(folder, name) for name in texts if name.endswith(".c")]
        return ctypes.CDLL(str(native.compile_shared(sources, flags, "spike-time-program")))


def aligned(count: int) -> NDArray[np.int64]:
    """Zeroed memory of at least `count` bytes, aligned for every type of the state."""
    return np.zeros(-(-count // 8), np.int64)
