"""A network as a chain of integer ops."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rheobase.errors import ProgramError
from rheobase.program import ranges
from rheobase.program.ops import Neuron, Op, Readout
from rheobase.program.ops.base import Shape, whole

VERSION = 1
LARGEST_MAP = 1 << 26  # values of one layer; far beyond any target


@dataclass(frozen=True, eq=False)
class Program:
    """A network that counts in integers from event-count frames to class scores.

    A step takes a frame uint8 `[C, H, W]` through `ops` in order; the last op is a `Readout`. `T` is the
    number of steps that the program was made for. A score in the training framework's unit is `logit_scale *
    logit`.

    Raises:
        ProgramError: the name is unusable or the ops are not ops; everything else is for `validate`.
    """

    name: str
    input_shape: tuple[int, int, int]
    T: int
    ops: Sequence[Op]
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    logit_scale: float = 1.0
    version: int = VERSION

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", self.name):
            raise ProgramError(
                f"program name {self.name!r} must be a letter and up to 63 letters, digits and _.-"
            )
        for op in self.ops:
            if not isinstance(op, Op):
                raise ProgramError(f"ops must be program ops, got {type(op).__name__}")
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "ops", tuple(self.ops))
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def neurons(self) -> list[Neuron]:
        """The neuron layers, in order."""
        return [op for op in self.ops if isinstance(op, Neuron)]

    @property
    def classes(self) -> int:
        """Number of class scores."""
        return self.shapes()[-1][0]

    def label(self, index: int) -> str:
        """Name of an op for messages and tables, e.g. `op 3 Conv2d 'features.4'`."""
        op = self.ops[index]
        return f"op {index} {type(op).__name__}" + (f" {op.name!r}" if op.name else "")

    def shapes(self) -> list[Shape]:
        """Shape after each op, without time and batch.

        Raises:
            ProgramError: an op cannot follow the one before it.
        """
        shape: Shape = self.input_shape
        kind = "events"
        shapes = []
        for index, op in enumerate(self.ops):
            if op.consumes != kind:
                raise ProgramError(
                    f"{self.label(index)} takes {op.consumes}, but what comes before it gives {kind} "
                    "(Conv2d and Linear turn events into current, Neuron turns current into events)"
                )
            try:
                shape = op.output_shape(shape)
            except ProgramError as error:
                raise ProgramError(f"{self.label(index)}: {error}") from None
            kind = op.produces
            if math.prod(shape) > LARGEST_MAP:
                raise ProgramError(f"{self.label(index)} gives {list(shape)}, more than {LARGEST_MAP} values")
            shapes.append(shape)
        if not self.ops or not isinstance(self.ops[-1], Readout):
            raise ProgramError("a program ends with a Readout")
        return shapes

    def validate(self) -> None:
        """Check all that needs no data: version, fields, the chain's shapes, and that no integer overflows.

        Raises:
            ProgramError: names the op, the reason and what to do.
        """
        if self.version != VERSION:
            raise ProgramError(f"program version {self.version}; this rheobase reads version {VERSION}")
        if len(self.input_shape) != 3:
            raise ProgramError(f"input_shape must be (C, H, W), got {self.input_shape}")
        for size in self.input_shape:
            whole(size, "input_shape", 1, 65535)
        if math.prod(self.input_shape) > LARGEST_MAP:
            raise ProgramError(f"input_shape {self.input_shape} has more than {LARGEST_MAP} values")
        whole(self.T, "T", 1, 65535)
        if not isinstance(self.logit_scale, float) or not 0 < self.logit_scale < math.inf:
            raise ProgramError(f"logit_scale must be a positive finite float, got {self.logit_scale!r}")
        for index, op in enumerate(self.ops):
            if not re.fullmatch(r"[A-Za-z0-9_.\[\]-]{0,200}", op.name):
                raise ProgramError(f"op {index} has the name {op.name!r}; use letters, digits and _.-[]")
        for key, value in self.metadata.items():
            plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            finite = not isinstance(value, float) or math.isfinite(value)
            if not isinstance(key, str) or not plain or not finite:
                raise ProgramError(
                    f"metadata maps strings to strings, integers or finite floats, got {key!r}: {value!r}"
                )
        self.shapes()
        ranges.analyse(self)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the program's content; two programs are equal when their digests are."""
        from rheobase.program import storage

        description, tensors = storage.encode(self)
        sha = hashlib.sha256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(tensors):
            array = tensors[name]
            sha.update(f"{name}:{array.dtype.str}:{list(array.shape)}:".encode() + array.tobytes())
        return sha.hexdigest()
