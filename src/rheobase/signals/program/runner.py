"""The C of a coding, compiled here and called through ctypes."""

import ctypes
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase import native
from rheobase.errors import DataError
from rheobase.signals.program.c99 import generate
from rheobase.signals.program.chain import IntegerCoding

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


class CompiledCoding:
    """A coding that runs as the C it ships as.

    Raises:
        CompilerError: there is no C compiler, or it failed.
    """

    def __init__(self, coding: IntegerCoding, flags: Sequence[str] = FLAGS) -> None:
        self.coding = coding
        texts = generate(coding, "host").files
        with tempfile.TemporaryDirectory() as folder:
            for name in ("encoder.h", "encoder.c", "host.c"):
                Path(folder, name).write_text(texts[name])
            paths = [Path(folder, name) for name in ("encoder.c", "host.c")]
            self.library = ctypes.CDLL(str(native.compile_shared(paths, flags, "coding")))
        pointer, number = ctypes.c_void_p, ctypes.c_int
        self.library.coding_bytes.restype = ctypes.c_size_t
        self.library.coding_reset.argtypes = [pointer]
        self.library.coding_run.argtypes = [pointer, pointer, ctypes.c_size_t, number, pointer]

    def stream(self) -> "CompiledStream":
        """The chain before its first sample."""
        return CompiledStream(self)

    def encode(self, samples: NDArray[Any]) -> NDArray[np.int8]:
        """All frames of a recording. Shape: int16 [L] -> int8 [T, C]."""
        stream = self.stream()
        return np.concatenate([stream.push(samples), stream.finish()])


class CompiledStream:
    """The chain under way."""

    def __init__(self, compiled: CompiledCoding) -> None:
        self.compiled = compiled
        size = int(compiled.library.coding_bytes())
        self.state = np.zeros(-(-size // 8), np.int64)
        compiled.library.coding_reset(self.state.ctypes.data)

    def push(self, samples: NDArray[Any]) -> NDArray[np.int8]:
        """The next samples to the frames that they complete. Shape: int16 [l] -> int8 [t, C].

        Raises:
            DataError: another type or shape.
        """
        return self._run(samples, finish=False)

    def finish(self) -> NDArray[np.int8]:
        """The frame that is not whole, if spikes wait for one."""
        return self._run(np.zeros(0, np.int16), finish=True)

    def _run(self, samples: NDArray[Any], *, finish: bool) -> NDArray[np.int8]:
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise DataError(f"samples are int16 [L]; got {samples.dtype} {list(samples.shape)}")
        samples = np.ascontiguousarray(samples)
        frames = np.zeros((len(samples) + 1, self.compiled.coding.channels), np.int8)
        made = self.compiled.library.coding_run(
            self.state.ctypes.data, samples.ctypes.data, len(samples), int(finish), frames.ctypes.data
        )
        return frames[:made].copy()
