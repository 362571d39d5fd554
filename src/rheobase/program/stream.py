"""A program on a stream: its C, whose membranes live on from call to call, as they do on a device."""

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase import native
from rheobase.errors import ProgramError
from rheobase.program.c99.emitter import fill
from rheobase.program.c99.generator import generate
from rheobase.program.ir import Program
from rheobase.program.ops.base import MOST_STEPS
from rheobase.program.reference import check_frames

FLAGS = ("-std=c99", "-O2")


class ProgramStream:
    """One instance of a program under way, any number of steps long.

    Raises:
        ProgramError: the program is not valid, or has numbers by step, which have an end.
        CompilerError: there is no C compiler, or it failed.
    """

    def __init__(self, program: Program) -> None:
        if program.most_steps < MOST_STEPS:
            raise ProgramError(
                f"program {program.name!r} has numbers by step for {program.most_steps} steps and is reset then: it cannot run "
                "on a stream"
            )
        self.program = program
        source = generate(program)
        frame_type = f"{program.input_type}_t"
        host = fill(
            "templates/stream.c", prefix=source.prefix, PREFIX=source.prefix.upper(), frame_type=frame_type
        )
        texts = {
            "model.h": source.model_h,
            "kernels.h": source.kernels_h,
            "model.c": source.model_c,
            "stream.c": host,
        }
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                Path(folder, name).write_text(text)
            paths = [Path(folder, name) for name in ("model.c", "stream.c")]
            self._library = ctypes.CDLL(str(native.compile_shared(paths, FLAGS, "stream")))
        pointer = ctypes.c_void_p
        self._library.stream_bytes.restype = ctypes.c_size_t
        self._library.stream_reset.argtypes = [pointer]
        self._library.stream_steps.argtypes = [pointer, pointer, ctypes.c_int, pointer]
        self._state = np.zeros(-(-int(self._library.stream_bytes()) // 8), np.int64)
        self.reset()

    def reset(self) -> None:
        """Membranes to zero."""
        self._library.stream_reset(self._state.ctypes.data)

    def push(self, frames: NDArray[Any]) -> NDArray[np.int32]:
        """The next steps, each to its contribution to the logits.

        Shape: the program's `input_type` `[t, C, H, W]`, t >= 0, to int32 `[t, K]`.
        Raises:
            DataError: frames of another type or shape.
        """
        logits = np.zeros((len(frames), self.program.classes), np.int32)
        if len(frames):
            frames = np.ascontiguousarray(check_frames(self.program, frames[:, None]))
            self._library.stream_steps(
                self._state.ctypes.data, frames.ctypes.data, len(frames), logits.ctypes.data
            )
        return logits
