"""What encoder and network make of a recording, by their integer references: any build of their C must make the same."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError, ProgramError
from rheobase.program import Program, reference
from rheobase.program.c99.generator import fnv1a, logits_hash
from rheobase.signals.program.chain import IntegerCoding


@dataclass(frozen=True, eq=False)
class Golden:
    """A recording, its frames, and the network's trace. Shape: samples int16 [L], frames int8 [T, C]."""

    samples: NDArray[np.int16]
    frames: NDArray[np.int8]
    trace: reference.Trace

    @cached_property
    def decisions(self) -> NDArray[np.int64]:
        """The class with the largest sum after each frame. Shape: [T]."""
        return self.trace.logits[:, 0].cumsum(0).argmax(-1)

    @property
    def frames_hash(self) -> int:
        """FNV-1a of the frames."""
        return fnv1a(self.frames.tobytes())

    @property
    def logits_hash(self) -> int:
        """FNV-1a of the running logits, as little-endian int32."""
        return logits_hash(self.trace)


def golden(coding: IntegerCoding, program: Program, samples: NDArray[Any], most: int) -> Golden:
    """Run the references on a recording of at most `most` frames. Shape: int16 [L].

    Raises:
        DataError: the samples are no int16 [L], or make no frame or too many.
        ProgramError: frames and network do not fit.
    """
    frames, shape = coding.encode(samples), program.input_shape
    if coding.channels != int(np.prod(shape)):
        raise ProgramError(f"the encoder gives {coding.channels} spikes a frame, the program takes {shape}")
    if not 0 < len(frames) <= most:
        raise DataError(f"{len(samples)} samples make {len(frames)} frames; the program runs 1 to {most}")
    return Golden(samples, frames, reference.run(program, frames.reshape(len(frames), 1, *shape)))
