"""The host engine: a program's own C, compiled here and called through ctypes."""

import ctypes
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase import native
from rheobase.errors import ProgramError
from rheobase.program.c99.emitter import fill
from rheobase.program.c99.generator import generate
from rheobase.program.early_exit import NEVER
from rheobase.program.ir import Program
from rheobase.program.ops import Firing
from rheobase.program.reference import Trace, check_frames

FLAGS = ("-std=c99", "-O3", "-march=native")
TRACE = "-DRHEOBASE_TRACE"


class CompiledProgram:
    """A program that runs as the C it ships as, on the host's processor, over many samples a call.

    `threads` splits the samples; each thread has a state of its own, so the result does not depend on it.
    `rates` chooses kernels, as in `write_c`.

    Raises:
        ProgramError: the program is not valid.
        CompilerError: there is no C compiler, or it failed (when the first method runs).
    """

    def __init__(
        self,
        program: Program,
        *,
        threads: int = 1,
        flags: Sequence[str] = FLAGS,
        rates: Mapping[int, float] | None = None,
    ) -> None:
        self.program = program
        self.threads = max(1, threads)
        self._flags = tuple(flags)
        self._source = generate(program, rates)

    def run(self, frames: NDArray[Any]) -> NDArray[np.int32]:
        """Each step's contribution to the logits, as in the reference's trace; sum over T to decide.

        Shape: the program's `input_type` `[T, N, C, H, W]` to int32 `[T, N, K]`.
        Raises:
            DataError: frames of another type or shape.
            ProgramError: more steps than a logit can hold.
        """
        return self._call(self._plain, frames, None)

    def run_traced(self, frames: NDArray[Any]) -> Trace:
        """All spikes and logits, from a build with tracing.

        Shape: see `Trace`.
        Raises:
            DataError: frames of another type or shape.
            ProgramError: more steps than a logit can hold.
        """
        frames = check_frames(self.program, frames)
        layers = []
        for op, shape in zip(self.program.ops, self.program.shapes(), strict=True):
            if isinstance(op, Firing):
                last = (*shape[1:], shape[0])  # the C keeps maps channel-last
                layers.append(np.zeros((*frames.shape[:2], *last), op.spike_type))
        logits = self._call(self._traced, frames, layers)
        spikes = [np.ascontiguousarray(np.moveaxis(layer, -1, 2)) for layer in layers]
        return Trace(spikes, logits.astype(np.int64))

    def predict(self, frames: NDArray[Any]) -> NDArray[np.int64]:
        """Class of each sample after all steps, ties to the lowest.

        Shape: the program's `input_type` `[T, N, C, H, W]` to int64 `[N]`.
        """
        return self.run(frames).sum(axis=0, dtype=np.int64).argmax(axis=-1)

    def run_until(self, frames: NDArray[Any], margin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Class of each sample at the first step with this margin, and how many steps it took (see `early_exit`).

        Shape: the program's `input_type` `[T, N, C, H, W]` to int64 `[N]` twice.
        Raises:
            DataError: frames of another type or shape.
            ProgramError: more steps than a logit can hold, or a margin outside 0..2^32 - 1.
        """
        frames = np.ascontiguousarray(self._checked(frames).swapaxes(0, 1))
        if not 0 <= margin <= NEVER:
            raise ProgramError(f"a margin lies between 0 and {NEVER} (never stop early), got {margin}")
        samples, steps = frames.shape[:2]
        classes, used = np.zeros(samples, np.intc), np.zeros(samples, np.intc)
        state = self._state(self._plain)
        self._plain.host_run_until(
            state.ctypes.data,
            frames.ctypes.data,
            steps,
            samples,
            margin,
            classes.ctypes.data,
            used.ctypes.data,
        )
        return classes.astype(np.int64), used.astype(np.int64)

    @property
    def state_bytes(self) -> int:
        """What `NAME_state_size()` returns on this host."""
        return int(self._plain.host_program_bytes())

    @cached_property
    def _plain(self) -> ctypes.CDLL:
        return self._compile(())

    @cached_property
    def _traced(self) -> ctypes.CDLL:
        return self._compile((TRACE,))

    def _compile(self, extra: tuple[str, ...]) -> ctypes.CDLL:
        source = self._source
        texts = {"model.h": source.model_h, "kernels.h": source.kernels_h, "model.c": source.model_c}
        host = fill(
            "templates/host.c",
            prefix=source.prefix,
            PREFIX=source.prefix.upper(),
            frame_type=f"{self.program.input_type}_t",
        )
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**texts, "host.c": host}.items():
                Path(folder, name).write_text(text)
            paths = [Path(folder, name) for name in ("model.c", "host.c")]
            library = ctypes.CDLL(str(native.compile_shared(paths, [*self._flags, *extra], "program")))
        library.host_program_bytes.restype = ctypes.c_size_t
        pointer, number = ctypes.c_void_p, ctypes.c_int
        library.host_program.argtypes = [pointer, pointer, *[number] * 4, pointer, pointer]
        library.host_program.restype = None
        library.host_run_until.argtypes = [
            pointer,
            pointer,
            number,
            number,
            ctypes.c_uint32,
            pointer,
            pointer,
        ]
        library.host_run_until.restype = None
        return library

    def _checked(self, frames: NDArray[Any]) -> NDArray[Any]:
        frames = check_frames(self.program, frames)
        if len(frames) > self._source.max_steps:
            raise ProgramError(
                f"{len(frames)} steps could overflow a logit of program {self.program.name!r}, or are beyond what it mixes; "
                f"it runs up to {self._source.max_steps}"
            )
        return frames

    @staticmethod
    def _state(library: ctypes.CDLL) -> NDArray[Any]:
        # int64 elements: ctypes hands the state over at an address aligned for every type in it
        return np.zeros(-(-int(library.host_program_bytes()) // 8), np.int64)

    def _call(
        self, library: ctypes.CDLL, frames: NDArray[Any], layers: list[NDArray[Any]] | None
    ) -> NDArray[np.int32]:
        frames = np.ascontiguousarray(self._checked(frames))
        steps, samples = frames.shape[:2]
        logits = np.zeros((steps, samples, self.program.classes), np.int32)
        spikes = None if layers is None else (ctypes.c_void_p * len(layers))(*(a.ctypes.data for a in layers))
        cuts = [samples * i // self.threads for i in range(self.threads + 1)]

        def part(first: int, last: int) -> None:
            state = self._state(library)
            library.host_program(
                state.ctypes.data, frames.ctypes.data, steps, samples, first, last, logits.ctypes.data, spikes
            )

        if self.threads == 1:
            part(0, samples)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(part, cuts[:-1], cuts[1:]))
        return logits
